"""Passages that end where the subject changes, as the embedder sees it."""

from collections.abc import Iterator, Sequence

import numpy as np

from ragkit.core.protocols import Embedder
from ragkit.core.sync import run_sync
from ragkit.core.types import DEFAULT_TENANT, Chunk, Document, FloatArray
from ragkit.ingest.chunkers.units import ChunkSource, TextUnit, UnitDivider, check_sizes

_SMALL = 0.25
"""Share of the size that each part has at least, where there is such a place."""


class SemanticChunker:
    """A chunker that cuts where neighbouring sentences are least alike.

    Runs of sentences are divided at their weakest place, and the parts again, until each has at
    most `chunk_tokens` tokens. For that each sentence is embedded once more, with those beside it.
    """

    def __init__(
        self, embedder: Embedder, *, chunk_tokens: int = 200, language: str = "english"
    ) -> None:
        """Check the size against what the model reads.

        Raises:
            ConfigError: The chunk and its header do not fit.
        """
        check_sizes(embedder.tokenizer, chunk_tokens=chunk_tokens)
        self._embedder = embedder
        self._size = chunk_tokens
        self._divider = UnitDivider(
            tokenizer=embedder.tokenizer, size=chunk_tokens, language=language, cut="sentences"
        )

    @property
    def identity(self) -> str:
        """Name, version, parameters and the embedder."""
        model = "@".join(self._embedder.identity)
        return f"semantic-2:{self._size}:{self._divider.language}:{model}"

    def chunk(self, document: Document, *, tenant: str = DEFAULT_TENANT) -> list[Chunk]:
        """Return chunks in reading order whose spans cover the whole text.

        Raises:
            RuntimeError: Called from ragkit's own event loop, where embedding could never end.
        """
        source = ChunkSource(document=document, tenant=tenant, identity=self.identity)
        units = list(self._divider.units(document))
        return [
            source.chunk(ordinal, group)
            for ordinal, group in enumerate(self._groups(document.text, units))
        ]

    def _groups(self, text: str, units: Sequence[TextUnit]) -> Iterator[Sequence[TextUnit]]:
        """Yield runs of units of at most the size, divided at their weakest places."""
        likeness = self._likeness(text, units)
        sums = np.cumsum([0, *(unit.tokens for unit in units)])
        runs = [(0, len(units))] if units else []
        while runs:
            first, last = runs.pop()
            if sums[last] - sums[first] <= self._size or last - first == 1:
                yield units[first:last]
                continue
            # Both parts are to be passages: the weakest place is often an odd sentence at an end.
            begun = sums[first + 1 : last] - sums[first]
            smaller = np.minimum(begun, sums[last] - sums[first] - begun)
            is_fair = smaller >= min(self._size * _SMALL, smaller.max())
            cut = first + 1 + int(np.argmin(np.where(is_fair, likeness[first : last - 1], np.inf)))
            runs += [(cut, last), (first, cut)]

    def _likeness(self, text: str, units: Sequence[TextUnit]) -> FloatArray:
        """Return the similarity of each unit to the next, float32 `[n - 1]`."""
        if sum(unit.tokens for unit in units) <= self._size:
            return np.ones(max(0, len(units) - 1), dtype=np.float32)
        texts = [self._around(text, units, at) for at in range(len(units))]
        vectors = run_sync(lambda: self._embedder.embed(texts))
        likeness: FloatArray = np.sum(vectors[:-1] * vectors[1:], axis=1)
        # A heading belongs to what follows it, and not to what is before.
        for at, unit in enumerate(units[1:]):
            likeness[at] += 2 * units[at].is_heading - unit.is_heading
        return likeness

    def _around(self, text: str, units: Sequence[TextUnit], at: int) -> str:
        """Return a unit with those beside it, or alone where they are too long for the model."""
        near = units[max(0, at - 1) : at + 2]
        if sum(unit.tokens for unit in near) > self._size:
            near = [units[at]]
        return text[near[0].start : near[-1].end]
