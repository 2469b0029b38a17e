"""SQLite files that several threads and processes share."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from ragkit.core.errors import InputError, ProviderError

if TYPE_CHECKING:
    from ragkit.core.postgres import PostgresDatabase, PostgresTransaction

T = TypeVar("T")
Transaction: TypeAlias = "sqlite3.Connection | PostgresTransaction"

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
    def transaction(
        self, *, write: bool = True, synced: bool = True
    ) -> Generator[sqlite3.Connection]:
        """Run statements as one transaction, alone in this process and among writers.

        One that does not `write` waits for no other process, and none waits for it. One that is not
        `synced` does not wait for the disk: it survives the end of the process, but not always a
        power failure, after which it and those behind it may be missing.

        Raises:
            InputError: The file cannot be opened or is damaged, or a value cannot be stored.
            ProviderError: Another process held it for too long, or the disk is full or failed.
        """
        with self._lock:
            connection = self._connection()
            try:
                connection.execute(f"PRAGMA synchronous = {'FULL' if synced else 'NORMAL'}")
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
            except sqlite3.DatabaseError as error:
                if type(error) is not sqlite3.DatabaseError:  # such as a constraint, for the caller
                    raise
                raise InputError(
                    f"The database {str(self._file)!r} is damaged: {error}. Fix: put a copy of "
                    "it back, or move it away to begin with an empty one."
                ) from error
            finally:
                if connection.in_transaction:  # a full disk may have ended it
                    connection.execute("ROLLBACK")

    @contextmanager
    def alone(self) -> Generator[sqlite3.Connection]:
        """Give the connection, alone in this process, to what makes transactions of its own.

        Raises:
            InputError: The file cannot be opened.
        """
        with self._lock:
            yield self._connection()

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


class DatabaseThread:
    """A database and the one thread that works on it, so that no event loop waits for a disk."""

    def __init__(self, database: "Database | PostgresDatabase") -> None:
        """Start no thread yet; the database is opened when it is first needed."""
        self._database = database
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ragkit-database")

    async def transaction(self, work: Callable[[Transaction], T], *, synced: bool = True) -> T:
        """Run `work` in a transaction of its own and return its value; see `Database`."""

        def run() -> T:
            with self._database.transaction(synced=synced) as transaction:
                return work(transaction)

        return await self.run(run)

    async def run(self, work: Callable[[], T]) -> T:
        """Run `work`, which makes its own transactions, and return its value.

        Raises:
            InputError: The database was closed.
        """
        try:
            running = asyncio.get_running_loop().run_in_executor(self._thread, work)
        except RuntimeError as error:
            raise InputError(
                f"The database is closed: {error}. Fix: use it before that, or open another."
            ) from error
        return await running

    async def close(self) -> None:
        """Close the database once all that was begun has ended; safe to call twice."""
        await asyncio.to_thread(self._thread.shutdown)
        await asyncio.to_thread(self._database.close)
