"""SQLite files that several threads and processes share."""

import sqlite3
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ragkit.core.errors import InputError, ProviderError

if TYPE_CHECKING:
    from ragkit.core.postgres import PostgresDatabase

_BUSY_S = 10.0


def open_database(place: Path | str, schema: str) -> "Database | PostgresDatabase":
    """Return the database of a file, or of a `postgresql://` URL; nothing is opened yet.

    Raises:
        MissingExtraError: The client of PostgreSQL is not installed.
    """
    if str(place).startswith(("postgresql://", "postgres://")):
        from ragkit.core.postgres import PostgresDatabase

        return PostgresDatabase(str(place), schema)
    return Database(place, schema)


class Database:
    """A SQLite file with a schema; `":memory:"` keeps everything in this process.

    With `exclusive`, no other process can open it as long as this object is open.
    """

    row_lock = ""
    """Put behind a SELECT whose rows the transaction changes; a transaction is alone here."""

    def __init__(self, file: Path | str, schema: str, *, exclusive: bool = False) -> None:
        """Name the file; it is opened or created when it is first needed.

        Raises:
            InputError: The name is empty.
        """
        if not str(file):  # which SQLite takes for a database that nobody sees again
            raise InputError("The file of a database is ''. Fix: name a file.")
        self._file = file
        self._schema = schema
        self._exclusive = exclusive
        self._lock = threading.Lock()
        self._opened: sqlite3.Connection | None = None

    def open(self) -> None:
        """Open or create the file, readable by its owner only.

        Raises:
            InputError: It cannot be opened, is no database, or is in use by another process.
        """
        with self._lock:
            self._connection()

    @contextmanager
    def transaction(self, *, write: bool = True) -> Generator[sqlite3.Connection]:
        """Run statements as one transaction, alone in this process and among writers.

        One that does not `write` waits for no other process, and none waits for it.

        Raises:
            InputError: The file cannot be opened, or a value cannot be stored.
            ProviderError: Another process held it for too long, or the disk is full or failed.
        """
        with self._lock:
            connection = self._connection()
            try:
                connection.execute("BEGIN IMMEDIATE" if write else "BEGIN")
                yield connection
                connection.execute("COMMIT")
            except UnicodeEncodeError as error:
                raise InputError(f"SQLite cannot store a value: {error}") from error
            except sqlite3.OperationalError as error:
                raise ProviderError(
                    f"The database {str(self._file)!r} failed: {error}. Fix: free some space if "
                    "its disk is full; try again if another process was writing.",
                    provider="sqlite",
                    retryable=True,
                ) from error
            finally:
                if connection.in_transaction:  # a full disk may have ended it
                    connection.execute("ROLLBACK")

    def close(self) -> None:
        """Close the file; safe to call twice. The next transaction opens it again."""
        with self._lock:
            if self._opened is not None:
                self._opened.close()
                self._opened = None

    def _connection(self) -> sqlite3.Connection:
        if self._opened is not None:
            return self._opened
        connection: sqlite3.Connection | None = None
        try:
            if str(self._file) != ":memory:":
                Path(self._file).parent.mkdir(parents=True, exist_ok=True)
                Path(self._file).touch(mode=0o600)
            connection = sqlite3.connect(
                self._file,
                check_same_thread=False,
                isolation_level=None,
                timeout=0 if self._exclusive else _BUSY_S,
            )
            if self._exclusive:
                connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA foreign_keys = ON")
            connection.executescript(f"BEGIN IMMEDIATE; {self._schema}; COMMIT")
        except (sqlite3.Error, OSError) as error:
            if connection is not None:
                connection.close()
            raise InputError(
                f"The database {str(self._file)!r} cannot be opened: {error}. "
                "Fix: name a file that can be written and that no other process holds."
            ) from error
        self._opened = connection
        return connection
