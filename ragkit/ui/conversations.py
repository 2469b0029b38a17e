"""Conversations in a local SQLite file, each seen by its owner and tenant only."""

import sqlite3
import threading
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeAlias

from ragkit.core.errors import InputError
from ragkit.ui.stored_answer import StoredAnswer

Author: TypeAlias = Literal["user", "assistant"]
TITLE_CHARS = 60

_SCHEMA = """
create table if not exists conversations (
  id text primary key, owner text not null, tenant text not null, title text not null,
  changed text not null);
create index if not exists by_owner on conversations (owner, tenant, changed);
create table if not exists turns (
  conversation text not null references conversations (id) on delete cascade,
  ordinal integer not null, author text not null, text text not null, answer text,
  primary key (conversation, ordinal));
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """A person, by the cookie of a browser, and the tenant whose documents are asked."""

    name: str
    tenant: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationHead:
    """A conversation without its turns. `changed` is in UTC."""

    id: str
    title: str
    changed: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A question, or the answer to one. `ordinal` counts from 0 in its conversation."""

    ordinal: int
    author: Author
    text: str
    answer: StoredAnswer | None = None


class Conversations:
    """The file of conversations; safe to use from several threads."""

    def __init__(self, path: Path) -> None:
        """Name the file; it is made when first needed."""
        self._path = path
        self._lock = threading.Lock()
        self._opened: sqlite3.Connection | None = None

    def heads(self, owner: Owner) -> list[ConversationHead]:
        """Return the owner's conversations, the last changed first."""
        rows = self._read(
            "select id, title, changed from conversations where owner = ? and tenant = ? "
            "order by changed desc, rowid desc",
            owner.name,
            owner.tenant,
        )
        return [
            ConversationHead(id=key, title=title, changed=datetime.fromisoformat(changed))
            for key, title, changed in rows
        ]

    def create(self, owner: Owner, title: str) -> str:
        """Start a conversation and return its id."""
        key = uuid.uuid4().hex
        self._write(
            "insert into conversations values (?, ?, ?, ?, ?)",
            key,
            owner.name,
            owner.tenant,
            titled(title),
            _now(),
        )
        return key

    def turns(self, owner: Owner, conversation: str) -> list[Turn]:
        """Return the turns in order; none for a conversation of somebody else."""
        rows = self._read(
            "select t.ordinal, t.author, t.text, t.answer from turns t "
            "join conversations c on c.id = t.conversation "
            "where c.id = ? and c.owner = ? and c.tenant = ? order by t.ordinal",
            conversation,
            owner.name,
            owner.tenant,
        )
        return [
            Turn(
                ordinal=ordinal,
                author=author,
                text=text,
                answer=StoredAnswer.model_validate_json(answer) if answer else None,
            )
            for ordinal, author, text, answer in rows
        ]

    def add(self, owner: Owner, conversation: str, text: str, answer: StoredAnswer | None) -> int:
        """Append a turn, an answer's if there is one, and return its ordinal.

        Raises:
            InputError: The owner has no such conversation.
        """
        self._check(owner, conversation)
        author = "user" if answer is None else "assistant"
        with self._lock, self._connection() as connection:
            found = connection.execute(
                "select count(*) from turns where conversation = ?", (conversation,)
            )
            ordinal: int = found.fetchone()[0]
            kept = None if answer is None else answer.model_dump_json()
            connection.execute(
                "insert into turns values (?, ?, ?, ?, ?)",
                (conversation, ordinal, author, text, kept),
            )
            connection.execute(
                "update conversations set changed = ? where id = ?", (_now(), conversation)
            )
        return ordinal

    def rename(self, owner: Owner, conversation: str, title: str) -> None:
        """Give a conversation another title.

        Raises:
            InputError: The title is empty, or the owner has no such conversation.
        """
        self._check(owner, conversation)
        if not title.strip():
            raise InputError("A conversation needs a title. Fix: write at least one character.")
        self._write("update conversations set title = ? where id = ?", titled(title), conversation)

    def delete(self, owner: Owner, conversation: str) -> None:
        """Delete a conversation and its turns.

        Raises:
            InputError: The owner has no such conversation.
        """
        self._check(owner, conversation)
        self._write("delete from conversations where id = ?", conversation)

    def title(self, owner: Owner, conversation: str) -> str | None:
        """Return the title of a conversation; None where the owner has no such one."""
        rows = self._read(
            "select title from conversations where id = ? and owner = ? and tenant = ?",
            conversation,
            owner.name,
            owner.tenant,
        )
        return rows[0][0] if rows else None

    def close(self) -> None:
        """Close the file; safe to call twice."""
        with self._lock:
            if self._opened is not None:
                self._opened.close()
                self._opened = None

    def _check(self, owner: Owner, conversation: str) -> None:
        if self.title(owner, conversation) is None:
            raise InputError(
                f"There is no conversation {conversation!r} of yours. Fix: choose one of the list."
            )

    def _read(self, statement: str, *values: str) -> list[tuple[Any, ...]]:  # Any: SQLite's values
        with self._lock:
            return self._connection().execute(statement, values).fetchall()

    def _write(self, statement: str, *values: str) -> None:
        with self._lock, self._connection() as connection:
            connection.execute(statement, values)

    def _connection(self) -> sqlite3.Connection:
        if self._opened is None:
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._opened = sqlite3.connect(self._path, check_same_thread=False, timeout=30)
                self._opened.execute("pragma foreign_keys = on")
                self._opened.execute("pragma journal_mode = wal")
                self._opened.executescript(_SCHEMA)
            except (OSError, sqlite3.Error) as error:
                self._opened = None
                raise InputError(
                    f"Conversations cannot be kept in {str(self._path)!r}: {error}. "
                    "Fix: give a folder that can be written with --data."
                ) from error
        return self._opened


def titled(text: str) -> str:
    """Return a text as a title: one line of at most 60 characters."""
    line = " ".join(text.split())
    return line if len(line) <= TITLE_CHARS else line[: TITLE_CHARS - 1].rstrip() + "…"


def as_markdown(title: str, turns: list[Turn]) -> str:
    """Return a conversation as Markdown: questions as headings, answers with their quotes."""
    parts = [f"# {title}"]
    for turn in turns:
        if turn.answer is None:
            parts.append(f"## {' '.join(turn.text.split())}")
        else:
            parts.append(turn.answer.markdown())
    return "\n\n".join(parts) + "\n"


def _now() -> str:
    return datetime.now(UTC).isoformat()
