"""OpenDocument: texts, sheets and slides of LibreOffice and others, read from their XML."""

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

from ragkit.core.errors import InputError
from ragkit.core.types import Document, MetadataValue
from ragkit.ingest.loaders.blocks import DEEPEST_HEADING, TextBuilder
from ragkit.ingest.loaders.identity import SelfDescribingLoader, content_hash
from ragkit.ingest.loaders.table_rows import MAX_COLUMNS, MAX_ROWS, append_table
from ragkit.ingest.loaders.titles import title_from
from ragkit.ingest.loaders.xml_names import local_name
from ragkit.ingest.loaders.zip_package import damaged_package, no_text_error, open_package

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_DEEPEST = 100
_LEFT_OUT = frozenset({"annotation", "annotation-end", "tracked-changes", "note-citation", "title"})
_SPACES = {"s": " ", "tab": "\t", "line-break": "\n"}
_METADATA = {"initial-creator": "author", "subject": "subject", "creation-date": "date"}


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenDocumentLoader(SelfDescribingLoader):
    """A loader of .odt, .ods and .odp; the page of a block is its sheet or slide."""

    version = "opendocument-2"

    def load(self, data: bytes, *, uri: str) -> Document:
        """Read headings, paragraphs, lists and tables in order, with footnotes where they stand.

        Comments, deleted text, headers and footers are left out.

        Raises:
            InputError: The file is encrypted, damaged or hostile, has no text, or more than
                `MAX_ROWS` rows or `MAX_COLUMNS` columns in a sheet.
        """
        from defusedxml.ElementTree import fromstring

        with open_package(data, uri=uri, kind="OpenDocument") as package:
            try:
                _check_open(package, uri)
                reader = _OpenDocumentReader(uri)
                reader.read(fromstring(package.read("content.xml")))
                title, metadata = _properties(package)
            except InputError:
                raise
            except Exception as error:
                raise damaged_package(uri, "OpenDocument", error) from error
        content = reader.content
        if not content.blocks:
            raise no_text_error(uri)
        return Document(
            uri=uri,
            title=title or title_from(content.blocks, uri=uri),
            text=content.text,
            blocks=content.blocks,
            metadata=metadata,
            content_hash=content_hash(data),
        )


def _check_open(package: zipfile.ZipFile, uri: str) -> None:
    manifest = "META-INF/manifest.xml"
    if manifest in package.namelist() and b"encryption-data" in package.read(manifest):
        raise InputError(f"{uri!r} is encrypted. Fix: save it without a password.")


class _OpenDocumentReader:
    """Writes the blocks of a document, one element after the other."""

    def __init__(self, uri: str) -> None:
        self.content = TextBuilder()
        self._uri = uri
        self._page: int | None = None

    def read(self, document: "Element") -> None:
        """Write all of it."""
        body = next((item for item in document if local_name(item.tag) == "body"), None)
        for kind in body if body is not None else ():
            for number, item in enumerate(kind, start=1):
                self._page = (
                    number if local_name(kind.tag) in {"spreadsheet", "presentation"} else None
                )
                self._write(item, _DEEPEST, in_sheet=local_name(kind.tag) == "spreadsheet")

    def _write(self, item: "Element", levels: int, *, in_sheet: bool = False) -> None:
        if not levels:
            raise InputError(f"{self._uri!r} nests deeper than {_DEEPEST} levels. Fix: flatten it.")
        tag = local_name(item.tag)
        if tag == "h":
            level = int(_attribute(item, "outline-level") or 1)
            self.content.append(
                "heading", _text(item), level=min(level, DEEPEST_HEADING), page=self._page
            )
        elif tag == "p":
            self.content.append("paragraph", _text(item), page=self._page)
        elif tag == "list":
            self.content.append("list", "\n".join(_items(item, "")), page=self._page)
        elif tag == "table":
            self._table(item, named=in_sheet)
        elif tag not in _LEFT_OUT:
            if tag == "page":
                self.content.append("heading", _slide_title(item), level=2, page=self._page)
            for child in item:
                if not _is_slide_title(child):
                    self._write(child, levels - 1)

    def _table(self, table: "Element", *, named: bool) -> None:
        rows = self._rows(table)
        first = next(rows, None)
        if first is None:
            return
        if named:
            name = _attribute(table, "name")
            self.content.append("heading", name, level=2, page=self._page)
        append_table(self.content, chain([first], rows), page=self._page)

    def _rows(self, table: "Element") -> Iterator[list[str]]:
        """Yield the rows that have text; a repeated one as often as it is there."""
        count = 0
        for row in (item for item in table.iter() if local_name(item.tag) == "table-row"):
            cells = _cells(row)
            if not any(cells):
                continue
            if any(cells[MAX_COLUMNS:]):
                raise InputError(
                    f"{self._uri!r} has more than {MAX_COLUMNS} columns in a table. Fix: divide it."
                )
            del cells[MAX_COLUMNS:]
            repeated = int(_attribute(row, "number-rows-repeated") or 1)
            count += repeated
            if count > MAX_ROWS:
                raise InputError(
                    f"{self._uri!r} has more than {MAX_ROWS} rows in a table. Fix: divide it."
                )
            yield from [cells] * repeated


