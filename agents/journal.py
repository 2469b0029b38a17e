"""Journals: records of the tool calls of a run, so that none is made twice after a crash.

A journal belongs to a checkpointer: keep it as long, and where, the checkpoints are kept.
"""

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeAlias, TypeVar

from ragkit.agents.state import citation_of, dumped, loaded
from ragkit.core.database import open_database
from ragkit.core.errors import InputError
from ragkit.core.types import ToolResult

if TYPE_CHECKING:
    import sqlite3

    from ragkit.core.postgres import PostgresTransaction

_Transaction: TypeAlias = "sqlite3.Connection | PostgresTransaction"

T = TypeVar("T")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS journal (
    key TEXT PRIMARY KEY, tool TEXT NOT NULL, arguments TEXT NOT NULL, outcome TEXT,
    begun DOUBLE PRECISION NOT NULL
);
"""
_SELECT = "SELECT key, tool, arguments, outcome FROM journal"


@dataclass(frozen=True, slots=True, kw_only=True)
class CallOutcome:
    """The end of a call: its result, or the message of its failure."""

    result: ToolResult | None = None
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalEntry:
    """A call in a journal. `outcome` is None while it is not known to have ended.

    Calls of the model have no tool, and no outcome: they count, and are not made up again.
    """

    key: str
    tool: str
    arguments: str
    outcome: CallOutcome | None = None


class Journal(Protocol):
    """A record of calls by their key, which begins with the name of their run."""

    async def begin(self, entry: JournalEntry) -> JournalEntry | None:
        """Record that a call begins; return its entry where it began before."""
        ...

    async def end(self, key: str, outcome: CallOutcome) -> None:
        """Record the end of a call."""
        ...

    async def forget(self, prefix: str) -> None:
        """Delete the calls whose key begins with a prefix."""
        ...

    async def entries(self) -> list[JournalEntry]:
        """Return all calls, sorted by key."""
        ...


class MemoryJournal:
    """A journal that lasts as long as the process."""

    def __init__(self) -> None:
        """Begin empty."""
        self._entries: dict[str, JournalEntry] = {}

    async def begin(self, entry: JournalEntry) -> JournalEntry | None:
        """See `Journal.begin`."""
        known = self._entries.get(entry.key)
        if known is None:
            self._entries[entry.key] = entry
        return known

    async def end(self, key: str, outcome: CallOutcome) -> None:
        """See `Journal.end`."""
        self._entries[key] = replace(self._entries[key], outcome=outcome)

    async def forget(self, prefix: str) -> None:
        """See `Journal.forget`."""
        self.discard(prefix)

    def discard(self, prefix: str) -> None:
        """Delete the calls whose key begins with a prefix."""
        for key in [key for key in self._entries if key.startswith(prefix)]:
            del self._entries[key]

    async def entries(self) -> list[JournalEntry]:
        """See `Journal.entries`."""
        return sorted(self._entries.values(), key=lambda entry: entry.key)


class SQLiteJournal:
    """A journal in a file of SQLite, written through to the disk before and after each call."""

    def __init__(self, path: str | Path) -> None:
        """Set the path; the file is created when first needed."""
        self._database = open_database(Path(path), _SCHEMA)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ragkit-journal")

    async def __aenter__(self) -> Self:
        """Return the journal; leaving the block closes it."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close."""
        await self.close()

    async def begin(self, entry: JournalEntry) -> JournalEntry | None:
        """See `Journal.begin`."""

        def work(database: _Transaction) -> JournalEntry | None:
            given = (entry.key, entry.tool, entry.arguments, time.time())
            added = database.execute(
                "INSERT INTO journal VALUES (?, ?, ?, NULL, ?) ON CONFLICT DO NOTHING", given
            )
            if added.rowcount:
                return None
            row = database.execute(f"{_SELECT} WHERE key = ?", (entry.key,)).fetchone()
            return None if row is None else _entry(row)

        return await self._do(work)

    async def end(self, key: str, outcome: CallOutcome) -> None:
        """See `Journal.end`."""
        await self._execute("UPDATE journal SET outcome = ? WHERE key = ?", _written(outcome), key)

    async def forget(self, prefix: str) -> None:
        """See `Journal.forget`."""
        await self._execute("DELETE FROM journal WHERE substr(key, 1, ?) = ?", len(prefix), prefix)

    async def prune(self, *, before: datetime) -> int:
        """Delete the calls that began before a time, for runs that nobody will resume.

        Returns:
            The number of deleted calls.
        """
        return await self._execute("DELETE FROM journal WHERE begun < ?", before.timestamp())

    async def entries(self) -> list[JournalEntry]:
        """See `Journal.entries`."""

        def work(database: _Transaction) -> list[JournalEntry]:
            return [_entry(row) for row in database.execute(f"{_SELECT} ORDER BY key")]

        return await self._do(work)

    async def close(self) -> None:
        """Close the database; safe to call twice."""
        self._database.close()
        self._thread.shutdown(wait=False)

    async def _execute(self, statement: str, *values: str | float) -> int:
        return await self._do(lambda database: database.execute(statement, values).rowcount)

    async def _do(self, work: Callable[[_Transaction], T]) -> T:
        def transaction() -> T:
            with self._database.transaction() as database:
                return work(database)

        return await asyncio.get_running_loop().run_in_executor(self._thread, transaction)


class PostgresJournal(SQLiteJournal):
    """A journal in a PostgreSQL database, for runs that any of several machines may resume."""

    def __init__(self, url: str) -> None:
        """Set the `postgresql://` URL; it is connected to, and the table made, when first needed.

        Raises:
            InputError: It is no such URL.
            MissingExtraError: The client of PostgreSQL is not installed.
        """
        if not url.startswith(("postgresql://", "postgres://")):
            raise InputError(
                "A PostgresJournal needs a URL. Fix: pass postgresql://user@host/database."
            )
        self._database = open_database(url, _SCHEMA)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ragkit-journal")


def _entry(row: Sequence[str | None]) -> JournalEntry:
    key, tool, arguments, outcome = row
    return JournalEntry(
        key=str(key),
        tool=str(tool),
        arguments=str(arguments),
        outcome=None if outcome is None else _read(outcome),
    )


def _written(outcome: CallOutcome) -> str:
    result = outcome.result
    kept: dict[str, Any] = {"error": outcome.error}
    if result is not None:
        citations = [asdict(citation) for citation in result.citations]
        kept["result"] = {
            "text": result.text,
            "value": loaded(dumped(result.value)),
            "trimmed": result.trimmed,
            "citations": citations,
        }
    return dumped(kept)


def _read(text: str) -> CallOutcome:
    # `Any`: the JSON that `_written` wrote.
    kept: dict[str, Any] = json.loads(text)
    given = kept.get("result")
    if given is None:
        return CallOutcome(error=kept["error"])
    citations = tuple(citation_of(item) for item in given.pop("citations"))
    return CallOutcome(result=ToolResult(**given, citations=citations))
