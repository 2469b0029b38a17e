"""Small passages for search, each read with the larger one that it is part of."""

from ragkit.core.protocols import Tokenizer
from ragkit.core.types import DEFAULT_TENANT, Chunk, Document
from ragkit.ingest.chunkers.sections import sections_of, split_section
from ragkit.ingest.chunkers.units import ChunkSource, UnitDivider, check_sizes

_CHILDREN = 4


class ParentChildChunker:
    """A chunker of passages that are divided as by `RecursiveChunker`, and once more.

    A passage of up to four times `chunk_tokens` is the parent of chunks of up to `chunk_tokens`; a
    hit is read with all chunks of its parent.
    """

    def __init__(
        self, tokenizer: Tokenizer, *, chunk_tokens: int = 200, language: str = "english"
    ) -> None:
        """Check the size of the children against what the model reads.

        Raises:
            ConfigError: The chunk and its header do not fit.
        """
        check_sizes(tokenizer, chunk_tokens=chunk_tokens)
        self._size = chunk_tokens
        self._divider = UnitDivider(tokenizer=tokenizer, size=chunk_tokens, language=language)

    @property
    def identity(self) -> str:
        """Name, version and parameters."""
        return f"parent-child-2:{self._size}:{self._divider.language}"

    def chunk(self, document: Document, *, tenant: str = DEFAULT_TENANT) -> list[Chunk]:
        """Return the children in reading order; their spans cover the whole text."""
        source = ChunkSource(document=document, tenant=tenant, identity=self.identity)
        largest = _CHILDREN * self._size
        chunks: list[Chunk] = []
        for section in sections_of(list(self._divider.units(document)), largest):
            for parent in split_section(section, largest):
                children = list(split_section(parent, self._size))
                first = len(chunks)
                window = first, first + len(children) - 1
                chunks += [
                    source.chunk(ordinal, child, window=window)
                    for ordinal, child in enumerate(children, start=first)
                ]
        return chunks
