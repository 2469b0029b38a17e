"""Conversations that outlive the process, in SQLite or PostgreSQL, each of one tenant and user."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from ragkit.core.database import open_database
from ragkit.core.errors import InputError
from ragkit.core.types import Message

if TYPE_CHECKING:
    import sqlite3

    from ragkit.core.postgres import PostgresTransaction

Author: TypeAlias = Literal["user", "assistant"]

TITLE_CHARS = 60
"""The most characters of a title."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS conversations (
    id TEXT PRIMARY KEY, tenant TEXT NOT NULL, "user" TEXT NOT NULL, title TEXT NOT NULL,
    changed TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS conversations_of ON conversations (tenant, "user", changed);
CREATE TABLE IF NOT EXISTS turns (
    conversation TEXT NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
    ordinal INTEGER NOT NULL, author TEXT NOT NULL, text TEXT NOT NULL, details TEXT NOT NULL,
    PRIMARY KEY (conversation, ordinal)
)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """The owner of conversations: a user's name, and the tenant whose documents are asked."""

    name: str
    tenant: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationHead:
    """A conversation without its turns. `changed` is in UTC."""

    id: str
    title: str
    changed: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationTurn:
    """A question or an answer. `details` is for whoever stores it, such as an answer's JSON."""

    author: Author
    text: str
    details: str = ""

    @property
    def message(self) -> Message:
        """The turn as a model is shown it."""
        return Message(role=self.author, content=self.text)


class ConversationStore:
    """Conversations by owner. No call reads or changes those of another.

    Every change is a transaction, and several threads and processes may share the file.
    """

    def __init__(self, place: Path | str) -> None:
        """Name a file, which is made when it is first needed, or a `postgresql://` URL.

        `":memory:"` keeps everything in this process. Every call raises `InputError` where the
        file cannot be opened or is no database, and `ProviderError` where a server fails.
        """
        self._database = open_database(place, _SCHEMA)

    def create(self, owner: Owner, title: str = "") -> str:
        """Start a conversation and return its id; without a title, its first turn gives one."""
        name = uuid.uuid4().hex
        entry = (name, owner.tenant, owner.name, titled(title), _now())
        with self._database.transaction() as db:
            db.execute("INSERT INTO conversations VALUES (?, ?, ?, ?, ?)", entry)
        return name

    def append(self, owner: Owner, conversation: str, turns: Sequence[ConversationTurn]) -> int:
        """Add turns at the end, all or none, and return the ordinal of the first, from 0.

        Raises:
            InputError: The owner has no such conversation.
        """
        with self._database.transaction() as db:
            title = self._title(db, owner, conversation)
            query = "SELECT COUNT(*) FROM turns WHERE conversation = ?"
            counted: list[tuple[int]] = db.execute(query, (conversation,)).fetchall()
            ((first,),) = counted
            rows = [
                (conversation, ordinal, turn.author, turn.text, turn.details)
                for ordinal, turn in enumerate(turns, first)
            ]
            db.executemany("INSERT INTO turns VALUES (?, ?, ?, ?, ?)", rows)
            title = title or titled(turns[0].text if turns else "")
            db.execute(
                "UPDATE conversations SET changed = ?, title = ? WHERE id = ?",
                (_now(), title, conversation),
            )
        return first

    def turns(self, owner: Owner, conversation: str) -> list[ConversationTurn]:
        """Return the turns of a conversation in order.

        Raises:
            InputError: The owner has no such conversation.
        """
        with self._database.transaction(write=False) as db:
            self._title(db, owner, conversation)
            rows: list[tuple[Author, str, str]] = db.execute(
                "SELECT author, text, details FROM turns WHERE conversation = ? ORDER BY ordinal",
                (conversation,),
            ).fetchall()
        return [
            ConversationTurn(author=author, text=text, details=details)
            for author, text, details in rows
        ]

    def heads(self, owner: Owner) -> list[ConversationHead]:
        """Return the owner's conversations, the last changed first."""
        with self._database.transaction(write=False) as db:
            rows: list[tuple[str, str, str]] = db.execute(
                'SELECT id, title, changed FROM conversations WHERE tenant = ? AND "user" = ? '
                "ORDER BY changed DESC, id",
                (owner.tenant, owner.name),
            ).fetchall()
        return [
            ConversationHead(id=name, title=title, changed=datetime.fromisoformat(changed))
            for name, title, changed in rows
        ]

    def rename(self, owner: Owner, conversation: str, title: str) -> None:
        """Give a conversation another title.

        Raises:
            InputError: The title is empty, or the owner has no such conversation.
        """
        if not title.strip():
            raise InputError("A conversation needs a title. Fix: write at least one character.")
        with self._database.transaction() as db:
            self._title(db, owner, conversation)
            db.execute(
                "UPDATE conversations SET title = ? WHERE id = ?", (titled(title), conversation)
            )

    def delete(self, owner: Owner, conversation: str) -> None:
        """Remove a conversation with its turns.

        Raises:
            InputError: The owner has no such conversation.
        """
        with self._database.transaction() as db:
            self._title(db, owner, conversation)
            db.execute("DELETE FROM conversations WHERE id = ?", (conversation,))

    def _title(
        self, db: "sqlite3.Connection | PostgresTransaction", owner: Owner, conversation: str
    ) -> str:
        """Return the title of a conversation of this owner."""
        query = 'SELECT title FROM conversations WHERE id = ? AND tenant = ? AND "user" = ?'
        values = (conversation, owner.tenant, owner.name)
        found = db.execute(query + self._database.row_lock, values).fetchone()
        if found is None:
            raise InputError(f"No conversation {conversation!r}. Fix: choose one of the list.")
        return str(found[0])

    def close(self) -> None:
        """Close the database; safe to call twice."""
        self._database.close()


def titled(text: str) -> str:
    """Return a text as a title: one line of at most 60 characters."""
    line = " ".join(text.split())
    return line if len(line) <= TITLE_CHARS else line[: TITLE_CHARS - 1].rstrip() + "…"


def _now() -> str:
    return datetime.now(UTC).isoformat()
