"""Sources of documents: files under named roots, and documents made in code."""

from ragkit.ingest.sources.file import FileReader
from ragkit.ingest.sources.item import SourceItem
from ragkit.ingest.sources.pattern import PathPatterns
from ragkit.ingest.sources.source import DocumentSource, OpenedSource
from ragkit.ingest.sources.stream import SourceOptions, SourceStream, load_files

__all__ = [
    "DocumentSource",
    "FileReader",
    "OpenedSource",
    "PathPatterns",
    "SourceItem",
    "SourceOptions",
    "SourceStream",
    "load_files",
]
