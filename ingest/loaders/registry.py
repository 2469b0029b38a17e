"""The registry of loaders, by media type: found from a file's content, else from its name."""

import functools
import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import cast

from ragkit.core.errors import InputError
from ragkit.core.protocols import Loader
from ragkit.ingest.loaders.detection import OPEN_DOCUMENT, media_type_of_content
from ragkit.ingest.loaders.titles import path_of


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFormat:
    """A format that ragkit reads.

    Attributes:
        name: For people.
        media_type: Its key in the registry.
        extensions: In lower case, with their dots.
        loader: Module below `ragkit.ingest.loaders`, and class; imported when it is needed.
    """

    name: str
    media_type: str
    extensions: tuple[str, ...]
    loader: tuple[str, str]


_OFFICE = "application/vnd.openxmlformats-officedocument"
_TABLE = (
    ("text", "text/plain", ".txt .text .log", "text", "TextLoader"),
    ("Markdown", "text/markdown", ".md .markdown .mdown", "markdown", "MarkdownLoader"),
    (
        "reStructuredText",
        "text/x-rst",
        ".rst .rest",
        "restructured_text",
        "RestructuredTextLoader",
    ),
    ("AsciiDoc", "text/asciidoc", ".adoc .asciidoc", "asciidoc", "AsciiDocLoader"),
    ("HTML", "text/html", ".html .htm .xhtml", "html.loader", "HtmlLoader"),
    ("PDF", "application/pdf", ".pdf", "pdf.loader", "PdfLoader"),
    ("Word", f"{_OFFICE}.wordprocessingml.document", ".docx .docm", "docx", "DocxLoader"),
    ("PowerPoint", f"{_OFFICE}.presentationml.presentation", ".pptx .pptm", "pptx", "PptxLoader"),
    ("Excel", f"{_OFFICE}.spreadsheetml.sheet", ".xlsx .xlsm", "xlsx", "XlsxLoader"),
    ("OpenDocument", OPEN_DOCUMENT, ".odt .ods .odp", "opendocument", "OpenDocumentLoader"),
    ("CSV", "text/csv", ".csv .tsv", "csv_table", "CsvLoader"),
    ("JSON", "application/json", ".json .jsonl .ndjson", "json_records", "JsonLoader"),
    ("XML", "application/xml", ".xml .dbk .dita", "xml_document", "XmlLoader"),
    ("notebook", "application/x-ipynb+json", ".ipynb", "notebook", "NotebookLoader"),
    ("EPUB", "application/epub+zip", ".epub", "epub", "EpubLoader"),
    ("e-mail", "message/rfc822", ".eml", "email_message", "EmailLoader"),
    ("subtitles", "text/vtt", ".srt .vtt", "subtitles", "SubtitleLoader"),
    (
        "source code",
        "text/x-source",
        ".c .cc .cpp .cs .css .go .h .hpp .ini .java .js .jsx .kt .lua .php .pl .py .r .rb .rs "
        ".scala .sh .sql .swift .toml .ts .tsx .yaml .yml",
        "source_code",
        "SourceCodeLoader",
    ),
)

FORMATS: Sequence[FileFormat] = tuple(
    FileFormat(
        name=name,
        media_type=media_type,
        extensions=tuple(extensions.split()),
        loader=(module, loader),
    )
    for name, media_type, extensions, module, loader in _TABLE
)
"""What ragkit reads by itself."""

EXTENSIONS: Mapping[str, str] = {
    extension: one.media_type for one in FORMATS for extension in one.extensions
}
"""The media type of each file extension."""

supported_extensions: tuple[str, ...] = tuple(sorted(EXTENSIONS))
"""The file extensions that can be loaded, in lower case and with their dot."""

