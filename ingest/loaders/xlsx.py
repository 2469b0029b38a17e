"""Excel workbooks: a heading for each sheet, and its rows under their header."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING, cast

from ragkit.core.errors import InputError
from ragkit.core.types import Document
from ragkit.ingest.loaders.blocks import TextBuilder
from ragkit.ingest.loaders.identity import SelfDescribingLoader, content_hash
from ragkit.ingest.loaders.office_properties import office_metadata, office_title
from ragkit.ingest.loaders.table_rows import MAX_COLUMNS, MAX_ROWS, append_table
from ragkit.ingest.loaders.titles import stem_title
from ragkit.ingest.loaders.zip_package import checked_package, no_text_error

if TYPE_CHECKING:
    from openpyxl.worksheet._read_only import ReadOnlyWorksheet
    from openpyxl.worksheet.worksheet import Worksheet


@dataclass(frozen=True, slots=True, kw_only=True)
class XlsxLoader(SelfDescribingLoader):
    """A loader of Excel workbooks; the page of a block is its sheet."""

    version = "xlsx-2"

    def load(self, data: bytes, *, uri: str) -> Document:
        """Read the sheets in order: values, not formulas.

        Raises:
            InputError: The file is encrypted, damaged or hostile, has no text, or more than
                `MAX_ROWS` rows or `MAX_COLUMNS` columns in a sheet.
        """
        import openpyxl

        content = TextBuilder()
        with checked_package(data, uri=uri, kind="Excel") as package:
            book = openpyxl.load_workbook(package, read_only=True, data_only=True)
            for number, sheet in enumerate(book.worksheets, start=1):
                # Some programs write a wrong size, beyond which rows would not be read.
                cast("ReadOnlyWorksheet", sheet).reset_dimensions()
                rows = _rows(cast("Worksheet", sheet), uri)
                first = next(rows, None)
                if first is None:
                    continue
                content.append("heading", sheet.title, level=2, page=number)
                append_table(content, chain([first], rows), page=number)
            properties = book.properties
            metadata = office_metadata(properties, author=properties.creator)
        if not any(block.kind == "table" for block in content.blocks):
            raise no_text_error(uri)
        return Document(
            uri=uri,
            title=office_title(properties) or stem_title(uri),
            text=content.text,
            blocks=content.blocks,
            metadata=metadata,
            content_hash=content_hash(data),
        )


def _rows(sheet: "Worksheet", uri: str) -> Iterator[list[str]]:
    """Yield the rows that have text."""
    rows = sheet.iter_rows(values_only=True)
    for cells in islice(rows, MAX_ROWS):
        texts = [_text(cell) for cell in cells]
        if any(texts[MAX_COLUMNS:]):
            raise _too_large(f"{MAX_COLUMNS} columns", sheet, uri)
        if any(texts):
            yield texts[:MAX_COLUMNS]
    if next(rows, None) is not None:
        raise _too_large(f"{MAX_ROWS} rows", sheet, uri)


def _too_large(limit: str, sheet: "Worksheet", uri: str) -> InputError:
    return InputError(f"{uri!r} has more than {limit} in sheet {sheet.title!r}. Fix: divide it.")


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, dt.datetime) and value.time() == dt.time():
        return value.date().isoformat()
    return value.isoformat() if isinstance(value, dt.date | dt.time) else str(value)
