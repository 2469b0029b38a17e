"""PDF: text in paragraphs and headings, without running headers and page numbers."""

import importlib
import logging
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from ragkit.core.errors import InputError
from ragkit.core.types import Block, Document, MetadataValue
from ragkit.ingest.loaders.charset import empty_error
from ragkit.ingest.loaders.identity import SelfDescribingLoader, content_hash
from ragkit.ingest.loaders.pdf.blocks import write_blocks
from ragkit.ingest.loaders.pdf.layout import merge_rows
from ragkit.ingest.loaders.pdf.lines import Line, clean_text, read_lines
from ragkit.ingest.loaders.pdf.running_headers import without_running_lines
from ragkit.ingest.loaders.pdf.tesseract import Tesseract, page_image
from ragkit.ingest.loaders.titles import stem_title

_OCR = (
    "apt-get install tesseract-ocr, and set ingest.ocr to the language of the text, such as 'eng'; "
    "or: ocrmypdf in.pdf out.pdf"
)
_LOG = logging.getLogger(__name__)
# PDFium keeps global state: one call at a time in the whole process.
PDFIUM_LOCK = threading.Lock()
_NEEDS_PASSWORD = frozenset({4, 5})  # FPDF_ERR_PASSWORD, FPDF_ERR_SECURITY
_END_MARK = b"startxref"
_TAIL = 2048
_NO_VALUE = re.compile(r"\(?(?:anonymous|unspecified|unknown|none|null)\)?", re.IGNORECASE)
_NO_TITLE = re.compile(
    r"(?:untitled|document|presentation|slide|title|no ?name)[ _-]*\d*"
    r"|powerpoint presentation"
    r"|microsoft (?:office )?(?:word|excel|powerpoint)\b.*"
    r"|.*\.(?:docx?|dot|xlsx?|pptx?|od[tsp]|rtf|tex|dvi|ps|pdf|html?|txt|md|indd|pmd|p65|qxd|fm|pages)"
    r"|\S*_\S*",
    re.IGNORECASE,
)
# A heading at the top of the first page that names a part, not the document.
_PART = re.compile(
    r"1(?:\.\d+)*\.?\s.*|(?:table of )?contents|abstract|(?:1|i)?\.? ?introduction|preface",
    re.IGNORECASE,
)
_DATE = re.compile(r"D:(\d{4})(\d\d)?(\d\d)?(?:(\d\d)(\d\d)(\d\d)?(?:(Z)|([+-]\d\d)'?(\d\d)?)?)?")
_METADATA: Mapping[str, str] = {"author": "Author", "subject": "Subject"}
_PROPERTIES = ("Title", "Author", "Subject", "Keywords", "CreationDate")


@dataclass(frozen=True, slots=True, kw_only=True)
class PdfLoader(SelfDescribingLoader):
    """A loader of PDFs; pages without a text layer are read only with `ocr`."""

    version = "pdf-2"

    ocr: Tesseract | None = None

    @property
    def identity(self) -> str:
        """Name and version, and those of the program for scanned pages."""
        return self.version if self.ocr is None else f"{self.version}:{self.ocr.identity}"

    def load(self, data: bytes, *, uri: str) -> Document:
        """Extract the text in PDFium's reading order.

        The title is that of the metadata if it is one, else the first heading of the largest size
        on the first page, else the file's name.

        Raises:
            InputError: The file is empty, encrypted or damaged, or has no text.
            ConfigError: Tesseract is needed and not installed.
        """
        if not data.strip(b"\x00\t\n\r "):
            raise empty_error(uri)
        lines, properties, pages = _read(data, uri=uri)
        scanned = sorted(set(range(1, pages + 1)) - {line.page for line in lines})
        if self.ocr is not None and scanned:
            read = _read_scanned(data, scanned, self.ocr, uri=uri)
            # Tesseract's pages are in their place among the others.
            lines = sorted([*lines, *read], key=lambda line: line.page)
        missing = pages - len({line.page for line in lines})
        if not lines:
            raise InputError(_no_text(uri, pages, with_ocr=self.ocr is not None))
        if missing > pages / 2 and self.ocr is None:
            _LOG.warning(
                "%r: %d of %d pages have no text layer. Fix: %s", uri, missing, pages, _OCR
            )
        content = write_blocks(without_running_lines(merge_rows(lines), pages=pages))
        return Document(
            uri=uri,
            title=_title(properties, content.blocks, uri=uri),
            text=content.text,
            blocks=content.blocks,
            metadata=_metadata(properties, pages, missing=missing, read=len(scanned) - missing),
            content_hash=content_hash(data),
        )


