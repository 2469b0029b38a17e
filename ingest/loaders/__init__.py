"""Loaders, which turn the bytes of one format into a `Document` with exact block offsets."""

from collections.abc import Callable, Mapping
from pathlib import PurePosixPath

from ragkit.core.errors import InputError
from ragkit.core.protocols import Loader
from ragkit.ingest.loaders.html.loader import HtmlLoader
from ragkit.ingest.loaders.markdown import MarkdownLoader
from ragkit.ingest.loaders.pdf.loader import PdfLoader
from ragkit.ingest.loaders.text import TextLoader
from ragkit.ingest.loaders.titles import heading_text, path_of

__all__ = [
    "LOADERS",
    "HtmlLoader",
    "MarkdownLoader",
    "PdfLoader",
    "TextLoader",
    "heading_text",
    "loader_for",
    "supported_extensions",
]

LOADERS: Mapping[str, Callable[..., Loader]] = {
    ".txt": TextLoader,
    ".text": TextLoader,
    ".log": TextLoader,
    ".rst": TextLoader,
    ".md": MarkdownLoader,
    ".markdown": MarkdownLoader,
    ".mdown": MarkdownLoader,
    ".html": HtmlLoader,
    ".htm": HtmlLoader,
    ".xhtml": HtmlLoader,
    ".pdf": PdfLoader,
}
"""The loader class of each file extension; each takes `encoding` by keyword."""

supported_extensions: tuple[str, ...] = tuple(LOADERS)
"""The file extensions that can be loaded, in lower case and with their dot."""


def loader_for(path_or_uri: str, *, encoding: str = "utf-8") -> Loader:
    """Return the loader for a path, a URI or a bare extension (`"notes.md"`, `".md"`).

    Raises:
        InputError: No loader reads files with this extension.
    """
    name = PurePosixPath(path_of(path_or_uri)).name.lower()
    suffix = name if name in LOADERS else PurePosixPath(name).suffix
    if suffix not in LOADERS:
        raise InputError(
            f"No loader reads {path_or_uri!r} (extension {suffix!r}). "
            f"Fix: convert it to one of: {', '.join(supported_extensions)}."
        )
    return LOADERS[suffix](encoding=encoding)
