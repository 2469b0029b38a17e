"""The default chunker: cuts at sections, else blocks, else sentences, else tokens."""

import bisect
from collections.abc import Sequence

from ragkit.core.protocols import Tokenizer
from ragkit.core.types import DEFAULT_TENANT, Chunk, Document
from ragkit.ingest.chunkers.sections import sections_of, split_section
from ragkit.ingest.chunkers.units import ChunkSource, TextUnit, UnitDivider, check_sizes


class RecursiveChunker:
    """A chunker that cuts at headings, blocks and sentences; `chunk_tokens` is the maximum.

    The spans of the chunks tile the document: joined in order (each from where the one before it
    ended) they give its text back. A section longer than a chunk is divided evenly.
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
        self._size = chunk_tokens - overlap_tokens
        self._overlap = overlap_tokens
        self._divider = UnitDivider(tokenizer=tokenizer, size=self._size, language=language)

    @property
    def identity(self) -> str:
        """Name, version and parameters."""
        return f"recursive-2:{self._size}+{self._overlap}:{self._divider.language}"

    def chunk(self, document: Document, *, tenant: str = DEFAULT_TENANT) -> list[Chunk]:
        """Return chunks in reading order whose spans cover the whole text."""
        source = ChunkSource(document=document, tenant=tenant, identity=self.identity)
        units = list(self._divider.units(document))
        groups = [
            group
            for section in sections_of(units, self._size)
            for group in split_section(section, self._size)
        ]
        return [
            source.chunk(ordinal, group, begins=self._start(units, group[0]))
            for ordinal, group in enumerate(groups)
        ]

    def _start(self, units: Sequence[TextUnit], first: TextUnit) -> TextUnit:
        """Return the unit that a chunk begins with whose first new unit is given."""
        start, room = first, self._overlap
        position = bisect.bisect_left(units, first.start, key=lambda unit: unit.start)
        while self._overlap and position > 0 and not first.is_heading:
            position -= 1
            room -= units[position].tokens
            if room < 0:
                break
            start = units[position]
        return start
