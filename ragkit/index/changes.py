"""Changes that have begun: the record of a commit or deletion until it has ended.

A writer notes its change before it stores the first chunk, and removes the note when the change
has ended. A note that stays behind names everything that a crash may have left, so that nothing
else needs to be searched for leftovers. Other writers leave a change alone until its lease has run
out, which its writer renews while it works, or until its writer is known to have ended. They claim
it before they touch its chunks, so that a writer that lives after all finds out.
"""

import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

from pydantic import BaseModel, ConfigDict

from ragkit.core.protocols import Entry, StoredVersion
from ragkit.core.types import DocumentRecord
from ragkit.index.layout import Payload, generation_of, new_version
from ragkit.index.process import has_ended, this_process


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A commit or deletion of one tenant's documents.

    Attributes:
        id: Id of its point.
        tenant: Of the documents.
        writer: The process that makes it.
        expires_at: End of its lease, in seconds since 1970.
        written: The version that it writes, by uri.
        replaced: The versions that it makes obsolete, each with its uri.
        claim: Id of the last takeover; empty while its first writer has it.
    """

    id: str
    tenant: str
    writer: str
    expires_at: float
    written: Mapping[str, str]
    replaced: tuple[tuple[str, str], ...]
    claim: str = ""

    @classmethod
    def of(
        cls,
        tenant: str,
        *,
        written: Iterable[DocumentRecord] = (),
        replaced: Iterable[DocumentRecord] = (),
        lease_s: float,
    ) -> Self:
        """Begin a change that writes and replaces these records."""
        return cls(
            id=str(uuid.uuid4()),
            tenant=tenant,
            writer=this_process(),
            expires_at=time.time() + lease_s,
            written={record.uri: record.version for record in written},
            replaced=tuple((record.uri, record.version) for record in replaced),
        )

    @property
    def uris(self) -> list[str]:
        """The uris of all documents that it changes."""
        return list(dict.fromkeys([*self.written, *(uri for uri, _ in self.replaced)]))

    @property
    def versions(self) -> list[str]:
        """Every version that it writes or makes obsolete."""
        return [*self.written.values(), *(version for _, version in self.replaced)]

    def renewed(self, lease_s: float) -> Self:
        """Return the change with a new lease."""
        return replace(self, expires_at=time.time() + lease_s)

    def claimed(self, lease_s: float) -> Self:
        """Return the change as this process takes it over."""
        return replace(self.renewed(lease_s), writer=this_process(), claim=uuid.uuid4().hex)

    def is_abandoned(self) -> bool:
        """Return whether its lease has run out or its writer has ended."""
        return time.time() > self.expires_at or has_ended(self.writer)

    def leftovers(self, records: Iterable[DocumentRecord]) -> list[str]:
        """Return the versions of the change that are not current, given the present records.

        A version of a current generation is left alone: another writer may have stored the same
        chunks over it.
        """
        current = {record.uri: record for record in records}
        versions = dict.fromkeys([*self.written.items(), *self.replaced])
        return [
            version
            for uri, version in versions
            if uri not in current or current[uri].generation != generation_of(version)
        ]


def stored_versions(
    chunks: Mapping[str, int], changes: Iterable[Change], *, tenant: str
) -> list[StoredVersion]:
    """Return a tenant's stored writes.

    Args:
        chunks: Number of stored chunks of each version.
        changes: Read after the chunks, for a writer notes its change before it stores the first.
        tenant: Of both.
    """
    pending = {version for change in changes for version in change.versions}
    return [
        StoredVersion(
            tenant=tenant,
            version=version,
            generation=generation_of(version),
            chunks=count,
            pending=version in pending,
        )
        for version, count in chunks.items()
    ]


class _ChangeBody(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    writer: str
    expires_at: float
    written: dict[str, str]
    replaced: tuple[tuple[str, str], ...]
    claim: str


class _ChangePayload(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    tenant: str
    change: _ChangeBody


def change_payload(change: Change) -> Payload:
    """Return a change as stored."""
    return {
        "kind": "change",
        "tenant": change.tenant,
        "change": {
            "writer": change.writer,
            "expires_at": change.expires_at,
            "written": dict(change.written),
            "replaced": [list(pair) for pair in change.replaced],
            "claim": change.claim,
        },
    }


def read_change(point_id: str, payload: Payload | None) -> Change:
    """Read a change from its stored form."""
    stored = _ChangePayload.model_validate(payload)
    return Change(
        id=point_id,
        tenant=stored.tenant,
        writer=stored.change.writer,
        expires_at=stored.change.expires_at,
        written=stored.change.written,
        replaced=stored.change.replaced,
        claim=stored.change.claim,
    )


def with_new_version(entry: Entry) -> Entry:
    """Return an entry for another write of its generation."""
    version = new_version(entry.record.generation)
    return replace(entry, record=replace(entry.record, version=version))


def by_tenant(entries: Sequence[Entry]) -> dict[str, list[Entry]]:
    """Return new versions of the entries, grouped by tenant; of a document given twice the last."""
    groups: dict[str, dict[str, Entry]] = {}
    for entry in entries:
        record = entry.record
        groups.setdefault(record.tenant, {})[record.uri] = with_new_version(entry)
    return {tenant: list(documents.values()) for tenant, documents in groups.items()}
