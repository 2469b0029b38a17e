"""Journals: records of the tool calls of a run, so that none is made twice after a crash.

A journal belongs to a checkpointer: keep it as long, and where, the checkpoints are kept.
"""

import asyncio
import json
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

from ragkit.agents.state import citation_of, dumped, loaded
from ragkit.core.types import ToolResult

T = TypeVar("T")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS calls (
    key TEXT PRIMARY KEY, tool TEXT NOT NULL, arguments TEXT NOT NULL, outcome TEXT
) WITHOUT ROWID
"""
_BUSY_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CallOutcome:
    """The end of a call: its result, or the message of its failure."""

    result: ToolResult | None = None
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalEntry:
    """A call in a journal. `outcome` is None while it is not known to be done."""

    key: str
    tool: str
    arguments: str
    outcome: CallOutcome | None = None


class Journal(Protocol):
    """A record of calls by their key."""

    async def begin(self, entry: JournalEntry) -> CallOutcome | None:
        """Record that a call begins; return its outcome where it is done already."""
        ...

    async def end(self, key: str, outcome: CallOutcome) -> None:
        """Record the end of a call."""
        ...

    async def entries(self) -> list[JournalEntry]:
        """Return all calls, sorted by key."""
        ...


class MemoryJournal:
    """A journal that lasts as long as the process."""

    def __init__(self) -> None:
        """Begin empty."""
        self._entries: dict[str, JournalEntry] = {}

    async def begin(self, entry: JournalEntry) -> CallOutcome | None:
        """See `Journal.begin`."""
        return self._entries.setdefault(entry.key, entry).outcome

    async def end(self, key: str, outcome: CallOutcome) -> None:
        """See `Journal.end`."""
        begun = self._entries[key]
        self._entries[key] = JournalEntry(
            key=key, tool=begun.tool, arguments=begun.arguments, outcome=outcome
        )

    async def entries(self) -> list[JournalEntry]:
        """See `Journal.entries`."""
        return sorted(self._entries.values(), key=lambda entry: entry.key)


class SQLiteJournal:
    """A journal in a file of SQLite, written through to the disk before and after each call."""

    def __init__(self, path: str | Path) -> None:
        """Set the path; the file is created when first needed."""
        self._path = Path(path)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ragkit-journal")
        self._opened: sqlite3.Connection | None = None

    async def __aenter__(self) -> Self:
        """Return the journal; leaving the block closes it."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close."""
        await self.close()

    async def begin(self, entry: JournalEntry) -> CallOutcome | None:
        """See `Journal.begin`."""

        def work(database: sqlite3.Connection) -> CallOutcome | None:
            given = (entry.key, entry.tool, entry.arguments)
            with database:
                database.execute("INSERT OR IGNORE INTO calls VALUES (?, ?, ?, NULL)", given)
            asked = "SELECT outcome FROM calls WHERE key = ?"
            (outcome,) = database.execute(asked, (entry.key,)).fetchone()
            return None if outcome is None else _read(outcome)

        return await self._do(work)

    async def end(self, key: str, outcome: CallOutcome) -> None:
        """See `Journal.end`."""

        def work(database: sqlite3.Connection) -> None:
            with database:
                database.execute(
                    "UPDATE calls SET outcome = ? WHERE key = ?", (_written(outcome), key)
                )

        await self._do(work)

    async def entries(self) -> list[JournalEntry]:
        """See `Journal.entries`."""

        def work(database: sqlite3.Connection) -> list[JournalEntry]:
            rows = database.execute("SELECT * FROM calls ORDER BY key").fetchall()
            return [
                JournalEntry(
                    key=key,
                    tool=tool,
                    arguments=arguments,
                    outcome=None if outcome is None else _read(outcome),
                )
                for key, tool, arguments, outcome in rows
            ]

        return await self._do(work)

    async def close(self) -> None:
        """Close the file; safe to call twice."""

        def work(database: sqlite3.Connection) -> None:
            database.close()
            self._opened = None

        if self._opened is not None:
            await self._do(work)
        self._thread.shutdown(wait=False)

    async def _do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, lambda: work(self._database()))

    def _database(self) -> sqlite3.Connection:
        if self._opened is None:
            self._opened = sqlite3.connect(self._path, timeout=_BUSY_S)
            self._opened.execute("PRAGMA journal_mode = WAL")
            self._opened.execute("PRAGMA synchronous = FULL")
            self._opened.execute(_SCHEMA)
        return self._opened


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
