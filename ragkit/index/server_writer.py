"""Writes to a Qdrant server that any number of processes may make at the same time.

A document's record is replaced only where it still names the version that was read before
(compare-and-swap by Qdrant's conditional upsert), so that each version is replaced by exactly one
writer, which then deletes its chunks. See `ragkit.index.changes` for crashes in between.
"""

import time
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from qdrant_client import models

from ragkit.core.errors import IndexLocked, ProviderError
from ragkit.core.protocols import Entry
from ragkit.core.types import DocumentRecord, IndexIdentity
from ragkit.index import layout, server_points
from ragkit.index.changes import Change, change_payload, read_change, with_new_version
from ragkit.index.server_client import PAGE, ServerClient
from ragkit.index.server_errors import PROVIDER, CollectionReplaced
from ragkit.index.server_rebuild import WriteGate

_MAX_ATTEMPTS = 50
"""Attempts at most to store a document while other writers store it too."""


@dataclass(slots=True, kw_only=True)
class ServerWriter:
    """Commits and deletions of one process.

    Attributes:
        server: The collection.
        identity: Of the index.
        lease_s: Seconds after which others may undo a change that was not renewed.
        builder: The mark of the builder, in a collection that is built.
    """

    server: ServerClient
    identity: IndexIdentity
    lease_s: float
    builder: str = ""
    _checked: set[str] = field(default_factory=set[str])
    _failed: set[str] = field(default_factory=set[str])
    _gate: WriteGate = field(init=False)

    def __post_init__(self) -> None:
        """Stand before the gate."""
        self._gate = WriteGate(self.server, builder=self.builder)

    async def records(self, uris: Sequence[str], *, tenant: str) -> dict[str, DocumentRecord]:
        """Return the records of documents, by uri."""
        ids = [layout.record_id(uri, tenant=tenant) for uri in uris]
        found = await self.server.retrieve(ids)
        records = [layout.read_record(found[item]) for item in ids if item in found]
        return {record.uri: record for record in records}

    async def commit(self, tenant: str, entries: Sequence[Entry]) -> None:
        """Store versions of a tenant's documents."""
        await self._recover_own(tenant)
        left = list(entries)
        for _ in range(_MAX_ATTEMPTS):
            left = await self._attempt(tenant, left)
            if not left:
                return
            # Another writer stored the document before or after this one, which is not known, or
            # took this one for dead: a new version takes its place, for the chunks may be gone.
            left = list(map(with_new_version, left))
        uri = left[0].record.uri
        raise ProviderError(
            f"The document {uri!r} could not be stored at {self.server.where!r}: other writers "
            f"replaced it {_MAX_ATTEMPTS} times meanwhile. Fix: let one process write it.",
            provider=PROVIDER,
            retryable=True,
        )

    async def _attempt(self, tenant: str, entries: Sequence[Entry]) -> list[Entry]:
        """Store versions of documents, and return those that other writers prevented."""
        records = [entry.record for entry in entries]
        old = await self.records([record.uri for record in records], tenant=tenant)
        change = Change.of(tenant, written=records, replaced=old.values(), lease_s=self.lease_s)
        with self._noting_failure(change):
            change = await self._store(entries, await self._begin(change))
            await self._replace(records, old, tenant=tenant)
            if not await self._is_own(change):
                return list(entries)
            now = await self._end(change)
        return [
            entry
            for entry in entries
            if entry.record.uri not in now or now[entry.record.uri].version != entry.record.version
        ]

    async def discard(self, tenant: str, records: Iterable[DocumentRecord]) -> int:
        """Remove a tenant's documents that are still as these records say; return their number."""
        wanted = {record.uri: record for record in records}
        found = await self.records(list(wanted), tenant=tenant)
        old = [one for one in found.values() if one.version == wanted[one.uri].version]
        if not old:
            return 0
        change = Change.of(tenant, replaced=old, lease_s=self.lease_s)
        with self._noting_failure(change):
            change = await self._begin(change)
            versions = [record.version for record in old]
            for page in server_points.pages(versions, PAGE):
                await self.server.delete(server_points.of_versions("record", page, tenant=tenant))
            if not await self._is_own(change):
                # Others took this writer for dead, and perhaps the collection was replaced since.
                await self._wait_for_writes()
            now = await self.records([record.uri for record in old], tenant=tenant)
            await self._end(change)
        return sum(
            record.uri not in now or now[record.uri].version != record.version for record in old
        )

    async def drop(self, tenant: str, versions: Sequence[str]) -> None:
        """Delete the chunks of these versions."""
        for page in server_points.pages(versions, PAGE):
            await self.server.delete(server_points.of_versions("chunk", page, tenant=tenant))

    async def touch(self, tenant: str, records: Sequence[DocumentRecord]) -> None:
        """Overwrite records whose generation is still the stored one."""
        await self._wait_for_writes()
        now = await self.records([record.uri for record in records], tenant=tenant)
        for record in records:
            stored = now.get(record.uri)
            if stored is None or stored.generation != record.generation:
                continue
            point = server_points.record_point(replace(record, version=stored.version))
            condition = server_points.of_versions("record", [stored.version], tenant=tenant)
            await self.server.upsert([point], only_if=condition, mode=models.UpdateMode.UPDATE_ONLY)

    async def changes(self, tenant: str | None) -> list[Change]:
        """Return the changes that have begun and not ended."""
        found = await self.server.scroll(server_points.of_kind("change", tenant=tenant))
        return [read_change(item, payload) for item, payload in found.items()]

    async def recover(self, changes: Iterable[Change]) -> None:
        """Finish or undo the changes that their writers have abandoned."""
        for change in changes:
            if change.is_abandoned():
                await self._take_over(change)

    async def recover_failed(self) -> None:
        """Finish or undo the changes of this writer's calls that failed or were cancelled."""
        if self._failed:
            for change in await self.changes(None):
                if change.id in self._failed:
                    await self._take_over(change)
            self._failed.clear()

    async def _take_over(self, change: Change) -> None:
        """Finish or undo another writer's change.

        It is claimed first: a writer that lives after all finds that out, and stores its documents
        again.
        """
        await self._end(await self._note(change.claimed(self.lease_s)))

    async def _is_own(self, change: Change) -> bool:
        """Return whether no other writer has claimed a change."""
        found = await self.server.retrieve([change.id])
        return change.id in found and read_change(change.id, found[change.id]).claim == change.claim

    async def _recover_own(self, tenant: str) -> None:
        """Recover the changes that failed calls or ended processes have left."""
        if tenant in self._checked and not self._failed:
            return
        for change in await self.changes(tenant):
            if change.is_abandoned() or change.id in self._failed:
                await self._take_over(change)
                self._failed.discard(change.id)
        self._checked.add(tenant)

    @contextmanager
    def _noting_failure(self, change: Change) -> Generator[None]:
        try:
            yield
        except BaseException:
            self._failed.add(change.id)
            raise

    async def _begin(self, change: Change) -> Change:
        """Note a change, as soon as the collection takes any.

        Raises:
            CollectionReplaced: Another one took its place.
            IndexLocked: Another process builds it now.
        """
        while True:
            await self._note(change)
            try:
                if await self._gate.is_open():
                    return change
            except (CollectionReplaced, IndexLocked):
                await self.server.delete([change.id])
                raise
            await self.server.delete([change.id])
            await self._wait_for_writes()
            change = change.renewed(self.lease_s)

    async def _wait_for_writes(self) -> None:
        while not await self._gate.is_open():
            pass  # it waits by itself

    async def _note(self, change: Change) -> Change:
        await self.server.upsert([server_points.bare_point(change.id, change_payload(change))])
        return change

    async def _store(self, entries: Sequence[Entry], change: Change) -> Change:
        """Store the chunks, and renew the lease where that takes long."""
        points = (
            point for entry in entries for point in server_points.chunk_points(entry, self.identity)
        )
        for batch in server_points.batches(points):
            await self.server.upsert(batch)
            if time.time() > change.expires_at - self.lease_s / 2:
                change = await self._renew(change)
        return change

    async def _renew(self, change: Change) -> Change:
        """Renew the lease, unless another writer has claimed the change."""
        if await self._is_own(change):
            return await self._note(change.renewed(self.lease_s))
        return change

    async def _replace(
        self,
        records: Sequence[DocumentRecord],
        old: Mapping[str, DocumentRecord],
        *,
        tenant: str,
    ) -> None:
        """Make records current, each only in the place of the one that was read before."""
        added = [record for record in records if record.uri not in old]
        updated = [record for record in records if record.uri in old]
        for page in server_points.pages(added, PAGE):
            await self._upsert_records(page, mode=models.UpdateMode.INSERT_ONLY)
        for page in server_points.pages(updated, PAGE):
            versions = [old[record.uri].version for record in page]
            condition = server_points.of_versions("record", versions, tenant=tenant)
            await self._upsert_records(page, only_if=condition)

    async def _upsert_records(
        self,
        records: Sequence[DocumentRecord],
        *,
        only_if: models.Filter | None = None,
        mode: models.UpdateMode | None = None,
    ) -> None:
        points = [server_points.record_point(record) for record in records]
        await self.server.upsert(points, only_if=only_if, mode=mode)

    async def _end(self, change: Change) -> dict[str, DocumentRecord]:
        """Delete the chunks that a change left, then its note; return the present records."""
        now = await self.records(change.uris, tenant=change.tenant)
        if left := change.leftovers(now.values()):
            await self.drop(change.tenant, left)
        await self.server.delete([change.id])
        return now
