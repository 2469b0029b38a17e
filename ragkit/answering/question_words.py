"""The words of a question: how much of it a text repeats, and the names that it asks about."""

import math
import re
from collections import Counter
from collections.abc import Sequence

from ragkit.core.text import terms

_WORD_PARTS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
NAME = re.compile(
    r"[\w./:@-]*(?:\w[_./:]\w|(?<![\w-])--?[a-z]|\w\(\)|[a-z][A-Z]|[A-Za-z]\d)[\w./:@-]*",
    re.ASCII,
)
"""A name of code, such as `--omit`, `maxRetries`, `st.form` or `run()`.

Of ASCII only: Chinese and Thai write the next word without a space."""
_LETTER = re.compile(r"(?<=[^\W\d_] )[A-HJ-Z](?![\w'\u2019&-])")
"""A capital letter that stands alone behind a word: "vitamin D", "Model S". English stop words
have such letters, since they end contractions."""
_NAMED = 1.0
"""Weight of a name such as `--omit` or `maxRetries`, beside what its rarity gives."""
_KINDS_OF_NAMES = frozenset(
    """
    option argument parameter flag setting function method class module command property attribute
    field variable value file
    """.split()  # noqa: SIM905 - a list would take 20 lines
)
_OF_A_KIND = 0.3
"""Share of its weight that a word such as "option" keeps beside a name."""


class QuestionWords:
    """The content words of a question, weighted by how rare they are in the texts.

    Words in a name of code weigh more; "the option" beside it says little.
    """

    def __init__(self, question: str, texts: Sequence[str], language: str) -> None:
        """Count the words of a question in the texts that may answer it."""
        self._language = language
        asked = self._stems(question)
        counts = Counter(stem for text in texts for stem in asked & self._stems(text))
        self._weights = {stem: math.log((len(texts) + 1) / (counts[stem] + 0.5)) for stem in asked}
        # A name that ends inside a word, as before a combining accent, has a stem of its own.
        named = asked & set(terms(" ".join(NAME.findall(question)), language=language))
        for stem in named:
            self._weights[stem] += _NAMED
        if named:
            for stem in self._stems(" ".join(_KINDS_OF_NAMES)) & asked - named:
                self._weights[stem] *= _OF_A_KIND
        self._total = sum(self._weights.values())

    def coverage(self, text: str) -> float:
        """Return the weighted share of the question's words in a text."""
        if not self._total:
            return 0.0
        held = self._stems(text) & set(self._weights)
        return sum(self._weights[stem] for stem in held) / self._total

    def _stems(self, text: str) -> set[str]:
        """Return the stems of words and of parts of names such as `maxSize`, and letters alone."""
        parts = " ".join(_WORD_PARTS.findall(text))
        stems = {stem for part in (text, parts) for stem in terms(part, language=self._language)}
        return stems | set(_LETTER.findall(text))
