"""SQuAD's measures of an answer's text against gold answers: exact match and F1."""

import re
import string
from collections import Counter
from collections.abc import Iterable, Sequence

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalised(text: str) -> str:
    """Return SQuAD's normal form: lower case, no punctuation, no articles, single spaces."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact_match(text: str, gold: Iterable[str]) -> float:
    """Return 1 if the answer equals a gold answer in normal form, else 0.

    Without a gold answer it is 1 for an empty text (SQuAD 2.0, Rajpurkar et al. 2018).
    """
    return float(normalised(text) in {normalised(item) for item in _present(gold)})


def f1(text: str, gold: Iterable[str]) -> float:
    """Return F1 of the words that answer and gold answer share, for the best gold answer."""
    said = normalised(text).split()
    return max(_f1(said, normalised(item).split()) for item in _present(gold))


def holds(text: str, gold: Iterable[str]) -> float:
    """Return 1 if the answer contains a gold answer, word for word in normal form, else 0."""
    words = f" {normalised(text)} "
    return float(any(f" {normalised(item)} " in words for item in _present(gold) if item))


def _present(gold: Iterable[str]) -> list[str]:
    return [item for item in gold if normalised(item)] or [""]


def _f1(said: Sequence[str], wanted: Sequence[str]) -> float:
    if not said or not wanted:
        return float(said == wanted)
    shared = (Counter(said) & Counter(wanted)).total()
    return 2 * shared / (len(said) + len(wanted))
