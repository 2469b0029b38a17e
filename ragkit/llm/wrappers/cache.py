"""`Cache`: an equal call gets the reply that is stored."""

import asyncio
import dataclasses
import hashlib
import json
import sqlite3
from collections import OrderedDict
from collections.abc import AsyncGenerator, Iterator, Mapping, MutableMapping
from contextlib import aclosing
from pathlib import Path

from pydantic import TypeAdapter

from ragkit.core.operation import Operation
from ragkit.core.protocols import LLM
from ragkit.core.types import Delta, Json, Reply
from ragkit.llm.call import Call, LLMWrapper, fixed_fields, model_name
from ragkit.llm.messages import messages_of

_REPLY = TypeAdapter(Reply)
_IRRELEVANT = frozenset({"timeout_s", "on_restart"})


class MemoryReplies(OrderedDict[str, str]):
    """Replies in memory, the least recently used dropped first."""

    def __init__(self, *, most: int = 4096) -> None:
        """Hold at most `most`."""
        super().__init__()
        self._most = most

    def __getitem__(self, key: str) -> str:
        """Return a reply, which becomes the most recently used one."""
        self.move_to_end(key)
        return super().__getitem__(key)

    def __setitem__(self, key: str, value: str) -> None:
        """Store a reply."""
        super().__setitem__(key, value)
        while len(self) > self._most:
            self.popitem(last=False)


class Cache(LLMWrapper):
    """Returns the stored reply of an equal call: same model, messages, grammar and options.

    Only calls whose reply is determined are stored: `temperature=0`, or with a `seed`. Equal calls
    that overlap are made once. A reply from the cache has no completion tokens and no time; its
    prompt tokens count as cached.
    """

    def __init__(
        self, llm: LLM, store: MutableMapping[str, str] | None = None, *, always: bool = False
    ) -> None:
        """Wrap; to be used in one event loop.

        Args:
            llm: The model that is called.
            store: Replies as JSON, by key: in memory if None, in a file by `FileReplies`.
            always: Store undetermined replies too.
        """
        super().__init__(llm)
        self._store = MemoryReplies() if store is None else store
        self._always = always
        self._pending: dict[str, asyncio.Task[Reply]] = {}
        self.hits = 0

    async def respond(self, call: Call) -> AsyncGenerator[Delta]:
        """Stream a call that is not stored; the text of one that is comes in one piece."""
        if not self._stores(call):
            async with aclosing(call.stream(self.inner)) as deltas:
                async for delta in deltas:
                    yield delta
            return
        reply = await self.reply(call)
        yield Delta(text=reply.text)
        yield Delta(text="", reply=reply)

    async def reply(self, call: Call) -> Reply:
        """Return the stored reply, or make the call and store its reply."""
        if not self._stores(call):
            return await call.complete(self.inner)
        key = cache_key(await model_name(self.inner), call, fixed_fields(self.inner))
        try:
            stored = self._store[key]  # not `get`, which would not count as a use
        except KeyError:
            pass
        else:
            return self._recalled(_REPLY.validate_json(stored))
        while (pending := self._pending.get(key)) is not None:
            await asyncio.wait([pending])
            if not pending.cancelled():
                return self._recalled(pending.result())
        task = asyncio.ensure_future(call.complete(self.inner))
        self._pending[key] = task
        try:
            reply = await task
        finally:
            task.cancel()
            del self._pending[key]
        self._store[key] = _REPLY.dump_json(reply).decode()
        return reply

    def _recalled(self, reply: Reply) -> Reply:
        """Count a hit and return its reply."""
        self.hits += 1
        with Operation(kind="model call", name=self.model, facts={"cache_hit": True}):
            return _recalled(reply)

    def _stores(self, call: Call) -> bool:
        seeded = call.options.get("seed") is not None
        return self._always or seeded or call.options.get("temperature") == 0


def cache_key(model: str, call: Call, fixed: Mapping[str, Json]) -> str:
    """Return the SHA-256 of everything that decides the reply.

    Args:
        model: The model's name.
        call: The call.
        fixed: Further fields that the model is called with each time.
    """
    parts = {
        "model": model,
        "fixed": dict(fixed),
        "messages": [dataclasses.astuple(message) for message in messages_of(call.messages)],
        "grammar": None if call.grammar is None else call.grammar.ebnf,
        "options": {name: value for name, value in call.options.items() if name not in _IRRELEVANT},
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _recalled(reply: Reply) -> Reply:
    usage = dataclasses.replace(reply.usage, cached=reply.usage.prompt, completion=0)
    timings = dataclasses.replace(reply.timings, ttft_s=0.0, tpot_s=0.0, total_s=0.0)
    return dataclasses.replace(reply, usage=usage, timings=timings)


class FileReplies(MutableMapping[str, str]):
    """Replies in an SQLite file that several processes may share."""

    def __init__(self, path: str | Path) -> None:
        """Open or make the file."""
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS replies (key TEXT PRIMARY KEY, reply TEXT NOT NULL)"
        )

    def __getitem__(self, key: str) -> str:
        """Return a reply."""
        found = self._db.execute("SELECT reply FROM replies WHERE key = ?", (key,)).fetchone()
        if found is None:
            raise KeyError(key)
        return str(found[0])

    def __setitem__(self, key: str, value: str) -> None:
        """Store a reply."""
        self._db.execute("INSERT OR REPLACE INTO replies VALUES (?, ?)", (key, value))

    def __delitem__(self, key: str) -> None:
        """Delete a reply."""
        if not self._db.execute("DELETE FROM replies WHERE key = ?", (key,)).rowcount:
            raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        """The keys."""
        return (str(row[0]) for row in self._db.execute("SELECT key FROM replies"))

    def __len__(self) -> int:
        """Number of replies."""
        return int(self._db.execute("SELECT count(*) FROM replies").fetchone()[0])

    def close(self) -> None:
        """Close the file."""
        self._db.close()