def _cells(row: "Element") -> list[str]:
    cells: list[str] = []
    for cell in row:
        if local_name(cell.tag) not in {"table-cell", "covered-table-cell"}:
            continue
        parts = [
            _text(part) for part in cell if local_name(part.tag) in {"p", "h", "list", "frame"}
        ]
        text = " ".join(part for part in parts if part)
        repeated = int(_attribute(cell, "number-columns-repeated") or 1)
        cells += [text] * min(repeated, max(1, MAX_COLUMNS + 1 - len(cells)))
    return cells


def _items(part: "Element", indent: str) -> Iterator[str]:
    for item in part:
        texts = [_text(child) for child in item if local_name(child.tag) in {"p", "h"}]
        if any(texts):
            yield f"{indent}- {' '.join(texts)}"
        for child in item:
            if local_name(child.tag) == "list":
                yield from _items(child, f"{indent}  ")


def _slide_title(page: "Element") -> str:
    titles = (_text(item) for item in page if _is_slide_title(item))
    return next((title for title in titles if title), "") or _attribute(page, "name")


def _is_slide_title(item: "Element") -> bool:
    return local_name(item.tag) == "frame" and _attribute(item, "class") == "title"


def _text(item: "Element") -> str:
    """Return the visible text of a paragraph, and of what is anchored in it."""
    return " ".join("".join(_pieces(item)).split())


def _pieces(item: "Element") -> Iterator[str]:
    yield item.text or ""
    for child in item:
        tag = local_name(child.tag)
        if tag in _SPACES:
            yield _SPACES[tag]
        elif tag not in _LEFT_OUT:
            between = " " if tag in {"p", "note", "list", "list-item", "text-box"} else ""
            yield between
            yield from _pieces(child)
            yield between
        yield child.tail or ""


def _properties(package: zipfile.ZipFile) -> tuple[str, dict[str, MetadataValue]]:
    """Return the title and the metadata that the author gave."""
    from defusedxml.ElementTree import fromstring

    title, values = "", dict[str, MetadataValue]()
    if "meta.xml" not in package.namelist():
        return title, values
    keywords: list[str] = []
    for item in fromstring(package.read("meta.xml")).iter():
        text = " ".join((item.text or "").split())
        if not text:
            continue
        if local_name(item.tag) == "title":
            title = text
        elif local_name(item.tag) == "keyword":
            keywords.append(text)
        elif key := _METADATA.get(local_name(item.tag)):
            values[key] = text
    if keywords:
        values["keywords"] = tuple(keywords)
    return title, values


def _attribute(item: "Element", name: str) -> str:
    found = (value for key, value in item.attrib.items() if local_name(key) == name)
    return next(found, "")
