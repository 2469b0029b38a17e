"""CSV and TSV files: rows under their header."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass

from ragkit.core.errors import InputError
from ragkit.core.types import Document
from ragkit.ingest.loaders.blocks import TextBuilder
from ragkit.ingest.loaders.charset import decode_text
from ragkit.ingest.loaders.identity import EncodedLoader, content_hash
from ragkit.ingest.loaders.table_rows import append_table
from ragkit.ingest.loaders.titles import stem_title

_DELIMITERS = ",;\t|"
_SAMPLE = 16_384
MAX_FIELD = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class CsvLoader(EncodedLoader):
    """A loader of tables whose first row is their header.

    `encoding` applies where the file has no byte order mark.
    """

    version = "csv-1"

    def load(self, data: bytes, *, uri: str) -> Document:
        """Read the rows; the delimiter is a comma, semicolon, tab or bar.

        Raises:
            InputError: The file is empty, binary, in another encoding, or no table.
        """
        source = decode_text(data, uri=uri, encoding=self.encoding)
        content = TextBuilder()
        append_table(content, _rows(source, uri))
        return Document(
            uri=uri,
            title=stem_title(uri),
            text=content.text,
            blocks=content.blocks,
            content_hash=content_hash(data),
        )


def _rows(source: str, uri: str) -> Iterator[list[str]]:
    try:
        dialect: type[csv.Dialect] = csv.Sniffer().sniff(source[:_SAMPLE], _DELIMITERS)
    except csv.Error:
        dialect = csv.excel
    csv.field_size_limit(MAX_FIELD)
    # The sniffer takes doubled quotes for an error where its sample has none (RFC 4180).
    reader = csv.reader(io.StringIO(source), dialect, doublequote=True)
    try:
        yield from reader
    except csv.Error as error:
        raise InputError(
            f"{uri!r} is no table: {error} in line {reader.line_num}. Fix: correct its quotes."
        ) from error
