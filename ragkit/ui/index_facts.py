"""Size and contents of the open index."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from ragkit.core.sync import run_sync
from ragkit.core.types import DocumentRecord
from ragkit.ui.workspace import Workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantCount:
    """The counts of a tenant in the index."""

    tenant: str
    documents: int
    passages: int


def tenant_counts(workspace: Workspace, *, everyone: bool) -> list[TenantCount]:
    """Return the counts of this tenant, or of every tenant, the largest first."""

    async def read() -> list[DocumentRecord]:
        index = await workspace.rag.index()
        return await index.records(tenant=None if everyone else workspace.tenant)

    records = run_sync(read)
    documents = Counter(record.tenant for record in records)
    passages = Counter[str]()
    for record in records:
        passages[record.tenant] += record.chunks
    return [
        TenantCount(tenant=name, documents=count, passages=passages[name])
        for name, count in documents.most_common()
    ]


def bytes_on_disk(location: str) -> int | None:
    """Return the size of an embedded index, or None where it is not a folder here."""
    folder = Path(location)
    if not folder.is_dir():
        return None
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
