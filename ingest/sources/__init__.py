"""Sources of documents: files under named roots, collections, and documents made in code."""

from ragkit.ingest.sources.collection import Collection, SkippedDocument
from ragkit.ingest.sources.file import FileReader
from ragkit.ingest.sources.git.repository import GitRepository
from ragkit.ingest.sources.item import SourceItem
from ragkit.ingest.sources.object_store import ObjectStore
from ragkit.ingest.sources.pattern import PathPatterns
from ragkit.ingest.sources.source import ConditionalSource, DocumentSource, OpenedSource
from ragkit.ingest.sources.sql import SqlSource
from ragkit.ingest.sources.stream import SourceOptions, SourceStream, load_files
from ragkit.ingest.sources.web.pages import Sitemap, WebPages

__all__ = [
    "Collection",
    "ConditionalSource",
    "DocumentSource",
    "FileReader",
    "GitRepository",
    "ObjectStore",
    "OpenedSource",
    "PathPatterns",
    "Sitemap",
    "SkippedDocument",
    "SourceItem",
    "SourceOptions",
    "SourceStream",
    "SqlSource",
    "WebPages",
    "load_files",
]
