"""Citations of parts of a chunk."""

from ragkit.core.types import Chunk, Citation


def citation(chunk: Chunk, start: int, end: int) -> Citation:
    """Return a citation of `chunk.text[start:end]`."""
    return Citation.of(chunk, start, end)
