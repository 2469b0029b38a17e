"""Near-duplicates among the passages of a search: those that say nothing that is not shown yet.

A passage is compared with those kept before it, by runs of words (shingles; Broder 1997, "On the
resemblance and containment of documents"). What counts is containment, since copies of a document
are divided at other places once a sentence was inserted. Nothing is stored: an index of any size
costs the same, and a passage that is deleted brings back those that repeated it.
"""

import re
from collections import Counter

from ragkit.core.lexical_form import lexical_form
from ragkit.core.types import Chunk, DuplicatePassage
from ragkit.retrieval.rerank import text_key

SHINGLE = 3
"""Words of a run."""
_WORD = re.compile(r"\w+")


class ShownPassages:
    """The passages that a search keeps, best first."""

    def __init__(self, *, equal: bool, near: float | None) -> None:
        """Start without any.

        Args:
            equal: A passage with the text of one that is kept repeats it.
            near: So does one of whose runs of words this share, or more, is in those kept, and all
                of its numbers; None for no such comparison.
        """
        self._equal, self._near = equal, near
        self._texts: dict[str, str] = {}
        self._shingles: dict[tuple[str, ...], str] = {}
        self._numbers: set[str] = set()

    def repeated(self, chunk: Chunk) -> str | None:
        """Return the id of the kept passage that this one repeats most of, None for a new one."""
        if self._equal and (known := self._texts.get(text_key(chunk))) is not None:
            return known
        if self._near is None:
            return None
        words = _words(chunk)
        if not _numbers(words) <= self._numbers:
            return None
        shingles = _shingles(words)
        found = Counter(self._shingles[one] for one in shingles if one in self._shingles)
        if not found or found.total() < self._near * len(shingles):
            return None
        return found.most_common(1)[0][0]

    def keep(self, chunk: Chunk) -> None:
        """Take a passage that is shown."""
        self._texts.setdefault(text_key(chunk), chunk.id)
        if self._near is None:
            return
        words = _words(chunk)
        self._numbers |= _numbers(words)
        for shingle in _shingles(words):
            self._shingles.setdefault(shingle, chunk.id)


def duplicate_of(chunk: Chunk) -> DuplicatePassage:
    """Return the place of a passage that is left out."""
    return DuplicatePassage(chunk_id=chunk.id, uri=chunk.uri, start=chunk.start, end=chunk.end)


def _words(chunk: Chunk) -> list[str]:
    # The lexical form separates the words of scripts that do not.
    return _WORD.findall(lexical_form(chunk.text, passage=True).casefold())


def _numbers(words: list[str]) -> set[str]:
    return {word for word in words if any(letter.isdigit() for letter in word)}


def _shingles(words: list[str]) -> set[tuple[str, ...]]:
    if len(words) <= SHINGLE:
        return {tuple(words)} if words else set()
    return set(zip(*(words[first:] for first in range(SHINGLE)), strict=False))
