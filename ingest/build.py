"""Build the parts of an ingestion from settings."""

from collections.abc import Mapping
from pathlib import PurePosixPath

from ragkit.core.errors import ConfigError, InputError
from ragkit.core.protocols import Chunker, Embedder, Loader, Tokenizer
from ragkit.core.settings import IngestSettings, Settings
from ragkit.core.types import ChunkerName
from ragkit.ingest.chunkers.by_extension import ChunkerByExtension
from ragkit.ingest.chunkers.fixed import FixedChunker
from ragkit.ingest.chunkers.parent_child import ParentChildChunker
from ragkit.ingest.chunkers.recursive import RecursiveChunker
from ragkit.ingest.chunkers.semantic import SemanticChunker
from ragkit.ingest.chunkers.sentence_window import SentenceWindowChunker
from ragkit.ingest.engine import IngestionEngine, LocalEngine
from ragkit.ingest.loaders import LoaderRegistry, PdfLoader
from ragkit.ingest.loaders.charset import codec_name
from ragkit.ingest.loaders.pdf.tesseract import Tesseract
from ragkit.ingest.sources import FileReader, SourceItem, SqlSource
from ragkit.ingest.sources.file import MetadataOf
from ragkit.ingest.workers.process import ParserLimits

_OVERLAPPING: Mapping[ChunkerName, type[RecursiveChunker] | type[FixedChunker]] = {
    "recursive": RecursiveChunker,
    "fixed": FixedChunker,
}
_SQL = "sql:"
_SMALL: Mapping[ChunkerName, type[SentenceWindowChunker] | type[ParentChildChunker]] = {
    "sentence-window": SentenceWindowChunker,
    "parent-child": ParentChildChunker,
}
"""Chunks that are read with those around them."""


def build_chunker(
    settings: Settings, tokenizer: Tokenizer, *, embedder: Embedder | None = None
) -> Chunker:
    """Return the chunker that the settings describe; it counts the embedder's tokens.

    Args:
        settings: Chunkers, sizes and language.
        tokenizer: The embedder's.
        embedder: For chunkers that need one.

    Raises:
        ConfigError: The sizes do not fit the embedding model or the chunker, the language is
            unknown, or an embedder is needed.
    """
    config = settings.ingest
    for extension in config.chunkers:
        if not extension or PurePosixPath(f"a{extension}").suffix.lower() != extension:
            raise ConfigError(
                f"ingest.chunkers has {extension!r}. Fix: write the last part of names in small "
                "letters, such as '.py'."
            )
    default, *others = (
        _named_chunker(name, settings, tokenizer, embedder)
        for name in (config.chunker, *config.chunkers.values())
    )
    if not others:
        return default
    return ChunkerByExtension(
        default=default, others=dict(zip(config.chunkers, others, strict=True))
    )


def _named_chunker(
    name: ChunkerName, settings: Settings, tokenizer: Tokenizer, embedder: Embedder | None
) -> Chunker:
    size, overlap = settings.ingest.chunk_tokens, settings.ingest.overlap_tokens
    language = settings.index.language
    if name in _OVERLAPPING:
        return _OVERLAPPING[name](
            tokenizer, chunk_tokens=size, overlap_tokens=overlap, language=language
        )
    if overlap:
        raise ConfigError(
            f"The chunker {name!r} has no overlap, and ingest.overlap_tokens is {overlap}. Fix: "
            f"set it to 0, or take one of {', '.join(_OVERLAPPING)}."
        )
    if name in _SMALL:
        return _SMALL[name](tokenizer, chunk_tokens=size, language=language)
    if embedder is None:
        raise ConfigError(
            f"The chunker {name!r} needs an embedder. Fix: pass one, or another name."
        )
    return SemanticChunker(embedder, chunk_tokens=size, language=language)


def build_reader(
    settings: Settings,
    *,
    metadata: MetadataOf | None = None,
    loaders: Mapping[str, Loader] | None = None,
) -> FileReader:
    """Return the reader of files that the settings describe.

    Args:
        settings: Encoding, largest size, OCR, and bounds of requests.
        metadata: Added to the documents' own.
        loaders: By media type or extension, beside ragkit's own and before them.

    Raises:
        ConfigError: The encoding is unknown, or Tesseract is asked for and not installed.
        InputError: The metadata is no mapping and no function, or cannot be stored.
    """
    reader = FileReader(
        registry=build_registry(settings.ingest, loaders=loaders),
        max_bytes=settings.ingest.max_file_mb * 2**20,
        metadata=metadata,
        web=settings.ingest.web,
    )
    _ = reader.common_metadata  # what cannot be stored is refused here
    return reader


def build_engine(settings: IngestSettings) -> IngestionEngine:
    """Return the engine that the settings describe.

    Raises:
        ConfigError: The cluster's address cannot be used.
        MissingExtraError: Ray is asked for and not installed.
    """
    limits = ParserLimits(
        timeout_s=settings.document_timeout_s, memory_mb=settings.document_memory_mb
    )
    if settings.engine == "local":
        return LocalEngine(workers=settings.workers, limits=limits)
    from ragkit.ingest.cluster.engine import RayEngine
    from ragkit.ingest.cluster.ray_cluster import RayCluster

    return RayEngine(RayCluster(settings.ray), limits=limits)


def build_registry(
    settings: IngestSettings, *, loaders: Mapping[str, Loader] | None = None
) -> LoaderRegistry:
    """Return the loaders that the settings describe; see `build_reader`."""
    codec_name(settings.encoding)
    chosen = dict(loaders or {})
    if settings.ocr is not None:
        ocr = Tesseract(languages=settings.ocr, timeout_s=settings.ocr_timeout_s)
        ocr.check()
        chosen.setdefault("application/pdf", PdfLoader(ocr=ocr))
    return LoaderRegistry(encoding=settings.encoding, loaders=chosen)


def build_source(item: SourceItem, settings: IngestSettings) -> SourceItem:
    """Return what is ingested for an item: for `sql:NAME` the query of that name, else the item.

    Raises:
        InputError: No query has this name.
    """
    if not (isinstance(item, str) and item.startswith(_SQL)):
        return item
    name = item.removeprefix(_SQL)
    if name not in settings.sql:
        known = ", ".join(sorted(settings.sql)) or "none"
        raise InputError(
            f"The settings have no query {name!r} (known: {known}). Fix: write [ingest.sql.{name}] "
            "with database and query into ragkit.toml, or name a file as ./sql:..."
        )
    return SqlSource(name=name, **dict(settings.sql[name]))
