"""Finding and mending what disagrees between records and chunks."""

from ragkit.index.integrity import Fault, repair, verify
from ragkit.index.memory import MemoryIndex
from ragkit.testing.index_examples import IDENTITY, leave_orphans, make_entry


async def test_a_sound_index_has_no_faults_and_repairing_it_changes_nothing() -> None:
    index = MemoryIndex(IDENTITY)
    entry = await make_entry("a", "wolf")
    await index.commit([entry, await make_entry("empty")])
    assert await verify(index) == []
    await repair(index, [])
    assert entry.record in await index.records()


async def test_a_fault_reads_as_one_line() -> None:
    orphan = Fault(kind="orphan", generation="g1", expected=0, found=3)
    assert str(orphan) == "orphan: generation g1 has 3 chunks, 0 expected"
    record = (await make_entry("a", "wolf", "sheep")).record
    half = Fault(kind="incomplete", generation="g2", expected=2, found=1, record=record)
    assert str(half) == "incomplete: 'a' has 1 chunks, 2 expected"


async def test_only_what_is_at_fault_is_touched() -> None:
    index = MemoryIndex(IDENTITY)
    sound = [await make_entry("a", "wolf", tenant=name) for name in ("me", "you")]
    broken = await make_entry("b", "sheep", "cow", tenant="me")
    assert broken.vectors is not None
    await index.commit(sound)
    await leave_orphans(index, "goat")
    missing_one = type(broken)(
        record=broken.record, chunks=broken.chunks[:1], vectors=broken.vectors[:1]
    )
    await index.commit([missing_one])
    faults = await verify(index)
    assert sorted(fault.kind for fault in faults) == ["incomplete", "orphan"]
    await repair(index, faults)
    assert await verify(index) == []
    records = await index.records(tenant=None)
    assert sorted(record.tenant for record in records) == ["me", "you"]
    # The document that was forgotten is new to the next ingestion, and is stored whole.
    await index.commit([broken])
    assert await verify(index) == []


async def test_a_repair_can_be_repeated_after_it_broke_off() -> None:
    index = MemoryIndex(IDENTITY)
    await leave_orphans(index, "goat")
    faults = await verify(index)
    await repair(index, faults)
    await repair(index, faults)
    assert await verify(index) == []
