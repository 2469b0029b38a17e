"""Single sentences for search, read with those around them."""

from collections.abc import Iterator, Sequence

from ragkit.core.protocols import Tokenizer
from ragkit.core.types import DEFAULT_TENANT, Chunk, Document
from ragkit.ingest.chunkers.units import ChunkSource, TextUnit, UnitDivider, check_sizes

_FRAGMENT_TOKENS = 12
"""A heading or a shorter sentence is joined to what follows."""
_REACH = 3


class SentenceWindowChunker:
    """A chunker of sentences; a hit is read with three chunks before and three behind it."""

    def __init__(
        self, tokenizer: Tokenizer, *, chunk_tokens: int = 200, language: str = "english"
    ) -> None:
        """Check the size of the longest sentence against what the model reads.

        Raises:
            ConfigError: The chunk and its header do not fit.
        """
        check_sizes(tokenizer, chunk_tokens=chunk_tokens)
        self._size = chunk_tokens
        self._divider = UnitDivider(
            tokenizer=tokenizer, size=chunk_tokens, language=language, cut="sentences"
        )

    @property
    def identity(self) -> str:
        """Name, version and parameters."""
        return f"sentence-window-2:{self._size}:{self._divider.language}"

    def chunk(self, document: Document, *, tenant: str = DEFAULT_TENANT) -> list[Chunk]:
        """Return chunks in reading order whose spans cover the whole text."""
        source = ChunkSource(document=document, tenant=tenant, identity=self.identity)
        groups = list(self._groups(list(self._divider.units(document))))
        return [
            source.chunk(
                ordinal,
                group,
                window=(max(0, ordinal - _REACH), min(len(groups) - 1, ordinal + _REACH)),
            )
            for ordinal, group in enumerate(groups)
        ]

    def _groups(self, units: Sequence[TextUnit]) -> Iterator[list[TextUnit]]:
        group: list[TextUnit] = []
        tokens = 0
        for unit in units:
            is_fragment = tokens < _FRAGMENT_TOKENS or group[-1].is_heading
            if group and not (is_fragment and tokens + unit.tokens <= self._size):
                yield group
                group, tokens = [], 0
            group.append(unit)
            tokens += unit.tokens
        if group:
            yield group
