"""Compare the manifest with the chunks that are there, and mend what a crash left."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from ragkit.core.protocols import Index
from ragkit.core.types import DocumentRecord

FaultKind: TypeAlias = Literal["orphan", "incomplete"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A disagreement between records and chunks.

    `orphan`: chunks of a generation that no record names (an interrupted update or deletion).
    `incomplete`: a record whose chunks are not all there.
    """

    kind: FaultKind
    generation: str
    expected: int
    found: int
    record: DocumentRecord | None = None

    def __str__(self) -> str:
        """One line for a person."""
        where = f"{self.record.uri!r}" if self.record else f"generation {self.generation}"
        return f"{self.kind}: {where} has {self.found} chunks, {self.expected} expected"


async def verify(index: Index) -> list[Fault]:
    """Every disagreement between records and chunks, over all tenants; empty for a sound index."""
    found = await index.generations()
    records = {record.generation: record for record in await index.records(tenant=None)}
    orphans = [
        Fault(kind="orphan", generation=generation, expected=0, found=count)
        for generation, count in found.items()
        if generation not in records
    ]
    incomplete = [
        Fault(
            kind="incomplete",
            generation=record.generation,
            expected=record.chunks,
            found=found.get(record.generation, 0),
            record=record,
        )
        for record in records.values()
        if found.get(record.generation, 0) != record.chunks
    ]
    return [*orphans, *incomplete]


async def repair(index: Index, faults: Sequence[Fault]) -> None:
    """Mend faults: drop orphans; forget incomplete documents, so that they are ingested anew."""
    await index.drop_generations([fault.generation for fault in faults])
    for fault in faults:
        if fault.record is not None:
            await index.delete([fault.record.uri], tenant=fault.record.tenant)
