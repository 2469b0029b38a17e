"""The embedded store: the Qdrant Edge engine in this process, in one folder."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Concatenate, ParamSpec, Self, TypeVar

import qdrant_edge as qe

from ragkit.core.errors import IndexMissing
from ragkit.core.protocols import Entry, LegQuery, Legs, StoredVersion
from ragkit.core.tenant import check_tenant, check_tenants
from ragkit.core.types import (
    DEFAULT_TENANT,
    Chunk,
    DocumentRecord,
    FieldType,
    FloatArray,
    IndexIdentity,
    Quantization,
)
from ragkit.index import edge_folder, edge_reads, layout, validation
from ragkit.index.changes import stored_versions
from ragkit.index.edge_optimizer import EdgeOptimizer
from ragkit.index.edge_points import (
    DIALECT,
    Condition,
    among,
    equals,
    leg_requests,
    of_kind,
    vectors_config,
)
from ragkit.index.edge_store import EdgeStore
from ragkit.index.edge_writer import EdgeWriter
from ragkit.index.filter_translation import translate
from ragkit.index.visibility import MAX_ATTEMPTS, FoundVersion, found_versions, obsolete, uris_of
from ragkit.index.visibility import without as legs_without

_FETCHED_AT_ONCE = 64

P = ParamSpec("P")
T = TypeVar("T")


class EdgeIndex:
    """An index in a folder, used by one process at a time and handed over when another waits."""

    def __init__(
        self,
        path: Path,
        identity: IndexIdentity | None,
        *,
        fields: Mapping[str, FieldType],
        wait_s: float,
    ) -> None:
        """Name an index that is there; use `EdgeIndex.open`."""
        self._path = path
        self._wanted, self._declared = identity, dict(fields)
        self._stored: layout.StoredIdentity | None = None
        self._writer = EdgeWriter(path)
        self._store = EdgeStore(path, wait_s=wait_s, opened=self._opened)
        self._optimizer = EdgeOptimizer(store=self._store, writer=self._writer)

    @classmethod
    async def open(
        cls,
        path: Path,
        identity: IndexIdentity,
        *,
        fields: Mapping[str, FieldType] | None = None,
        create: bool = True,
        quantization: Quantization = "int8",
        wait_s: float = 10.0,
    ) -> Self:
        """Open the index in a folder, and create it there where it is missing.

        Args:
            path: The folder.
            identity: The parts that the index is, or must be, built with.
            fields: Declared fields.
            create: Create the index where it is missing.
            quantization: Of the searched prefixes of a new index.
            wait_s: Seconds that a call waits for another process.

        Raises:
            IndexMissing: There is no index, and `create` is False.
            IndexMismatch: It was built with another model, analysis, layout or field type.
            IndexLocked: Another process did not release it in time.
        """
        checked = validation.check_fields(fields or {})
        config = vectors_config(identity, quantization) if create else None
        index = cls(path, identity, fields=checked, wait_s=wait_s)
        await asyncio.to_thread(index._prepare, config)
        return index

    @classmethod
    async def open_as_stored(cls, path: Path, *, wait_s: float = 10.0) -> Self:
        """Open the index in a folder, whatever parts it was built with.

        Raises:
            IndexMissing: There is no index.
            IndexMismatch: It has another layout, or is not one of ragkit's.
            IndexLocked: Another process did not release it in time.
        """
        index = cls(path, None, fields={}, wait_s=wait_s)
        await asyncio.to_thread(index._prepare, None)
        return index

    def _prepare(self, config: qe.EdgeConfig | None) -> None:
        with edge_folder.translated(self._path):
            if not edge_folder.exists(self._path):
                if config is None or self._wanted is None:
                    raise IndexMissing(str(self._path))
                edge_folder.create(self._path, self._wanted, self._declared, config)
            with self._store.use():
                pass

    def _opened(self, shard: qe.EdgeShard) -> None:
        """Read the state that another process may have changed, and finish what a crash left."""
        self._stored = edge_folder.open_identity(
            shard, self._path, self._wanted, self._declared, again=self._stored is not None
        )
        self._writer.opened(shard, self._stored[0])

    @property
    def identity(self) -> IndexIdentity:
        """The parts that the index was built with, when it was last opened."""
        assert self._stored is not None
        return self._stored[0]

    @property
    def fields(self) -> Mapping[str, FieldType]:
        """Filterable fields, built-in and declared."""
        assert self._stored is not None
        return self._stored[1]

    async def search(self, query: LegQuery) -> Legs:
        """Run both legs in one engine call; chunks are fetched apart, for the few that are kept."""
        validation.check_leg_query(query, self.identity, self.fields)
        return await self._run(self._search, query)

    def _search(self, shard: qe.EdgeShard, query: LegQuery) -> Legs:
        hidden: dict[str, None] = {}
        legs, gone = self._searched(shard, query, hidden)
        for _ in range(MAX_ATTEMPTS - 1):
            if not gone:
                break
            hidden.update(dict.fromkeys(one.version for one in gone.values()))
            legs, gone = self._searched(shard, query, hidden)
        return legs_without(legs, gone)

    def _searched(
        self, shard: qe.EdgeShard, query: LegQuery, hidden: Mapping[str, None]
    ) -> tuple[Legs, dict[str, FoundVersion]]:
        """Return what the legs find, and the chunks that are not current."""
        begun, alone = self._writer.begun, self._writer.tenants == {query.tenant}
        legs = self._ranked(shard, query, hidden, alone=alone)
        if alone and self._writer.tenants != {query.tenant}:
            # Another tenant's first chunks came in meanwhile.
            legs = self._ranked(shard, query, hidden, alone=False)
        if self._writer.is_settled(since=begun):
            return legs, {}
        ids = list(dict.fromkeys(item for leg in (legs.dense, legs.bm25) for item, _ in leg))
        found = found_versions(edge_reads.payloads(shard, ids, keys=["uri", "version"]))
        return legs, self._obsolete(shard, found, query.tenant)

    def _obsolete(
        self, shard: qe.EdgeShard, found: Mapping[str, FoundVersion], tenant: str
    ) -> dict[str, FoundVersion]:
        ids = {layout.record_id(uri, tenant=tenant): uri for uri in uris_of(found)}
        payloads = edge_reads.payloads(shard, list(ids), keys=["version"])
        current = {ids[item]: str((load or {})["version"]) for item, load in payloads.items()}
        return obsolete(found, current)

    def _ranked(
        self, shard: qe.EdgeShard, query: LegQuery, hidden: Mapping[str, None], *, alone: bool
    ) -> Legs:
        # The folder is this process's alone meanwhile: one tenant needs no filter.
        tenant: list[Condition] = [] if alone else [equals("tenant", query.tenant)]
        where = [translate(query.where, self.fields, DIALECT)] if query.where else []
        must_not: list[Condition] = [among("version", list(hidden))] if hidden else []
        condition = None
        if tenant or where or must_not:
            condition = qe.Filter(must=[*tenant, *where] or None, must_not=must_not or None)
        params = None
        if not alone:
            params = qe.SearchParams(idf=qe.IdfParams(corpus=qe.Filter(must=tenant)))
        requests = leg_requests(query, self.identity, condition, params)
        ranked = shard.query_batch(qe.QueryBatchRequest(list(requests.values())))
        legs = {
            name: tuple((str(point.id), point.score) for point in points)
            for name, points in zip(requests, ranked, strict=True)
        }
        return Legs(dense=legs.get("dense", ()), bm25=legs.get("bm25", ()), chunks={})

    async def fetch(self, ids: Sequence[str], *, tenant: str = DEFAULT_TENANT) -> list[Chunk]:
        """Return the tenant's chunks with these ids, in that order, without those unknown."""
        check_tenant(tenant)
        if len(ids) <= _FETCHED_AT_ONCE:
            # A few points take less time than handing the work to a thread.
            with edge_folder.translated(self._path), self._store.use_if_open() as shard:
                if shard is not None:
                    return self._fetch(shard, ids, tenant)
        return await self._run(self._fetch, ids, tenant)

    def _fetch(self, shard: qe.EdgeShard, ids: Sequence[str], tenant: str) -> list[Chunk]:
        begun = self._writer.begun
        payloads = edge_reads.payloads(shard, ids)
        if not self._writer.is_settled(since=begun):
            gone = self._obsolete(shard, found_versions(payloads), tenant)
            payloads = {item: load for item, load in payloads.items() if item not in gone}
        return layout.read_chunks(ids, payloads, tenant=tenant)

    async def chunks(self, uris: Sequence[str], *, tenant: str = DEFAULT_TENANT) -> list[Chunk]:
        """Return all chunks of the tenant's documents, by uri, then in the order of reading."""
        return await self._run(self._chunks, validation.check_uris(uris), check_tenant(tenant))

    def _chunks(self, shard: qe.EdgeShard, uris: Sequence[str], tenant: str) -> list[Chunk]:
        chunks: list[Chunk] = []
        for _ in range(MAX_ATTEMPTS):
            records = edge_reads.records_of(shard, uris, tenant)
            ids = [item for one in records for item in one.chunk_ids]
            chunks = self._fetch(shard, ids, tenant)
            if len(chunks) == len(ids):
                break  # no document was replaced between the two reads
        return chunks

    async def vectors(self, ids: Sequence[str], *, tenant: str = DEFAULT_TENANT) -> FloatArray:
        """Return the whole vectors of chunks, float32 `[n, dimensions]`, by their ids."""
        return await self._run(self._vectors, ids, check_tenant(tenant))

    def _vectors(self, shard: qe.EdgeShard, ids: Sequence[str], tenant: str) -> FloatArray:
        found = shard.retrieve(list(ids), with_payload=["tenant"], with_vector=[layout.FULL])
        stored: dict[str, object] = {
            str(point.id): point.vector.get(layout.FULL)
            for point in found
            if isinstance(point.vector, dict) and (point.payload or {}).get("tenant") == tenant
        }
        return layout.stacked(ids, stored, self.identity.dimensions)

    async def records(
        self,
        uris: Sequence[str] | None = None,
        *,
        tenant: str | None = DEFAULT_TENANT,
        source: str | None = None,
    ) -> list[DocumentRecord]:
        """Return the records of documents: of these uris, of a tenant or of all, of a source."""
        if uris is not None:
            wanted, of_tenant = validation.check_uris(uris), check_tenant(tenant or "")
            records = await self._run(edge_reads.records_of, wanted, of_tenant)
            return [one for one in records if source is None or one.source == source]
        return await self._run(edge_reads.all_records, check_tenants(tenant), source)

    async def commit(self, entries: Sequence[Entry]) -> None:
        """Store documents: new chunks, then their records, then the old versions' deletion."""
        await self._run(self._writer.commit, entries)

    async def touch(self, records: Sequence[DocumentRecord]) -> None:
        """Overwrite records whose generation is still the stored one; leave the others."""
        await self._run(self._writer.touch, records)

    async def delete(self, uris: Sequence[str], *, tenant: str = DEFAULT_TENANT) -> int:
        """Remove documents, their records first, and return the number of those removed."""
        return await self._run(
            self._delete_documents, validation.check_uris(uris), check_tenant(tenant)
        )

    def _delete_documents(self, shard: qe.EdgeShard, uris: Sequence[str], tenant: str) -> int:
        return self._writer.discard(shard, edge_reads.records_of(shard, uris, tenant))

    async def discard(self, records: Sequence[DocumentRecord]) -> int:
        """Remove documents that are still as these records say, and return their number."""
        return await self._run(self._writer.discard, records)

    async def versions(self, *, tenant: str | None = DEFAULT_TENANT) -> list[StoredVersion]:
        """Return every stored write of a generation, of one tenant or (None) of all."""
        return await self._run(self._versions, check_tenants(tenant))

    def _versions(self, shard: qe.EdgeShard, tenant: str | None) -> list[StoredVersion]:
        found: list[StoredVersion] = []
        for name in edge_reads.facet(shard, "tenant") if tenant is None else [tenant]:
            counts = edge_reads.facet(shard, "version", of_kind("chunk", tenant=name))
            found += stored_versions(counts, edge_reads.changes(shard, name), tenant=name)
        return found

    async def drop(self, versions: Sequence[StoredVersion]) -> None:
        """Delete the chunks of these writes, where no record names their generation."""
        if versions:
            await self._run(self._writer.drop, versions)

    async def incomplete(self, records: Sequence[DocumentRecord]) -> list[DocumentRecord]:
        """Return those of these records that are stored, and not all of their chunks are."""
        return await self._run(edge_reads.incomplete, records)

    async def optimize(self) -> None:
        """Build the HNSW graph and merge segments where that is worth while.

        Meanwhile the index is searched and written as always, by this process and by others.
        """
        await asyncio.to_thread(self._optimize)

    def _optimize(self) -> None:
        with edge_folder.translated(self._path):
            self._store.check_open()
            self._optimizer.run()

    def holding_folder(self) -> AbstractContextManager[None]:
        """Hold the folder while the index is not open anywhere, so that its files may change.

        Raises:
            IndexLocked: Another process did not release it in time.
            InputError: It is closed.
        """
        return self._store.closed()

    async def close(self) -> None:
        """Flush and release the folder; safe to call twice."""
        await asyncio.to_thread(self._store.close)

    async def _run(
        self,
        job: Callable[Concatenate[qe.EdgeShard, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run a job on the open shard in a thread."""

        def run() -> T:
            with edge_folder.translated(self._path), self._store.use() as shard:
                return job(shard, *args, **kwargs)

        return await asyncio.to_thread(run)
