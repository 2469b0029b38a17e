"""Conversations that outlive the process, in a SQLite file, each of one tenant and user."""

import asyncio
import sqlite3
import threading
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from ragkit.core.errors import InputError
from ragkit.core.types import Message, Role

T = TypeVar("T")

TITLE_CHARS = 80
"""Characters of the first question that name a conversation."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS conversations (
    id TEXT PRIMARY KEY, tenant TEXT NOT NULL, user TEXT NOT NULL, title TEXT NOT NULL,
    created TEXT NOT NULL, updated TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS conversations_of ON conversations (tenant, user, updated);
CREATE TABLE IF NOT EXISTS messages (
    conversation TEXT NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
    position INTEGER NOT NULL, role TEXT NOT NULL, content TEXT NOT NULL,
    PRIMARY KEY (conversation, position)
);
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredConversation:
    """A conversation's entry in the list; times are ISO 8601 in UTC."""

    id: str
    title: str
    created: str
    updated: str


class ConversationStore:
    """Conversations by tenant and user. No call reads or changes those of another.

    Writes are transactions, and several processes may share the file.
    """

    def __init__(self, file: Path | str) -> None:
        """Open or create the file; `":memory:"` keeps everything in this process.

        Raises:
            InputError: The file cannot be opened or is no database.
        """
        try:
            if str(file) != ":memory:":
                Path(file).parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(file, check_same_thread=False, timeout=10.0)
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA foreign_keys = ON")
            self._connection.executescript(_SCHEMA)
        except (sqlite3.Error, OSError) as error:
            raise InputError(
                f"The conversations in {str(file)!r} cannot be opened: {error}. "
                "Fix: name a file that can be written."
            ) from error
        self._lock = threading.Lock()

    async def create(self, *, tenant: str, user: str, title: str = "") -> str:
        """Start a conversation and return its id."""
        name, now = uuid.uuid4().hex, _now()
        entry = (name, tenant, user, title[:TITLE_CHARS], now, now)
        await self._do(
            lambda db: db.execute("INSERT INTO conversations VALUES (?, ?, ?, ?, ?, ?)", entry)
        )
        return name

    async def append(
        self, conversation: str, messages: Sequence[Message], *, tenant: str, user: str
    ) -> None:
        """Add messages at the end; the first question becomes the title where there is none.

        Raises:
            InputError: The tenant's user has no such conversation.
        """

        def write(db: sqlite3.Connection) -> None:
            _require(db, conversation, tenant, user)
            row = db.execute(
                "SELECT COALESCE(MAX(position), -1) FROM messages WHERE conversation = ?",
                (conversation,),
            ).fetchone()
            rows = [
                (conversation, position, message.role, message.content)
                for position, message in enumerate(messages, row[0] + 1)
            ]
            db.executemany("INSERT INTO messages VALUES (?, ?, ?, ?)", rows)
            asked = next((one.content for one in messages if one.role == "user"), "")
            db.execute(
                "UPDATE conversations SET updated = ?, title = CASE title WHEN '' THEN ? "
                "ELSE title END WHERE id = ?",
                (_now(), " ".join(asked.split())[:TITLE_CHARS], conversation),
            )

        await self._do(write)

    async def messages(self, conversation: str, *, tenant: str, user: str) -> list[Message]:
        """The messages of a conversation, the oldest first.

        Raises:
            InputError: The tenant's user has no such conversation.
        """

        def read(db: sqlite3.Connection) -> list[tuple[Role, str]]:
            _require(db, conversation, tenant, user)
            return db.execute(
                "SELECT role, content FROM messages WHERE conversation = ? ORDER BY position",
                (conversation,),
            ).fetchall()

        return [Message(role=role, content=content) for role, content in await self._do(read)]

    async def conversations(self, *, tenant: str, user: str) -> list[StoredConversation]:
        """The user's conversations, the latest first."""
        rows: list[tuple[str, str, str, str]] = await self._do(
            lambda db: db.execute(
                "SELECT id, title, created, updated FROM conversations "
                "WHERE tenant = ? AND user = ? ORDER BY updated DESC, rowid DESC",
                (tenant, user),
            ).fetchall()
        )
        return [
            StoredConversation(id=name, title=title, created=created, updated=updated)
            for name, title, created, updated in rows
        ]

    async def rename(self, conversation: str, title: str, *, tenant: str, user: str) -> None:
        """Give a conversation another title.

        Raises:
            InputError: The title is empty, or the tenant's user has no such conversation.
        """
        if not title.strip():
            raise InputError("The title is empty. Fix: give a title of at least one character.")

        def write(db: sqlite3.Connection) -> None:
            _require(db, conversation, tenant, user)
            shown = title.strip()[:TITLE_CHARS]
            db.execute("UPDATE conversations SET title = ? WHERE id = ?", (shown, conversation))

        await self._do(write)

    async def delete(self, conversation: str, *, tenant: str, user: str) -> None:
        """Remove a conversation with its messages.

        Raises:
            InputError: The tenant's user has no such conversation.
        """

        def write(db: sqlite3.Connection) -> None:
            _require(db, conversation, tenant, user)
            db.execute("DELETE FROM conversations WHERE id = ?", (conversation,))

        await self._do(write)

    def close(self) -> None:
        """Close the file; safe to call twice."""
        with self._lock:
            self._connection.close()

    async def _do(self, job: Callable[[sqlite3.Connection], T]) -> T:
        """Run a job in one transaction, off the event loop."""

        def locked() -> T:
            with self._lock, self._connection as db:
                db.execute("BEGIN IMMEDIATE")
                return job(db)

        return await asyncio.to_thread(locked)


def _require(db: sqlite3.Connection, conversation: str, tenant: str, user: str) -> None:
    found = db.execute(
        "SELECT 1 FROM conversations WHERE id = ? AND tenant = ? AND user = ?",
        (conversation, tenant, user),
    ).fetchone()
    if found is None:
        raise InputError(
            f"No conversation {conversation!r}. Fix: list the conversations, or start one."
        )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
