"""Loaders, which turn the bytes of one format into a `Document` with exact block offsets."""

from ragkit.ingest.loaders.html.loader import HtmlLoader
from ragkit.ingest.loaders.markdown import MarkdownLoader
from ragkit.ingest.loaders.pdf.loader import PdfLoader
from ragkit.ingest.loaders.registry import (
    EXTENSIONS,
    FORMATS,
    FileFormat,
    LoaderRegistry,
    loader_for,
    supported_extensions,
)
from ragkit.ingest.loaders.text import TextLoader
from ragkit.ingest.loaders.titles import heading_text

__all__ = [
    "EXTENSIONS",
    "FORMATS",
    "FileFormat",
    "HtmlLoader",
    "LoaderRegistry",
    "MarkdownLoader",
    "PdfLoader",
    "TextLoader",
    "heading_text",
    "loader_for",
    "supported_extensions",
]
