"""Build the parts of an ingestion from settings."""

from ragkit.core.protocols import Chunker, Tokenizer
from ragkit.core.settings import Settings
from ragkit.ingest.chunkers.recursive import RecursiveChunker


def build_chunker(settings: Settings, tokenizer: Tokenizer) -> Chunker:
    """Return the chunker that the settings describe; it counts the embedder's tokens.

    Raises:
        ConfigError: The sizes do not fit the embedding model, or the language is unknown.
    """
    return RecursiveChunker(
        tokenizer,
        chunk_tokens=settings.ingest.chunk_tokens,
        overlap_tokens=settings.ingest.overlap_tokens,
        language=settings.index.language,
    )
