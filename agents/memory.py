"""Long-term memory: texts that an agent should know later, found again by search."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from ragkit.core.errors import InputError
from ragkit.core.filters import Filter
from ragkit.core.types import Document, DocumentRecord, Hit, stable_id

_LONGEST_MEMORY = 4000


class MemoryStore(Protocol):
    """A store of memories; an `AsyncRAG` is one."""

    async def index(self, *, create: bool = False) -> object:
        """Open the index, and make it if `create`."""
        ...

    async def ingest(self, *sources: Document, tenant: str | None = None) -> object:
        """Update the index with documents."""
        ...

    async def search(
        self,
        query: str,
        *,
        k: int | None = None,
        where: Filter | str | None = None,
        tenant: str | None = None,
    ) -> Sequence[Hit]:
        """Return the `k` passages that fit the query best."""
        ...

    async def documents(self, *, tenant: str | None = None) -> Sequence[DocumentRecord]:
        """Return the documents of a tenant."""
        ...

    async def delete(self, uris: Sequence[str], *, tenant: str | None = None) -> object:
        """Remove documents."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """A remembered text; `added` is the time in UTC, ISO 8601; `score` is the search's."""

    id: str
    text: str
    added: str
    score: float


class LongTermMemory:
    """The memories of one tenant, across conversations, found again by search.

    Memories lie in a collection of the tenant's own, apart from its documents: no other tenant's
    search or deletion reaches them.
    """

    def __init__(self, store: MemoryStore, *, tenant: str) -> None:
        """Open the memories of a tenant.

        Raises:
            InputError: The tenant has no name.
        """
        if not tenant.strip():
            raise InputError(
                "A memory belongs to a tenant, got an empty name. Fix: pass tenant=NAME."
            )
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
        """Return the `k` memories that fit the query best, best first."""
        await self._store.index(create=True)
        found: dict[str, Memory] = {}
        for hit in await self._store.search(query, k=3 * k, tenant=self._tenant):
            found.setdefault(hit.chunk.uri, _memory(hit))
        return list(found.values())[:k]

    async def forget(self, *ids: str) -> None:
        """Delete memories by their ids; unknown ones are ignored."""
        await self._store.index(create=True)
        await self._store.delete(ids, tenant=self._tenant)

    async def forget_all(self) -> None:
        """Delete all memories of this tenant."""
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
