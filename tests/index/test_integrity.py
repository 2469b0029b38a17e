"""Comparing records with chunks, and repairing only what was seen."""

from collections.abc import Sequence
from dataclasses import replace

from ragkit.core.protocols import Entry, StoredVersion
from ragkit.core.types import DEFAULT_TENANT, DocumentRecord
from ragkit.index.integrity import Fault, repair, verify
from ragkit.index.memory import MemoryIndex
from ragkit.testing.index_examples import IDENTITY, make_entry


async def test_a_sound_index_has_no_faults_and_repairing_it_changes_nothing() -> None:
    index = MemoryIndex(IDENTITY)
    entry = await make_entry("a", "wolf")
    await index.commit([entry, await make_entry("empty")])
    assert await verify(index) == []
    await repair(index, [])
    assert entry.record in await index.records()


async def test_a_fault_reads_as_one_line() -> None:
    orphan = Fault(kind="orphan", tenant="me", generation="g1", expected=0, found=3)
    assert str(orphan) == "orphan: generation g1 has 3 chunks, 0 expected"
    record = (await make_entry("a", "wolf", "sheep")).record
    half = Fault(
        kind="incomplete", tenant="me", generation="g2", expected=2, found=1, record=record
    )
    assert str(half) == "incomplete: 'a' has 1 chunks, 2 expected"


def _half(entry: Entry) -> Entry:
    assert entry.vectors is not None
    return replace(entry, chunks=entry.chunks[:1], vectors=entry.vectors[:1])


async def test_only_the_tenants_documents_at_fault_are_touched() -> None:
    index = MemoryIndex(IDENTITY)
    sound = [await make_entry("a", "wolf", tenant=name) for name in ("me", "you")]
    broken = await make_entry("b", "sheep", "cow", tenant="me")
    await index.commit([*sound, _half(broken)])
    assert await verify(index, tenant="you") == []
    faults = await verify(index, tenant="me")
    assert [(fault.kind, fault.tenant) for fault in faults] == [("incomplete", "me")]
    await repair(index, faults)
    assert await verify(index) == []
    records = await index.records(tenant=None)
    assert sorted((record.tenant, record.uri) for record in records) == [("me", "a"), ("you", "a")]
    # The document that was forgotten is new to the next ingestion, and is stored whole.
    await index.commit([broken])
    assert await verify(index) == []


async def test_a_repair_can_be_repeated_after_it_broke_off() -> None:
    index = MemoryIndex(IDENTITY)
    await index.commit([_half(await make_entry("b", "sheep", "cow"))])
    faults = await verify(index)
    await repair(index, faults)
    await repair(index, faults)
    assert await verify(index) == []


class _Overtaken(MemoryIndex):
    """Another writer commits between two reads of the records."""

    def __init__(self, *entries: Entry) -> None:
        super().__init__(IDENTITY)
        self._waiting = list(entries)

    async def records(
        self,
        uris: Sequence[str] | None = None,
        *,
        tenant: str | None = DEFAULT_TENANT,
        source: str | None = None,
    ) -> list[DocumentRecord]:
        records = await super().records(uris, tenant=tenant, source=source)
        while self._waiting:
            await self.commit([self._waiting.pop()])
        return records


async def test_what_changes_between_two_reads_is_no_fault() -> None:
    index = _Overtaken(await make_entry("a", "new wolf"))
    await index.commit([await make_entry("a", "old wolf")])
    assert await verify(index) == []


class _Storing(MemoryIndex):
    """Another writer is storing chunks whose record is not there yet."""

    pending = True

    async def versions(self, *, tenant: str | None = DEFAULT_TENANT) -> list[StoredVersion]:
        return [
            StoredVersion(
                tenant="me", version="g/1", generation="g", chunks=5, pending=self.pending
            )
        ]


async def test_what_a_living_writer_is_storing_is_no_fault() -> None:
    index = _Storing(IDENTITY)
    assert await verify(index) == []
    index.pending = False
    (fault,) = await verify(index)
    assert (fault.kind, fault.found, fault.generation) == ("orphan", 5, "g")
