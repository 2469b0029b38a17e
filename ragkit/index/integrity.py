"""Comparing the manifest with the stored chunks, and repairing what a crash left."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from ragkit.core.protocols import Index, StoredVersion
from ragkit.core.types import DocumentRecord

FaultKind: TypeAlias = Literal["orphan", "incomplete"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A disagreement between records and chunks.

    `orphan`: chunks of a generation that no record names and no writer is still storing (an
    interrupted update or deletion). `incomplete`: a record whose chunks are not all there.
    """

    kind: FaultKind
    tenant: str
    generation: str
    expected: int
    found: int
    record: DocumentRecord | None = None
    version: StoredVersion | None = None

    def __str__(self) -> str:
        """Describe the fault in one line."""
        where = f"{self.record.uri!r}" if self.record else f"generation {self.generation}"
        return f"{self.kind}: {where} has {self.found} chunks, {self.expected} expected"


async def verify(index: Index, *, tenant: str | None = None) -> list[Fault]:
    """Return every disagreement between records and chunks, of one tenant or (None) of all.

    The list is empty for a sound index. What another writer is storing meanwhile is no fault.
    """
    before = await index.records(tenant=tenant)
    versions = await index.versions(tenant=tenant)
    after = {(record.tenant, record.uri): record for record in await index.records(tenant=tenant)}
    records = {
        (record.tenant, record.generation): record
        for record in before
        # What changed between the two reads is for its writer to finish.
        if (now := after.get((record.tenant, record.uri))) and now.version == record.version
    }
    known = records.keys() | {(record.tenant, record.generation) for record in after.values()}
    found: dict[tuple[str, str], int] = {}
    for one in versions:
        key = one.tenant, one.generation
        found[key] = found.get(key, 0) + one.chunks
    orphans = [
        Fault(
            kind="orphan",
            tenant=one.tenant,
            generation=one.generation,
            expected=0,
            found=one.chunks,
            version=one,
        )
        for one in versions
        if (one.tenant, one.generation) not in known and not one.pending
    ]
    incomplete = [
        Fault(
            kind="incomplete",
            tenant=record.tenant,
            generation=record.generation,
            expected=record.chunks,
            found=found.get(key, 0),
            record=record,
        )
        for key, record in records.items()
        if found.get(key, 0) != record.chunks
    ]
    return [*orphans, *incomplete]


async def repair(index: Index, faults: Sequence[Fault]) -> None:
    """Repair faults: drop orphans; forget incomplete documents, so that they are ingested again.

    Only the very writes that `verify` saw are touched, whatever was stored since.
    """
    await index.drop([fault.version for fault in faults if fault.version is not None])
    await index.discard([fault.record for fault in faults if fault.record is not None])
