"""A PostgreSQL database in the place of a SQLite file that several machines share."""

import threading
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from typing import Any

from ragkit.core.errors import InputError, MissingExtraError, ProviderError

try:
    import psycopg
except ImportError as error:
    raise MissingExtraError("psycopg", extra="postgres") from error

_CONNECT_S = 10


class PostgresTransaction:
    """A transaction with SQLite's way of writing values: `?`."""

    def __init__(self, connection: "psycopg.Connection[Any]") -> None:
        """Run statements on this connection."""
        self._connection = connection

    def execute(self, statement: str, values: Sequence[object] = ()) -> "psycopg.Cursor[Any]":
        """Run a statement and return the cursor with its rows."""
        return self._connection.execute(_translated(statement), values)

    def executemany(self, statement: str, rows: Iterable[Sequence[object]]) -> None:
        """Run a statement for each row."""
        with self._connection.cursor() as cursor:
            cursor.executemany(_translated(statement), rows)


class PostgresDatabase:
    """A database by its URL, with a schema that is made where it is missing.

    A connection that breaks is made again by the next transaction.
    """

    row_lock = " FOR UPDATE"
    """Put behind a SELECT whose rows the transaction changes."""

    def __init__(self, url: str, schema: str) -> None:
        """Name the database; it is connected to when it is first needed."""
        self._url = url
        self._schema = schema
        self._lock = threading.Lock()
        self._opened: psycopg.Connection[Any] | None = None

    @contextmanager
    def transaction(
        self, *, write: bool = True, synced: bool = True
    ) -> Generator[PostgresTransaction]:
        """Run statements as one transaction, alone in this process; readers wait for nobody.

        Each is `synced`, unless the server is configured otherwise.

        Raises:
            ProviderError: The server cannot be reached, refuses, or fails.
            InputError: A value cannot be stored.
        """
        with self._lock:
            try:
                connection = self._connection()
                with connection.transaction():
                    yield PostgresTransaction(connection)
            except (psycopg.DataError, UnicodeEncodeError) as error:
                raise InputError(f"PostgreSQL cannot store a value: {_said(error)}") from error
            except psycopg.OperationalError as error:
                self._drop()
                raise ProviderError(
                    f"The PostgreSQL server failed: {_said(error)}. Fix: check its URL and that it "
                    "runs.",
                    provider="postgresql",
                    retryable=True,
                    failure="refused",
                ) from error

    def close(self) -> None:
        """Close the connection; safe to call twice. The next transaction opens it again."""
        with self._lock:
            self._drop()

    def _connection(self) -> "psycopg.Connection[Any]":
        if self._opened is None or self._opened.closed:
            self._opened = psycopg.connect(self._url, autocommit=True, connect_timeout=_CONNECT_S)
            with self._opened.transaction():
                # Two processes that make the same table at once would fail.
                self._opened.execute("SELECT pg_advisory_xact_lock(hashtext('ragkit schema'))")
                self._opened.execute(self._schema.encode())
        return self._opened

    def _drop(self) -> None:
        if self._opened is not None:
            self._opened.close()
            self._opened = None


def _translated(statement: str) -> Any:
    return statement.replace("%", "%%").replace("?", "%s")


def _said(error: Exception) -> str:
    """Return the first line of a message; a URL with a password is in none of them."""
    return (str(error).splitlines() or [type(error).__name__])[0]
