"""Journals: records of the tool calls of a run, so that none is made twice after a crash.

A journal belongs to a checkpointer: keep it as long, and where, the checkpoints are kept. The calls
of a run that is over are deleted some time after its end.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol, Self

from ragkit.agents.state import citation_of, dumped, loaded
from ragkit.core.database import Database, DatabaseThread, Transaction, open_database
from ragkit.core.errors import InputError
from ragkit.core.types import ToolResult

KEEP = timedelta(days=7)
"""Time after the end of a run for which its calls are kept."""
JOURNAL_TABLES = """
CREATE TABLE IF NOT EXISTS journal_calls (
    key TEXT PRIMARY KEY, tool TEXT NOT NULL, arguments TEXT NOT NULL, outcome TEXT,
    begun DOUBLE PRECISION NOT NULL
);
CREATE TABLE IF NOT EXISTS journal_runs (prefix TEXT PRIMARY KEY, ended DOUBLE PRECISION NOT NULL);
"""
_POSTGRES_TABLES = JOURNAL_TABLES.replace("key TEXT", 'key TEXT COLLATE "C"')
_SELECT = "SELECT key, tool, arguments, outcome FROM journal_calls"
_FORGET = "DELETE FROM journal_calls WHERE key >= ? AND key < ?"
_LAST = "\U0010ffff"


@dataclass(frozen=True, slots=True, kw_only=True)
class CallOutcome:
    """The end of a call: its result, or the message of its failure."""

    result: ToolResult | None = None
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalEntry:
    """A call in a journal. `outcome` is None while it is not known to have ended.

    Calls of the model have no tool, and no outcome: they count, and are not made up again. The
    beginning of a call that `writes` is on the disk before it is made, so that it is known after a
    power failure too.
    """

    key: str
    tool: str
    arguments: str
    outcome: CallOutcome | None = None
    writes: bool = False


class Journal(Protocol):
    """A record of calls by their key, which begins with the name of their run."""

    async def begin(self, entry: JournalEntry) -> JournalEntry | None:
        """Record that a call begins; return its entry where it began before."""
        ...

    async def end(self, key: str, outcome: CallOutcome) -> None:
        """Record the end of a call; nothing where its run has ended and its calls are deleted."""
        ...

    async def forget(self, prefix: str) -> None:
        """Delete the calls whose key begins with a prefix."""
        ...

    async def end_run(self, prefix: str) -> None:
        """Take note that the run is over whose keys begin with a prefix: delete its calls later.

        Not at once, since LangGraph may still be about to write the checkpoints of its last steps.
        """
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
        if key in self._entries:
            self._entries[key] = replace(self._entries[key], outcome=outcome)

    async def end_run(self, prefix: str) -> None:
        """Delete the calls of a run at once: nothing is left to write where it ends."""
        await self.forget(prefix)

    async def forget(self, prefix: str) -> None:
        """See `Journal.forget`."""
        for key in [key for key in self._entries if key.startswith(prefix)]:
            del self._entries[key]

    async def entries(self) -> list[JournalEntry]:
        """See `Journal.entries`."""
        return sorted(self._entries.values(), key=lambda entry: entry.key)


class SQLiteJournal:
    """A journal in a file of SQLite."""

    def __init__(self, place: str | Path | DatabaseThread, *, keep: timedelta = KEEP) -> None:
        """Set the path; the file is created when first needed.

        Args:
            place: The path, or a database that has the `JOURNAL_TABLES`.
            keep: Time after the end of a run for which its calls are kept, so that it can still
                be taken up again from a checkpoint in its middle.
        """
        if not isinstance(place, DatabaseThread):
            place = DatabaseThread(Database(Path(place), JOURNAL_TABLES))
        self._database = place
        self._keep = keep

    async def __aenter__(self) -> Self:
        """Return the journal; leaving the block closes it."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close."""
        await self.close()

    async def begin(self, entry: JournalEntry) -> JournalEntry | None:
        """See `Journal.begin`."""

        def work(database: Transaction) -> JournalEntry | None:
            given = (entry.key, entry.tool, entry.arguments, time.time())
            added = database.execute(
                "INSERT INTO journal_calls VALUES (?, ?, ?, NULL, ?) ON CONFLICT DO NOTHING", given
            )
            if added.rowcount:
                return None
            row = database.execute(f"{_SELECT} WHERE key = ?", (entry.key,)).fetchone()
            return None if row is None else _entry(row)

        return await self._database.transaction(work, synced=entry.writes)

    async def end(self, key: str, outcome: CallOutcome) -> None:
        """See `Journal.end`."""
        statement = "UPDATE journal_calls SET outcome = ? WHERE key = ?"
        await self._execute(statement, _written(outcome), key)

    async def forget(self, prefix: str) -> None:
        """See `Journal.forget`."""
        await self._execute(_FORGET, prefix, prefix + _LAST)

    async def end_run(self, prefix: str) -> None:
        """Take note that a run is over, and delete the calls of those that have long been."""
        now = time.time()
        due = now - self._keep.total_seconds()

        def work(database: Transaction) -> None:
            database.execute(
                "INSERT INTO journal_runs VALUES (?, ?) "
                "ON CONFLICT (prefix) DO UPDATE SET ended = excluded.ended",
                (prefix, now),
            )
            over = database.execute("SELECT prefix FROM journal_runs WHERE ended <= ?", (due,))
            for (one,) in over.fetchall():
                database.execute(_FORGET, (one, one + _LAST))
                database.execute("DELETE FROM journal_runs WHERE prefix = ?", (one,))

        await self._database.transaction(work, synced=False)

    async def prune(self, *, before: datetime) -> int:
        """Delete the calls that began before a time, for runs that nobody will resume.

        Returns:
            The number of deleted calls.
        """
        await self._execute("DELETE FROM journal_runs WHERE ended < ?", before.timestamp())
        return await self._execute("DELETE FROM journal_calls WHERE begun < ?", before.timestamp())

    async def entries(self) -> list[JournalEntry]:
        """See `Journal.entries`."""

        def work(database: Transaction) -> list[JournalEntry]:
            return [_entry(row) for row in database.execute(f"{_SELECT} ORDER BY key")]

        return await self._database.transaction(work)

    async def close(self) -> None:
        """Close the database; safe to call twice."""
        await self._database.close()

    async def _execute(self, statement: str, *values: str | float) -> int:
        def work(database: Transaction) -> int:
            return database.execute(statement, values).rowcount

        return await self._database.transaction(work, synced=False)


class PostgresJournal(SQLiteJournal):
    """A journal in a PostgreSQL database, for runs that any of several machines may resume."""

    def __init__(self, url: str, *, keep: timedelta = KEEP) -> None:
        """Set the `postgresql://` URL; it is connected to, and the tables made, when first needed.

        Args:
            url: The URL.
            keep: See `SQLiteJournal`.

        Raises:
            InputError: It is no such URL.
            MissingExtraError: The client of PostgreSQL is not installed.
        """
        if not url.startswith(("postgresql://", "postgres://")):
            raise InputError(
                "A PostgresJournal needs a URL. Fix: pass postgresql://user@host/database."
            )
        super().__init__(DatabaseThread(open_database(url, _POSTGRES_TABLES)), keep=keep)


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