def _read(data: bytes, *, uri: str) -> tuple[list[Line], Mapping[str, str], int]:
    """Return all lines, the document's properties and its number of pages."""
    # Any: pypdfium2 and its generated bindings have no types.
    pdfium: Any = importlib.import_module("pypdfium2")
    raw: Any = importlib.import_module("pypdfium2.raw")
    with PDFIUM_LOCK:
        try:
            with pdfium.PdfDocument(data) as pdf:
                pages = len(pdf)
                if not pages or _END_MARK not in data.rstrip(b"\x00\t\n\r ")[-_TAIL:]:
                    raise _damaged_error(uri, "its end is missing")
                properties = {name: _property(pdf, name) for name in _PROPERTIES}
                return list(read_lines(pdf, raw)), properties, pages
        except pdfium.PdfiumError as error:
            if getattr(error, "err_code", None) in _NEEDS_PASSWORD:
                raise InputError(
                    f"{uri!r} is encrypted and needs a password. Fix: decrypt it first, for "
                    "example: qpdf --decrypt --password=... in.pdf out.pdf"
                ) from error
            raise _damaged_error(uri, str(error).rstrip(".")) from error


def _read_scanned(data: bytes, pages: Sequence[int], ocr: Tesseract, *, uri: str) -> Iterator[Line]:
    pdfium: Any = importlib.import_module("pypdfium2")
    for number in pages:
        with PDFIUM_LOCK, pdfium.PdfDocument(data) as pdf, closing(pdf[number - 1]) as page:
            image = page_image(page, number)
        yield from ocr.lines(image, uri=uri)


def _no_text(uri: str, pages: int, *, with_ocr: bool) -> str:
    if with_ocr:
        return f"{uri!r} shows no text (pages: {pages}), not even to OCR. Fix: leave it out."
    return f"{uri!r} has no text layer; it is probably a scan (pages: {pages}). Fix: {_OCR}"


# Any: pypdfium2 and its generated bindings have no types.
def _property(pdf: Any, name: str) -> str:
    try:
        return clean_text(pdf.get_metadata_value(name))
    except UnicodeDecodeError:
        return ""  # Broken properties are no reason to refuse the text.


def _damaged_error(uri: str, reason: str) -> InputError:
    return InputError(
        f"{uri!r} is no PDF, or is damaged or cut off ({reason}). Fix: fetch it again, or repair "
        "it: qpdf in.pdf out.pdf"
    )


def _title(properties: Mapping[str, str], blocks: tuple[Block, ...], *, uri: str) -> str:
    named = properties["Title"]
    if named and not _NO_VALUE.fullmatch(named) and not _NO_TITLE.fullmatch(named):
        return named
    headings = [b for b in blocks if b.kind == "heading" and b.page == 1]
    largest = min(headings, key=lambda block: block.level, default=None)
    if largest is None or _PART.fullmatch(largest.text):
        return stem_title(uri)
    return " ".join(largest.text.split())


def _metadata(
    properties: Mapping[str, str], pages: int, *, missing: int, read: int
) -> dict[str, MetadataValue]:
    values: dict[str, MetadataValue] = {"pages": pages}
    if missing:
        values["pages_without_text"] = missing
    if read:
        values["pages_by_ocr"] = read
    for key, name in _METADATA.items():
        value = properties[name]
        if value and not _NO_VALUE.fullmatch(value):
            values[key] = value
    keywords = re.split(r"[,;]", properties["Keywords"])
    if words := tuple(word for keyword in keywords if (word := keyword.strip())):
        values["keywords"] = words
    if date := _iso_date(properties["CreationDate"]):
        values["date"] = date
    return values


def _iso_date(value: str) -> str:
    """Return a PDF date (ISO 32000-1, 7.9.4) as an ISO 8601 string, empty where it is none."""
    match = _DATE.match(value)
    if not match:
        return ""
    year, month, day, hour, minute, second, utc, zone_hours, zone_minutes = match.groups()
    date = f"{year}-{month or '01'}-{day or '01'}"
    if not hour:
        return date
    zone = "+00:00" if utc else f"{zone_hours}:{zone_minutes or '00'}" if zone_hours else ""
    return f"{date}T{hour}:{minute}:{second or '00'}{zone}"
