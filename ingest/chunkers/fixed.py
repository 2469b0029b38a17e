"""Windows of a fixed number of tokens, whatever the text's structure is."""

from collections.abc import Iterator, Sequence

from ragkit.core.protocols import Tokenizer
from ragkit.core.types import DEFAULT_TENANT, Chunk, Document
from ragkit.ingest.chunkers.units import ChunkSource, TextUnit, UnitDivider, check_sizes


class FixedChunker:
    """A chunker that takes as many words as fit into `chunk_tokens`, and repeats some of them.

    Each chunk begins with the last `overlap_tokens` of the one before, and a cut is between words
    where a word is not longer than a chunk.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        chunk_tokens: int = 200,
        overlap_tokens: int = 0,
        language: str = "english",
    ) -> None:
        """Check the sizes against what the model reads.

        Raises:
            ConfigError: The chunk and its header do not fit, or the overlap is half a chunk.
        """
        check_sizes(tokenizer, chunk_tokens=chunk_tokens, overlap_tokens=overlap_tokens)
        self._size = chunk_tokens
        self._overlap = overlap_tokens
        self._divider = UnitDivider(
            tokenizer=tokenizer, size=chunk_tokens, language=language, cut="words"
        )

    @property
    def identity(self) -> str:
        """Name, version and parameters."""
        return f"fixed-2:{self._size}+{self._overlap}"

    def chunk(self, document: Document, *, tenant: str = DEFAULT_TENANT) -> list[Chunk]:
        """Return chunks in reading order whose spans cover the whole text."""
        source = ChunkSource(document=document, tenant=tenant, identity=self.identity)
        units = list(self._divider.units(document))
        return [
            source.chunk(ordinal, units[first:last])
            for ordinal, (first, last) in enumerate(self._windows(units))
        ]

    def _windows(self, units: Sequence[TextUnit]) -> Iterator[tuple[int, int]]:
        """Yield the first unit of each window and the one behind its last."""
        first = last = 0
        while last < len(units):
            tokens = sum(unit.tokens for unit in units[first:last])
            while last < len(units) and tokens + units[last].tokens <= self._size:
                tokens += units[last].tokens
                last += 1
            yield first, last
            if last == len(units):
                break
            # What is repeated must leave room for what comes next.
            room = min(self._overlap, self._size - units[last].tokens)
            begun, first = first, last
            while first - 1 > begun and 0 < room >= units[first - 1].tokens:
                first -= 1
                room -= units[first].tokens
