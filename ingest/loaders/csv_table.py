"""CSV and TSV files: rows under their header."""

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass

from ragkit.core.errors import InputError
from ragkit.core.types import Document
from ragkit.ingest.loaders.blocks import TextBuilder
from ragkit.ingest.loaders.charset import decode_text, empty_error
from ragkit.ingest.loaders.identity import EncodedLoader, content_hash
from ragkit.ingest.loaders.table_rows import append_table
from ragkit.ingest.loaders.titles import stem_title

_DELIMITERS = ",;\t|"
_NAMED_DELIMITER = re.compile(r"sep=([^\w\s\"]|\t)\n", re.IGNORECASE)
"""The first line that names the delimiter, as Excel reads it."""
_SAMPLE = 16_384
MAX_FIELD = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class CsvLoader(EncodedLoader):
    """A loader of tables whose first row is their header.

    `encoding` applies where the file has no byte order mark.
    """

    version = "csv-2"

    def load(self, data: bytes, *, uri: str) -> Document:
        """Read the rows; the delimiter is a comma, semicolon, tab or bar, or named by `sep=`.

        A field may stand in double quotes.

        Raises:
            InputError: The file is empty, binary, in another encoding, or no table.
        """
        source = decode_text(data, uri=uri, encoding=self.encoding)
        content = TextBuilder()
        append_table(content, _rows(source, uri))
        if not content.blocks:
            raise empty_error(uri)
        return Document(
            uri=uri,
            title=stem_title(uri),
            text=content.text,
            blocks=content.blocks,
            content_hash=content_hash(data),
        )


def _rows(source: str, uri: str) -> Iterator[list[str]]:
    named = _NAMED_DELIMITER.match(source)
    delimiter, skips_space = (named[1], False) if named else _sniffed(source)
    csv.field_size_limit(MAX_FIELD)
    reader = csv.reader(io.StringIO(source), delimiter=delimiter, skipinitialspace=skips_space)
    try:
        if named:
            next(reader)
        yield from reader
    except csv.Error as error:
        raise InputError(
            f"{uri!r} is no table: {error} in line {reader.line_num}. Fix: correct its quotes."
        ) from error


def _sniffed(source: str) -> tuple[str, bool]:
    """Return the delimiter and whether spaces follow it; quotes are as in RFC 4180."""
    # The sniffer would take apostrophes for quotes.
    sample = source[:_SAMPLE].replace("'", "")
    try:
        dialect = csv.Sniffer().sniff(sample, _DELIMITERS)
    except csv.Error:
        return ",", False
    return dialect.delimiter, dialect.skipinitialspace