_BY_MEDIA_TYPE = {one.media_type: one for one in FORMATS}
_SAME_TYPE: Mapping[str, str] = {
    "application/xhtml+xml": "text/html",
    "text/xml": "application/xml",
    "text/json": "application/json",
    "application/x-ndjson": "application/json",
    "application/csv": "text/csv",
    "text/tab-separated-values": "text/csv",
    "text/x-markdown": "text/markdown",
    "application/x-subrip": "text/vtt",
    "application/vnd.oasis.opendocument.spreadsheet": OPEN_DOCUMENT,
    "application/vnd.oasis.opendocument.presentation": OPEN_DOCUMENT,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LoaderRegistry:
    """Finds the loader of a file.

    Attributes:
        encoding: Of text that does not name its own.
        loaders: Loaders by media type or extension, beside ragkit's own and before them.
    """

    encoding: str = "utf-8"
    loaders: Mapping[str, Loader] = field(default_factory=dict[str, Loader])

    def media_type(self, data: bytes, name: str) -> str | None:
        """Return the media type of a file by its content and name, None for one that is unknown.

        `data` may be its first bytes; the type of a ZIP file is then that of its name.
        """
        extension = _extension(name)
        if extension in self.loaders:
            return extension
        named = EXTENSIONS.get(extension)
        return media_type_of_content(data, named=named, has_extension=bool(extension)) or named

    def knows(self, name: str) -> bool:
        """Return whether the name alone shows a format that is read."""
        extension = _extension(name)
        return extension in EXTENSIONS or extension in self.loaders

    def reads(self, head: bytes, name: str) -> bool:
        """Return whether a loader reads a file with these first bytes."""
        media_type = self.media_type(head, name)
        return media_type in _BY_MEDIA_TYPE or media_type in self.loaders

    def loader(self, data: bytes, name: str, *, media_type: str = "") -> Loader:
        """Return the loader of a file; `media_type` is the one that a server says.

        Raises:
            InputError: No loader reads files of this format.
            ConfigError: The encoding is unknown.
        """
        found = self._declared(data, name, media_type) if media_type else None
        found = found or self.media_type(data, name)
        if found is not None and found in self.loaders:
            return self.loaders[found]
        if found not in _BY_MEDIA_TYPE:
            raise InputError(unsupported_text(name))
        return _made(found, self.encoding)

    def _declared(self, data: bytes, name: str, media_type: str) -> str | None:
        """Return the type of content that a server gave a type, None where that says nothing."""
        if media_type in self.loaders:
            return media_type
        media_type = _known_type(media_type)
        extension = _extension(name)
        is_plain = media_type == "text/plain"  # which servers say of any text
        if media_type not in _BY_MEDIA_TYPE or extension in self.loaders:
            return None
        if is_plain and extension in EXTENSIONS:
            return None
        return media_type_of_content(data, named=media_type, has_extension=True) or media_type

    def identities(self) -> frozenset[str]:
        """Return the identities of all loaders, as they are now."""
        own = (_made(one.media_type, self.encoding).identity for one in FORMATS)
        return frozenset([*own, *(loader.identity for loader in self.loaders.values())])


def loader_for(path_or_uri: str, *, encoding: str = "utf-8") -> Loader:
    """Return the loader for a path, a URI or a bare extension (`"notes.md"`, `".md"`).

    Raises:
        InputError: No loader reads files with this extension.
    """
    media_type = EXTENSIONS.get(_extension(path_or_uri))
    if media_type is None:
        raise InputError(unsupported_text(path_or_uri))
    return _made(media_type, encoding)


def unsupported_text(name: str) -> str:
    """Return the message for a file that no loader reads."""
    return (
        f"No loader reads {name!r} (extension {_extension(name)!r}). "
        f"Fix: convert it to one of: {', '.join(supported_extensions)}."
    )


def _known_type(media_type: str) -> str:
    """Return the type of the table that another name or a suffix (RFC 6839) stands for."""
    if media_type in _BY_MEDIA_TYPE or media_type in _SAME_TYPE:
        return _SAME_TYPE.get(media_type, media_type)
    suffix = media_type.rpartition("+")[2]
    return f"application/{suffix}" if suffix in {"json", "xml"} else media_type


def _extension(path_or_uri: str) -> str:
    name = PurePosixPath(path_of(path_or_uri)).name.lower()
    return name if name in EXTENSIONS else PurePosixPath(name).suffix


@functools.lru_cache(maxsize=256)
def _made(media_type: str, encoding: str) -> Loader:
    module, name = _BY_MEDIA_TYPE[media_type].loader
    loaded = importlib.import_module(f"ragkit.ingest.loaders.{module}")
    return cast("Loader", getattr(loaded, name)(encoding=encoding))
