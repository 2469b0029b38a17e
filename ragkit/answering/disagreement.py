"""Documents that say different things: two sentences alike but for their numbers or a "not"."""

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

from ragkit.answering.unit_features import UnitCandidate
from ragkit.core.text import terms
from ragkit.core.types import Chunk

NEARLY_AS_GOOD = 2.0
"""A unit that disagrees with the best one scores at most this far below it."""

_ALIKE = 0.6
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_WORD_NUMBERS = frozenset(
    """
    one two three four five six seven eight nine ten eleven twelve fifteen twenty thirty forty
    fifty sixty ninety hundred
    """.split()  # noqa: SIM905 - a list would take 20 lines
)
_NOT = re.compile(r"\b(?:not|never|no longer|cannot)\b|n['\u2019]t\b", re.IGNORECASE)
_YEAR = re.compile(r"(?<!\d)(?:19|20)\d\d(?!\d)")
_DATED = ("date", "year", "updated", "modified", "published", "version")


def disagreeing(
    best: UnitCandidate, ranked: Sequence[UnitCandidate], language: str
) -> list[UnitCandidate]:
    """Return the best unit and those of other documents that contradict it, newest first.

    Each document is taken once; documents without a year come last. A best unit that nothing
    contradicts is returned alone.
    """
    found = [best]
    for one in ranked:
        near = one.score >= best.score - NEARLY_AS_GOOD
        new = one.hit.chunk.uri not in {other.hit.chunk.uri for other in found}
        if near and new and _contradicts(best.unit.text, one.unit.text, language):
            found.append(one)
    return sorted(found, key=lambda one: -year_of(one.hit.chunk))


def year_of(chunk: Chunk) -> int:
    """Return the latest year in the metadata's dates, the title, headings or uri; 0 without one."""
    values = [str(chunk.metadata[name]) for name in _DATED if name in chunk.metadata]
    places = [*values, chunk.title, *chunk.heading_path, PurePosixPath(chunk.uri).name]
    return max((int(year) for place in places for year in _YEAR.findall(place)), default=0)


def source_of(chunk: Chunk) -> str:
    """Return a name of the chunk's document, with its year where that is known."""
    name = chunk.title or PurePosixPath(chunk.uri).name
    year = year_of(chunk)
    return name if not year or str(year) in name else f"{name}, {year}"


def _contradicts(text: str, other: str, language: str) -> bool:
    """Return True for sentences that share most of their words but not their numbers or "not"."""
    one, two = (
        {stem for stem in terms(words, language=language) if not _is_number(stem)}
        for words in (text, other)
    )
    if len(one & two) < 2 or len(one & two) < _ALIKE * len(one | two):
        return False
    if bool(_NOT.search(text)) != bool(_NOT.search(other)):
        return True
    numbers, others = _numbers(text), _numbers(other)
    return bool(numbers and others) and not numbers <= others and not others <= numbers


def _numbers(text: str) -> set[str]:
    spelled = {word for word in text.lower().split() if word in _WORD_NUMBERS}
    return {*_NUMBER.findall(text), *spelled}


def _is_number(stem: str) -> bool:
    return stem.isdigit() or stem in _WORD_NUMBERS
