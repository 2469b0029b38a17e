"""One collection of a Qdrant server: what an index reads from it and writes to it."""

from collections.abc import Mapping, Sequence

from qdrant_client import models

from ragkit.core.protocols import Entry, LegQuery, Legs, StoredVersion
from ragkit.core.tenant import check_tenant, check_tenants
from ragkit.core.types import (
    DEFAULT_TENANT,
    Chunk,
    DocumentRecord,
    FieldType,
    FloatArray,
    IndexIdentity,
)
from ragkit.index import layout, server_points, validation
from ragkit.index.changes import by_tenant, stored_versions
from ragkit.index.server_client import PAGE, ServerClient
from ragkit.index.server_writer import ServerWriter
from ragkit.index.visibility import MAX_ATTEMPTS, FoundVersion, found_versions, obsolete, uris_of
from ragkit.index.visibility import without as legs_without

_DELETIONS = 10
"""Attempts at most to delete a document that other writers replace meanwhile."""


class ServerCollection:
    """An index in one collection, which may make way for another one meanwhile.

    A call raises `CollectionReplaced` where it did.
    """

    def __init__(
        self,
        server: ServerClient,
        stored: layout.StoredIdentity,
        *,
        lease_s: float,
        tenant_idf: bool = True,
        builder: str = "",
    ) -> None:
        """Name a collection with its identity and fields; use `ServerConnection`."""
        self.server = server
        self.writer = ServerWriter(
            server=server, identity=stored[0], lease_s=lease_s, builder=builder
        )
        self._identity, self._fields = stored
        self._tenant_idf = tenant_idf

    @property
    def identity(self) -> IndexIdentity:
        """The parts that the index was built with."""
        return self._identity

    @property
    def fields(self) -> Mapping[str, FieldType]:
        """Filterable fields, built-in and declared."""
        return self._fields

    async def search(self, query: LegQuery) -> Legs:
        """Run both legs in one request, which brings the chunks too, and check their records.

        Where a document was replaced meanwhile, the search is repeated without the versions that
        are not current.
        """
        validation.check_leg_query(query, self._identity, self._fields)
        hidden: dict[str, None] = {}
        legs, gone = await self._search(query, hidden)
        for _ in range(MAX_ATTEMPTS - 1):
            if not gone:
                break
            hidden.update(dict.fromkeys(one.version for one in gone.values()))
            legs, gone = await self._search(query, hidden)
        return legs_without(legs, gone)

    async def _search(
        self, query: LegQuery, hidden: Mapping[str, None]
    ) -> tuple[Legs, dict[str, FoundVersion]]:
        requests = server_points.leg_requests(
            query,
            self._identity,
            self._fields,
            tenant_idf=self._tenant_idf,
            hidden=list(hidden),
        )
        if not requests:
            return Legs(chunks={}), {}
        server = self.server
        answers = await server.call(
            server.client.query_batch_points, server.name, list(requests.values())
        )
        legs, found = server_points.read_legs(requests, answers)
        return legs, await self._obsolete(found, query.tenant)

    async def _obsolete(
        self, found: Mapping[str, FoundVersion], tenant: str
    ) -> dict[str, FoundVersion]:
        uris = uris_of(found)
        ids = {layout.record_id(uri, tenant=tenant): uri for uri in uris}
        payloads = await self.server.retrieve(list(ids), keys=["version"])
        current = {ids[item]: str((load or {})["version"]) for item, load in payloads.items()}
        return obsolete(found, current)

    async def fetch(self, ids: Sequence[str], *, tenant: str = DEFAULT_TENANT) -> list[Chunk]:
        """Return the tenant's chunks with these ids, in that order, without those unknown."""
        check_tenant(tenant)
        payloads = await self.server.retrieve(ids)
        found = found_versions(
            {
                item: payload
                for item, payload in payloads.items()
                if payload and (payload.get("kind"), payload.get("tenant")) == ("chunk", tenant)
            }
        )
        gone = await self._obsolete(found, tenant)
        current = {item: payloads[item] for item in found if item not in gone}
        return layout.read_chunks(ids, current, tenant=tenant)

    async def chunks(self, uris: Sequence[str], *, tenant: str = DEFAULT_TENANT) -> list[Chunk]:
        """Return all chunks of the tenant's documents, by uri, then in the order of reading."""
        chunks: list[Chunk] = []
        for _ in range(MAX_ATTEMPTS):
            records = await self.records(uris, tenant=tenant)
            ids = [item for one in records for item in one.chunk_ids]
            chunks = await self.fetch(ids, tenant=tenant)
            if len(chunks) == len(ids):
                break  # no document was replaced between the two reads
        return chunks

    async def vectors(self, ids: Sequence[str], *, tenant: str = DEFAULT_TENANT) -> FloatArray:
        """Return the whole vectors of chunks, float32 `[n, dimensions]`, by their ids."""
        check_tenant(tenant)
        server, stored = self.server, dict[str, object]()
        for page in server_points.pages(ids, PAGE):
            found = await server.call(
                server.client.retrieve,
                server.name,
                page,
                with_payload=["tenant"],
                with_vectors=[layout.FULL],
            )
            for point in found:
                if isinstance(point.vector, dict) and (point.payload or {})["tenant"] == tenant:
                    stored[str(point.id)] = point.vector.get(layout.FULL)
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
            found = await self.writer.records(wanted, tenant=of_tenant)
            records = [found[uri] for uri in wanted if uri in found]
            return [one for one in records if source is None or one.source == source]
        keys = {} if source is None else {"source": source}
        payloads = await self.server.scroll(
            server_points.of_kind("record", tenant=check_tenants(tenant), **keys)
        )
        return [layout.read_record(payload) for payload in payloads.values()]

    async def commit(self, entries: Sequence[Entry]) -> None:
        """Store documents: new chunks, then their records, then the old versions' deletion."""
        writer = self.writer
        validation.check_entries(entries, self.identity)
        for tenant, group in by_tenant(entries).items():
            await writer.commit(tenant, group)

    async def touch(self, records: Sequence[DocumentRecord]) -> None:
        """Overwrite records whose generation is still the stored one; leave the others."""
        for tenant in {record.tenant for record in records}:
            own = [record for record in records if record.tenant == tenant]
            await self.writer.touch(check_tenant(tenant), own)

    async def delete(self, uris: Sequence[str], *, tenant: str = DEFAULT_TENANT) -> int:
        """Remove documents, their records first, and return the number of those removed."""
        records = await self.records(uris, tenant=tenant)
        removed = 0
        for _ in range(_DELETIONS):
            if not records:
                break
            removed += await self.discard(records)
            # Another writer may have replaced a document before its record was removed.
            records = await self.records([record.uri for record in records], tenant=tenant)
        return removed

    async def versions(self, *, tenant: str | None = DEFAULT_TENANT) -> list[StoredVersion]:
        """Return every stored write of a generation, of one tenant or (None) of all."""
        if tenant is None:
            kinds = models.Filter(must=[server_points.equals("kind", "chunk")])
            tenants = list(await self.server.facet("tenant", kinds))
        else:
            tenants = [check_tenant(tenant)]
        found: list[StoredVersion] = []
        for name in tenants:
            counts = await self.server.facet("version", server_points.of_kind("chunk", tenant=name))
            under_way = [one for one in await self.writer.changes(name) if not one.is_abandoned()]
            found += stored_versions(counts, under_way, tenant=name)
        return found

    async def drop(self, versions: Sequence[StoredVersion]) -> None:
        """Delete the chunks of these writes, where no record names their generation."""
        for tenant in {one.tenant for one in versions}:
            current = {record.generation for record in await self.records(tenant=tenant)}
            own = [one for one in versions if one.tenant == tenant]
            gone = [one.version for one in own if one.generation not in current]
            await self.writer.drop(tenant, gone)

    async def discard(self, records: Sequence[DocumentRecord]) -> int:
        """Remove documents that are still as these records say, and return their number."""
        removed = 0
        for tenant in {record.tenant for record in records}:
            own = [record for record in records if record.tenant == tenant]
            removed += await self.writer.discard(tenant, own)
        return removed

    async def incomplete(self, records: Sequence[DocumentRecord]) -> list[DocumentRecord]:
        """Return those of these records that are stored, and not all of their chunks are."""
        wanted = [(record, record.chunk_ids) for record in records]
        ids = [item for _, owned in wanted for item in owned]
        found = (await self.server.retrieve(ids, keys=[])).keys()
        parts = [record for record, owned in wanted if not found >= set(owned)]
        current: set[str] = set()
        for tenant in {record.tenant for record in parts}:
            uris = [record.uri for record in parts if record.tenant == tenant]
            current |= {one.version for one in await self.records(uris, tenant=tenant)}
        return [record for record in parts if record.version in current]

    async def optimize(self) -> None:
        """Do nothing: a server builds its graphs in the background."""
        self.server.check_open()

    async def close(self) -> None:
        """Close the connections; safe to call twice."""
        await self.server.close()
