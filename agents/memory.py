"""Memory: a conversation within a token budget, and what is remembered beyond it."""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from ragkit.agents.prompting import Prompts, fenced
from ragkit.core.errors import ContextExceeded, InputError
from ragkit.core.filters import Filter
from ragkit.core.protocols import LLM
from ragkit.core.types import Conversation, Document, DocumentRecord, Hit, Message, stable_id
from ragkit.llm.messages import estimated_tokens, messages_of

CountTokens = Callable[[Sequence[Message]], int]
"""Counts the tokens of messages."""

_PROMPT = "conversation"
_LONGEST_MEMORY = 4000
_SUMMARY_SHARE = 4
_FENCE_TOKENS = 60
_SHORTEST = 100


def trim(
    messages: Conversation, max_tokens: int, *, count: CountTokens = estimated_tokens
) -> list[Message]:
    """The system messages and the newest others that fit.

    What is kept of the others begins with a message of the user wherever one fits, as models
    expect.

    Raises:
        InputError: The system messages and the newest message are too long together.
    """
    given = messages_of(messages)
    system = [message for message in given if message.role == "system"]
    others = [message for message in given if message.role != "system"]
    kept = others[len(others) - _fitting(system, others, max_tokens, count) :]
    first = next((at for at, message in enumerate(kept) if message.role == "user"), 0)
    return [*system, *kept[first:]]


async def summarise(
    llm: LLM,
    messages: Conversation,
    max_tokens: int,
    *,
    count: CountTokens = estimated_tokens,
    prompts: Mapping[str, str] | None = None,
) -> list[Message]:
    """The conversation, its earlier part replaced by a summary if it is too long.

    The system messages and the newest others are kept as they are; the model is called where
    something must go. The summary stands in a message of the user, marked as data.

    Args:
        llm: Writes the summary.
        messages: The conversation.
        max_tokens: Tokens of what is returned, by `count`.
        count: Counts tokens; by default an estimate that is rather too high.
        prompts: Replaces the prompt `conversation`.

    Raises:
        InputError: The system messages and the newest message leave no room for a summary.
        ProviderError: The model failed.
    """
    given = list(messages_of(messages))
    if count(given) <= max_tokens:
        return given
    room = max_tokens // _SUMMARY_SHARE
    kept = trim(given, max_tokens - room, count=count)
    system = [message for message in kept if message.role == "system"]
    others = [message for message in given if message.role != "system"]
    newest = kept[len(system) :]
    earlier = others[: len(others) - len(newest)]
    said = await _summary(llm, earlier, room - _FENCE_TOKENS, Prompts.of((_PROMPT,), prompts))
    return [*system, _fitted(said, room, count), *newest]


def _fitting(
    system: Sequence[Message], others: Sequence[Message], max_tokens: int, count: CountTokens
) -> int:
    for number in range(1, len(others) + 1):
        if count([*system, *others[-number:]]) > max_tokens:
            if number == 1:
                raise InputError(
                    f"The system messages and the newest message have more than {max_tokens} "
                    "tokens; shorten them or raise max_tokens."
                )
            return number - 1
    return len(others)


async def _summary(llm: LLM, earlier: Sequence[Message], tokens: int, prompts: Prompts) -> str:
    if tokens < 1:
        raise InputError("There is no room for a summary; raise max_tokens.")
    system = prompts.system(_PROMPT)
    fence = secrets.token_hex(6)
    text = "\n".join(f"{message.role}: {message.content}" for message in earlier)
    while True:
        data = fenced(text, fence=fence, label="conversation")
        asked = [system, Message(role="user", content=data)]
        try:
            reply = await llm.complete(asked, max_tokens=tokens)
        except ContextExceeded:
            if len(text) < _SHORTEST:
                raise
            text = text[len(text) // 2 :]  # what is newer matters more
        else:
            return reply.text.strip()


def _fitted(text: str, max_tokens: int, count: CountTokens) -> Message:
    fence = secrets.token_hex(6)
    while True:
        inside = fenced(text, fence=fence, label="summary of the conversation so far")
        message = Message(role="user", content=inside)
        if not text or count([message]) <= max_tokens:
            return message
        text = text[: len(text) * 3 // 4]


class MemoryStore(Protocol):
    """Where memories are kept; an `AsyncRAG` does."""

    async def index(self, *, create: bool = False) -> object:
        """Open the index, and make it if `create`."""
        ...

    async def ingest(self, *sources: Document, tenant: str | None = None) -> object:
        """Bring the index up to date with documents."""
        ...

    async def search(
        self,
        query: str,
        *,
        k: int | None = None,
        where: Filter | str | None = None,
        tenant: str | None = None,
    ) -> Sequence[Hit]:
        """The `k` passages that fit the query best."""
        ...

    async def documents(self, *, tenant: str | None = None) -> Sequence[DocumentRecord]:
        """The documents of a tenant."""
        ...

    async def delete(self, uris: Sequence[str], *, tenant: str | None = None) -> None:
        """Remove documents."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Something remembered; `added` is the time in UTC, ISO 8601; `score` is the search's."""

    id: str
    text: str
    added: str
    score: float


class LongTermMemory:
    """What is remembered of one tenant, across conversations, found again by search.

    Memories lie in a collection of the tenant's own, apart from its documents: no other tenant's
    search or deletion reaches them.
    """

    def __init__(self, store: MemoryStore, *, tenant: str) -> None:
        """Remember for a tenant.

        Raises:
            InputError: The tenant has no name.
        """
        if not tenant.strip():
            raise InputError("A memory belongs to a tenant; give its name.")
        self._store = store
        self._tenant = f"memory:{tenant}"

    async def add(self, text: str) -> str:
        """Remember a text and return its id; the same text again is the same memory.

        Raises:
            InputError: It is empty, too long, or could not be stored.
        """
        text = text.strip()
        if not text or len(text) > _LONGEST_MEMORY:
            raise InputError(
                f"A memory has 1 to {_LONGEST_MEMORY:,} characters, this one {len(text):,}."
            )
        name = stable_id("memory", self._tenant, text)
        document = Document(
            uri=name,
            title="",
            text=text,
            metadata={"memory": text, "added": datetime.now(UTC).isoformat(timespec="seconds")},
            content_hash=stable_id(text),
        )
        report = await self._store.ingest(document, tenant=self._tenant)
        failed: Sequence[object] = getattr(report, "failed", ())
        if failed:
            raise InputError(f"The memory could not be stored: {failed[0]}")
        return name

    async def search(self, query: str, *, k: int = 5) -> list[Memory]:
        """The `k` memories that fit the query best, best first."""
        await self._store.index(create=True)
        found: dict[str, Memory] = {}
        for hit in await self._store.search(query, k=3 * k, tenant=self._tenant):
            found.setdefault(hit.chunk.uri, _memory(hit))
        return list(found.values())[:k]

    async def forget(self, *ids: str) -> None:
        """Forget memories by their ids; unknown ones are passed over."""
        await self._store.index(create=True)
        await self._store.delete(ids, tenant=self._tenant)

    async def forget_all(self) -> None:
        """Forget everything of this tenant."""
        await self._store.index(create=True)
        records = await self._store.documents(tenant=self._tenant)
        await self._store.delete([record.uri for record in records], tenant=self._tenant)


def _memory(hit: Hit) -> Memory:
    known = hit.chunk.metadata
    return Memory(
        id=hit.chunk.uri,
        text=str(known.get("memory", hit.chunk.text)),
        added=str(known.get("added", "")),
        score=hit.score,
    )
