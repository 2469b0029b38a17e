"""Build the parts of an ingestion from settings."""

from collections.abc import Mapping

from ragkit.core.protocols import Chunker, Loader, Tokenizer
from ragkit.core.settings import Settings
from ragkit.ingest.chunkers.recursive import RecursiveChunker
from ragkit.ingest.loaders import LoaderRegistry
from ragkit.ingest.loaders.charset import codec_name
from ragkit.ingest.sources import FileReader
from ragkit.ingest.sources.file import MetadataOf


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


def build_reader(
    settings: Settings,
    *,
    metadata: MetadataOf | None = None,
    loaders: Mapping[str, Loader] | None = None,
) -> FileReader:
    """Return the reader of files that the settings describe.

    Args:
        settings: Encoding and largest size.
        metadata: Added to the files' own.
        loaders: By media type or extension, beside ragkit's own and before them.

    Raises:
        ConfigError: The encoding is unknown.
    """
    codec_name(settings.ingest.encoding)
    return FileReader(
        registry=LoaderRegistry(encoding=settings.ingest.encoding, loaders=loaders or {}),
        max_bytes=settings.ingest.max_file_mb * 2**20,
        metadata=metadata,
    )
