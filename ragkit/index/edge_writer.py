"""Writes to an open shard, one after the other, and the recovery of those that broke off.

The folder's lock keeps other processes out while a shard is open, so a change that is found when a
folder is opened was abandoned by a writer that crashed: it is finished or undone at once.
"""

import shutil
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import qdrant_edge as qe

from ragkit.core.protocols import Entry, StoredVersion
from ragkit.core.tenant import check_tenant
from ragkit.core.types import DocumentRecord, IndexIdentity
from ragkit.index import edge_folder, edge_reads, layout, validation
from ragkit.index.changes import Change, by_tenant
from ragkit.index.edge_points import change_point, chunk_points, of_versions, record_point

_UPSERT_POINTS = 500
_LEASE_S = 10**9
"""The folder's lock is the lease."""


class EdgeWriter:
    """Commits and deletions of one process.

    Attributes:
        identity: The parts that the index was built with; set when it is opened.
        tenants: All tenants that have points; grows only, and before a tenant's first point.
        begun: Number of changes that have begun.
        unfinished: A change broke off and was not recovered yet.
    """

    identity: IndexIdentity

    def __init__(self, path: Path) -> None:
        """Name the folder."""
        self._path = path
        self._lock = threading.Lock()
        self._ended = 0
        self.begun = 0
        self.tenants: set[str] = set()
        self.unfinished = False

    def is_settled(self, *, since: int) -> bool:
        """Return whether no change is under way or left, nor has begun since this count."""
        return since == self.begun == self._ended and not self.unfinished

    def opened(self, shard: qe.EdgeShard, identity: IndexIdentity) -> None:
        """Read the tenants of a folder that was opened, and recover changes that broke off."""
        self.identity = identity
        self.tenants = set(edge_reads.facet(shard, "tenant"))
        self.unfinished = bool(edge_reads.changes(shard, None))
        if self.unfinished and shutil.disk_usage(self._path).free >= edge_folder.MIN_FREE_BYTES:
            self._recover(shard)

    def commit(self, shard: qe.EdgeShard, entries: Sequence[Entry]) -> None:
        """Store documents: new chunks, then their records, then the old versions' deletion."""
        if not entries:
            return
        validation.check_entries(entries, self.identity)
        size = sum(map(_bytes, entries))
        edge_folder.check_space(self._path, size, for_what=repr(entries[0].record.uri))
        self.tenants.update(entry.record.tenant for entry in entries)
        with self._changing(shard, chunks=sum(len(entry.chunks) for entry in entries)):
            for tenant, group in by_tenant(entries).items():
                records = [entry.record for entry in group]
                old = edge_reads.records_of(shard, [record.uri for record in records], tenant)
                change = Change.of(tenant, written=records, replaced=old, lease_s=_LEASE_S)
                points = [point for one in group for point in chunk_points(one, self.identity)]
                self._upsert(shard, [change_point(change), *points])
                self._upsert(shard, [record_point(record) for record in records])
                self._end(shard, change)

    def touch(self, shard: qe.EdgeShard, records: Sequence[DocumentRecord]) -> None:
        """Overwrite records whose generation is still the stored one; leave the others."""
        edge_folder.check_space(self._path, 0, for_what="a record")
        with self._changing(shard):
            for record in records:
                for stored in edge_reads.records_of(
                    shard, [record.uri], check_tenant(record.tenant)
                ):
                    if stored.generation == record.generation:
                        touched = replace(record, version=stored.version)
                        self._upsert(shard, [record_point(touched)])

    def discard(self, shard: qe.EdgeShard, records: Sequence[DocumentRecord]) -> int:
        """Remove documents that are still as these records say, and return their number."""
        # Even a deletion is written to the log first.
        edge_folder.check_space(self._path, 0, for_what="a deletion")
        removed = 0
        with self._changing(shard, chunks=sum(record.chunks for record in records)):
            for tenant in {record.tenant for record in records}:
                versions = {one.uri: one.version for one in records if one.tenant == tenant}
                old = [
                    record
                    for record in edge_reads.records_of(shard, list(versions), tenant)
                    if record.version == versions[record.uri]
                ]
                change = Change.of(tenant, replaced=old, lease_s=_LEASE_S)
                self._upsert(shard, [change_point(change)])
                self._delete(shard, [layout.record_id(one.uri, tenant=tenant) for one in old])
                self._end(shard, change)
                removed += len(old)
        return removed

    def drop(self, shard: qe.EdgeShard, versions: Sequence[StoredVersion]) -> None:
        """Delete the chunks of these writes, where no record names their generation."""
        edge_folder.check_space(self._path, 0, for_what="a deletion")
        with self._changing(shard):
            for tenant in {one.tenant for one in versions}:
                current = {one.generation for one in edge_reads.all_records(shard, tenant)}
                gone = [
                    one.version
                    for one in versions
                    if one.tenant == tenant and one.generation not in current
                ]
                self._delete(shard, of_versions(gone, tenant=tenant))

    @contextmanager
    def pausing(self) -> Generator[None]:
        """Keep the writers of this process out."""
        with self._lock:
            yield

    @contextmanager
    def _changing(self, shard: qe.EdgeShard, *, chunks: int = 0) -> Generator[None]:
        """Keep other writers of this process out, and let searches know of the change.

        Args:
            shard: Where the change is made.
            chunks: Number of chunks that are written or removed, about.
        """
        with self._lock:
            edge_folder.count_writes(self._path, chunks)
            if self.unfinished:
                self._recover(shard)
            self.begun += 1
            try:
                yield
            except BaseException:
                self.unfinished = True
                raise
            finally:
                self._ended += 1

    def _recover(self, shard: qe.EdgeShard) -> None:
        for change in edge_reads.changes(shard, None):
            self._end(shard, change)
        self.unfinished = False

    def _end(self, shard: qe.EdgeShard, change: Change) -> None:
        """Delete the chunks that a change left, then its note."""
        now = edge_reads.records_of(shard, change.uris, change.tenant)
        if left := change.leftovers(now):
            self._delete(shard, of_versions(left, tenant=change.tenant))
        self._forget(shard, change)

    def _upsert(self, shard: qe.EdgeShard, points: list[qe.Point]) -> None:
        for first in range(0, len(points), _UPSERT_POINTS):
            self._upsert_batch(shard, points[first : first + _UPSERT_POINTS])

    def _upsert_batch(self, shard: qe.EdgeShard, points: list[qe.Point]) -> None:
        shard.update(qe.UpdateOperation.upsert_points(points))

    def _delete(self, shard: qe.EdgeShard, selected: qe.Filter | list[str]) -> None:
        if isinstance(selected, list):
            shard.update(qe.UpdateOperation.delete_points(list(selected)))
        else:
            shard.update(qe.UpdateOperation.delete_points_by_filter(selected))

    def _forget(self, shard: qe.EdgeShard, change: Change) -> None:
        shard.update(qe.UpdateOperation.delete_points([change.id]))


def _bytes(entry: Entry) -> int:
    vectors = 0 if entry.vectors is None else entry.vectors.nbytes
    return 4 * (vectors + sum(len(chunk.text) for chunk in entry.chunks))
