"""A query as a collection: each row is a document; SQLite and PostgreSQL."""

import datetime
import decimal
import sqlite3
import uuid
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeAlias, cast

from ragkit.core.errors import InputError, MissingExtraError, ProviderError
from ragkit.core.secrets import NO_SECRETS, ServerAddress, without_credentials
from ragkit.core.types import Document, Metadata, MetadataValue
from ragkit.ingest.loaders.titles import stem_title
from ragkit.ingest.report import FailedDocument
from ragkit.ingest.sources.collection import Listed
from ragkit.ingest.sources.file import FileReader
from ragkit.ingest.sources.item import MemorySource, text_hash
from ragkit.ingest.sources.sqlite_authorizer import ReadOnlyAuthorizer

Rows: TypeAlias = tuple[Sequence[str], Iterable[Sequence[object]]]
"""The names of the columns, and the rows as they come."""

_POSTGRES = ("postgresql://", "postgres://")
_CONNECT_S = 10
_FETCHED = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlSource:
    """The rows of a query as documents.

    The query runs in a transaction that cannot write, and its rows are read as they are needed.

    Attributes:
        name: The name that uris begin with, and that a sync knows the rows by.
        database: A SQLite file, or a `postgresql://` URL.
        query: A SELECT.
        uri: The column that identifies a row.
        text: The column with the text.
        title: The column with the title; the uri's last part by default.
        metadata: Columns that become metadata; times become texts, and NULL is left out.
    """

    name: str
    database: Path | str = field(repr=False)
    query: str
    uri: str = "id"
    text: str = "text"
    title: str | None = None
    metadata: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Refuse a name that no uri can begin with, and an empty database."""
        if not self.name or "/" in self.name or not str(self.database):
            raise InputError(
                f"SqlSource has the name {self.name!r} and a database of {len(str(self.database))} "
                "characters. Fix: give a name without '/', and a file or URL."
            )

    @property
    def origin(self) -> str:
        """The identity of the rows."""
        return f"sql:{self.name}"

    def path(self, uri: str) -> str | None:
        """Return the identity of a row."""
        return uri.removeprefix(f"{self.name}/")

    @contextmanager
    def listing(self, reader: FileReader) -> Generator[Iterator[Listed]]:
        """Run the query, and list its rows."""
        opened = _postgres if str(self.database).startswith(_POSTGRES) else _sqlite
        with opened(str(self.database), self.query) as (columns, rows):
            yield self._documents(columns, rows, reader.common_metadata)

    def _documents(
        self, columns: Sequence[str], rows: Iterable[Sequence[object]], added: Metadata
    ) -> Iterator[Listed]:
        chosen = [self.uri, self.text, *([self.title] if self.title else []), *self.metadata]
        if unknown := [column for column in chosen if column not in columns]:
            raise InputError(
                f"The query of {self.name!r} has no column {unknown[0]!r}, only "
                f"{', '.join(columns)}. Fix: choose among these, or change the query."
            )
        for number, values in enumerate(rows, start=1):
            row = dict(zip(columns, values, strict=True))
            try:
                document = self._document(row, number)
                yield MemorySource(document=document, origin=self.origin, added=added)
            except InputError as error:
                yield FailedDocument(uri=self.name, reason=str(error))

    def _document(self, row: Mapping[str, object], number: int) -> Document:
        key = row[self.uri]
        if key is None or key == "":
            raise InputError(
                f"Row {number} of {self.name!r} has no {self.uri}. Fix: choose a column that "
                "identifies every row."
            )
        uri = f"{self.name}/{self._value(row, self.uri)}"
        text = "" if row[self.text] is None else str(self._value(row, self.text))
        title = self.title and row[self.title] is not None and self._value(row, self.title)
        return Document(
            uri=uri,
            title=str(title or stem_title(uri)),
            text=text,
            metadata={
                column: self._value(row, column)
                for column in self.metadata
                if row[column] is not None
            },
            content_hash=text_hash(text),
        )

    def _value(self, row: Mapping[str, object], column: str) -> MetadataValue:
        value = row[column]
        if isinstance(value, str | bool | int | float):
            return value
        if isinstance(value, decimal.Decimal):
            return float(value)
        if isinstance(value, datetime.date | datetime.time):
            return value.isoformat()
        if isinstance(value, uuid.UUID):
            return str(value)
        if isinstance(value, list) and all(
            isinstance(one, str) for one in cast("list[object]", value)
        ):
            return tuple(cast("list[str]", value))
        raise InputError(
            f"The row {row[self.uri]!r} of {self.name!r} has {column} = {value!r:.80}, which is no "
            "text, number, time or list of texts. Fix: convert it in the query."
        )


@contextmanager
def _sqlite(place: str, query: str) -> Generator[Rows]:
    path = Path(place).expanduser().absolute()
    if not path.is_file():
        raise InputError(f"No database at {place!r}. Fix: check the path.")
    fail = partial(_translated, place, sqlite3.Error)
    with fail():
        # The rows are read in several threads, one after the other.
        opened = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, check_same_thread=False)
    authorizer = ReadOnlyAuthorizer()
    with closing(opened) as connection:
        connection.set_authorizer(authorizer)
        with fail(), _refusal_named(authorizer):
            cursor = connection.execute(query)
        columns = [str(column[0]) for column in cursor.description or ()]
        with closing(_read(cursor, fail)) as rows:
            yield columns, rows


@contextmanager
def _refusal_named(authorizer: ReadOnlyAuthorizer) -> Generator[None]:
    try:
        yield
    except sqlite3.Error as error:
        if authorizer.refused is None:
            raise
        raise sqlite3.DatabaseError(f"it uses {authorizer.refused}") from error


@contextmanager
def _postgres(url: str, query: str) -> Generator[Rows]:
    try:
        import psycopg
    except ImportError as error:
        raise MissingExtraError("psycopg", extra="postgres") from error
    fail = partial(_translated, url, psycopg.Error, psycopg.OperationalError)
    with fail():
        opened = psycopg.connect(url, connect_timeout=_CONNECT_S)
    opened.read_only = True
    # A cursor with a name is kept by the server, which sends its rows in parts.
    with closing(opened), closing(opened.cursor("ragkit")) as cursor:
        cursor.itersize = _FETCHED
        with fail():
            cursor.execute(query.encode())
        columns = [column.name for column in cursor.description or ()]
        with closing(_read(cursor, fail)) as rows:
            yield columns, rows


def _read(
    cursor: Iterable[Sequence[object]], fail: Callable[[], AbstractContextManager[None]]
) -> Generator[Sequence[object]]:
    with fail():
        yield from cursor


@contextmanager
def _translated(
    place: str, errors: type[Exception], unreachable: type[Exception] | None = None
) -> Generator[None]:
    """Raise the errors of a database, without its password, as those of ragkit."""
    try:
        yield
    except errors as error:
        secrets = ServerAddress.parse(place).secrets if "://" in place else NO_SECRETS
        said = secrets.hidden((str(error).splitlines() or [type(error).__name__])[0])
        if unreachable is not None and isinstance(error, unreachable):
            raise ProviderError(
                f"PostgreSQL failed: {said}. Fix: check its URL, and that it runs.",
                provider="postgresql",
                retryable=True,
            ) from secrets.cause(error)
        raise InputError(
            f"The query over {without_credentials(place)!r} failed: {said}. Fix: correct the "
            "query; it may only read."
        ) from secrets.cause(error)
