"""Reads of an open shard."""

from collections.abc import Sequence

import qdrant_edge as qe

from ragkit.core.types import DocumentRecord
from ragkit.index import layout
from ragkit.index.changes import Change, read_change
from ragkit.index.edge_points import of_kind

_EVERYTHING = 10**9


def payloads(
    shard: qe.EdgeShard, ids: Sequence[str], *, keys: list[str] | None = None
) -> dict[str, layout.Payload | None]:
    """Return the payloads (of these keys, if any) of the points with these ids."""
    found = shard.retrieve(
        list(ids), with_payload=True if keys is None else keys or False, with_vector=False
    )
    return {str(point.id): point.payload for point in found}


def scrolled(shard: qe.EdgeShard, condition: qe.Filter) -> dict[str, layout.Payload | None]:
    """Return the payloads of all points that meet a condition."""
    request = qe.ScrollRequest(
        filter=condition, limit=_EVERYTHING, with_payload=True, with_vector=False
    )
    return {str(point.id): point.payload for point in shard.scroll(request)[0]}


def facet(shard: qe.EdgeShard, key: str, condition: qe.Filter | None = None) -> dict[str, int]:
    """Return the number of points for each value of a key."""
    request = qe.FacetRequest(key=key, limit=_EVERYTHING, exact=True, filter=condition)
    return {str(hit.value): hit.count for hit in shard.facet(request) if hit.count}


def records_of(shard: qe.EdgeShard, uris: Sequence[str], tenant: str) -> list[DocumentRecord]:
    """Return the records of a tenant's documents, in the order of the uris."""
    ids = [layout.record_id(uri, tenant=tenant) for uri in uris]
    found = payloads(shard, ids)
    return [layout.read_record(found[item]) for item in ids if item in found]


def all_records(
    shard: qe.EdgeShard, tenant: str | None, source: str | None = None
) -> list[DocumentRecord]:
    """Return all records, of one tenant or of all, of one source or of all."""
    keys = {} if source is None else {"source": source}
    found = scrolled(shard, of_kind("record", tenant=tenant, **keys))
    return [layout.read_record(payload) for payload in found.values()]


def incomplete(shard: qe.EdgeShard, records: Sequence[DocumentRecord]) -> list[DocumentRecord]:
    """Return those of these records that are stored, and not all of their chunks are."""
    wanted = [(record, record.chunk_ids) for record in records]
    found = payloads(shard, [item for _, ids in wanted for item in ids], keys=[]).keys()
    parts = [record for record, ids in wanted if not found >= set(ids)]
    stored = payloads(shard, [layout.record_id(one.uri, tenant=one.tenant) for one in parts])
    current = {layout.read_record(payload).version for payload in stored.values()}
    return [record for record in parts if record.version in current]


def changes(shard: qe.EdgeShard, tenant: str | None) -> list[Change]:
    """Return the changes that have begun and not ended."""
    found = scrolled(shard, of_kind("change", tenant=tenant))
    return [read_change(item, payload) for item, payload in found.items()]
