"""Words that a line's end divides, made whole by what else the document says."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from ragkit.ingest.loaders.pdf.lines import Line

_LAST_WORD = re.compile(r"(\w+)-?$")
_FIRST_WORD = re.compile(r"\w+")


def word_counts(lines: Sequence[Line]) -> Counter[str]:
    """How often each word occurs in lower case, with its hyphens; parts of divided words do not."""
    counts: Counter[str] = Counter()
    divided = False
    for line in lines:
        words = re.findall(r"\w+(?:-\w+)*", line.text.lower())
        last = line.hyphenated or line.text.endswith("-")
        counts.update(words[divided : -1 if last else None])
        divided = last
    return counts


def up_to(line: str, following: str, words: Mapping[str, int], *, divided: bool) -> str:
    """A line's text with what stands between it and the next one: a space, a hyphen, or nothing."""
    last, first = _LAST_WORD.search(line), _FIRST_WORD.match(following)
    if not (divided or line.endswith("-")) or not last or not first:
        return f"{line} "
    stem = line.removesuffix("-")
    return f"{stem}-" if _keeps_hyphen(last[1], first[0], words) else stem


def _keeps_hyphen(last: str, first: str, words: Mapping[str, int]) -> bool:
    """Whether a hyphen at a line's end belongs to the word, judged by the document's own words."""
    if not first[0].islower() or last[-1].isdigit():
        return True
    whole, compound = f"{last}{first}".lower(), f"{last}-{first}".lower()
    if whole in words or compound in words:
        return words.get(compound, 0) > words.get(whole, 0)
    return min(len(last), len(first)) > 2 and last.lower() in words and first in words
