"""The store for many machines: a Qdrant server or cluster (1.20 or newer)."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Self

from qdrant_client import AsyncQdrantClient, models

from ragkit.core.errors import IndexMismatch, IndexMissing, InputError, ProviderError
from ragkit.core.protocols import Entry, LegQuery, Legs, StoredVersion
from ragkit.core.settings import IndexSettings
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
from ragkit.index.server_client import PAGE, ServerClient, open_client
from ragkit.index.server_errors import check_version
from ragkit.index.server_writer import ServerWriter
from ragkit.index.visibility import MAX_ATTEMPTS, FoundVersion, found_versions, obsolete, uris_of
from ragkit.index.visibility import without as legs_without

_DELETIONS = 10
"""Attempts at most to delete a document that other writers replace meanwhile."""


class QdrantIndex:
    """An index in a collection of a Qdrant server, shared by any number of processes."""

    def __init__(
        self,
        client: AsyncQdrantClient,
        settings: IndexSettings,
        *,
        text_params: models.TextIndexParams | None = None,
        tenant_idf: bool = True,
    ) -> None:
        """Wrap a client of your own, and then `connect`; else use `QdrantIndex.open`.

        Args:
            client: Closed with the index.
            settings: Its `location` is only named in messages.
            text_params: Analysis of texts; that of the identity's language where None.
            tenant_idf: Take BM25's statistics from the tenant's passages alone.
        """
        self._server = ServerClient(client, settings)
        self._settings = settings
        self._text_params = text_params
        self._tenant_idf = tenant_idf
        self._stored: layout.StoredIdentity | None = None
        self._writer: ServerWriter | None = None

    @classmethod
    async def open(
        cls, settings: IndexSettings, identity: IndexIdentity, *, create: bool = True
    ) -> Self:
        """Open the collection on the server at `settings.location`; create it if it may be.

        Raises:
            ConfigError: The location is no URL.
            IndexMissing: There is no such collection, and `create` is False.
            IndexMismatch: It was built with another model, analysis, layout or field type, or it
                is not one of ragkit's.
            ProviderError: The server cannot be reached, is too old or refuses.
        """
        index = cls(open_client(settings), settings)
        try:
            await index.connect(identity, create=create)
        except BaseException:
            await index.close()
            raise
        return index

    async def connect(self, identity: IndexIdentity, *, create: bool = True) -> None:
        """Create the collection where it is missing, and check the parts that it was built with.

        Any number of processes may do so at once: every step may be repeated, and the identity
        that is stored first is the one that counts.
        """
        server = self._server
        declared = validation.check_fields(self._settings.fields)
        info = await server.call(server.client.info)
        check_version(info.version, server.location)
        if not await server.call(server.client.collection_exists, server.name):
            if not create:
                raise IndexMissing(server.location)
            await self._create(identity)
        payload = await self._read_identity() or await self._claim(identity, declared)
        stored, fields = layout.read_identity(payload)
        layout.check_identity(stored, identity, location=server.where)
        merged = validation.merge_fields(fields, declared)
        await self._index_fields(stored, merged)
        if new := {field: kind for field, kind in merged.items() if field not in fields}:
            place = models.PointIdsList(points=[layout.IDENTITY_ID])
            await server.call(server.client.set_payload, server.name, new, place, key="fields")
        self._stored = stored, merged
        self._writer = ServerWriter(server=server, identity=stored, lease_s=self._settings.lease_s)

    @property
    def identity(self) -> IndexIdentity:
        """The parts that the index was built with."""
        return self._connected()[0]

    @property
    def fields(self) -> Mapping[str, FieldType]:
        """Filterable fields, built-in and declared."""
        return self._connected()[1]

    async def search(self, query: LegQuery) -> Legs:
        """Run both legs in one request, which brings the chunks too, and check their records.

        Where a document was replaced meanwhile, the search is repeated without the versions that
        are not current.
        """
        identity, fields = self._connected()
        validation.check_leg_query(query, identity, fields)
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
        identity, fields = self._connected()
        requests = server_points.leg_requests(
            query, identity, fields, tenant_idf=self._tenant_idf, hidden=list(hidden)
        )
        if not requests:
            return Legs(chunks={}), {}
        server = self._server
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
        payloads = await self._server.retrieve(list(ids), keys=["version"])
        current = {ids[item]: str((load or {})["version"]) for item, load in payloads.items()}
        return obsolete(found, current)

    async def fetch(self, ids: Sequence[str], *, tenant: str = DEFAULT_TENANT) -> list[Chunk]:
        """Return the tenant's chunks with these ids, in that order, without those unknown."""
        check_tenant(tenant)
        payloads = await self._server.retrieve(ids)
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
        server, stored = self._server, dict[str, object]()
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
            found = await self._writing().records(wanted, tenant=of_tenant)
            records = [found[uri] for uri in wanted if uri in found]
            return [one for one in records if source is None or one.source == source]
        keys = {} if source is None else {"source": source}
        payloads = await self._server.scroll(
            server_points.of_kind("record", tenant=check_tenants(tenant), **keys)
        )
        return [layout.read_record(payload) for payload in payloads.values()]

    async def commit(self, entries: Sequence[Entry]) -> None:
        """Store documents: new chunks, then their records, then the old versions' deletion."""
        writer = self._writing()
        validation.check_entries(entries, self.identity)
        for tenant, group in by_tenant(entries).items():
            await writer.commit(tenant, group)

    async def touch(self, records: Sequence[DocumentRecord]) -> None:
        """Overwrite records whose generation is still the stored one; leave the others."""
        for tenant in {record.tenant for record in records}:
            own = [record for record in records if record.tenant == tenant]
            await self._writing().touch(check_tenant(tenant), own)

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
            tenants = list(await self._server.facet("tenant", kinds))
        else:
            tenants = [check_tenant(tenant)]
        found: list[StoredVersion] = []
        for name in tenants:
            counts = await self._server.facet(
                "version", server_points.of_kind("chunk", tenant=name)
            )
            under_way = [
                one for one in await self._writing().changes(name) if not one.is_abandoned()
            ]
            found += stored_versions(counts, under_way, tenant=name)
        return found

    async def drop(self, versions: Sequence[StoredVersion]) -> None:
        """Delete the chunks of these writes, where no record names their generation."""
        for tenant in {one.tenant for one in versions}:
            current = {record.generation for record in await self.records(tenant=tenant)}
            own = [one for one in versions if one.tenant == tenant]
            gone = [one.version for one in own if one.generation not in current]
            await self._writing().drop(tenant, gone)

    async def discard(self, records: Sequence[DocumentRecord]) -> int:
        """Remove documents that are still as these records say, and return their number."""
        removed = 0
        for tenant in {record.tenant for record in records}:
            own = [record for record in records if record.tenant == tenant]
            removed += await self._writing().discard(tenant, own)
        return removed

    async def incomplete(self, records: Sequence[DocumentRecord]) -> list[DocumentRecord]:
        """Return those of these records that are stored, and not all of their chunks are."""
        wanted = [(record, record.chunk_ids) for record in records]
        ids = [item for _, owned in wanted for item in owned]
        found = (await self._server.retrieve(ids, keys=[])).keys()
        parts = [record for record, owned in wanted if not found >= set(owned)]
        current: set[str] = set()
        for tenant in {record.tenant for record in parts}:
            uris = [record.uri for record in parts if record.tenant == tenant]
            current |= {one.version for one in await self.records(uris, tenant=tenant)}
        return [record for record in parts if record.version in current]

    async def optimize(self) -> None:
        """Do nothing: a server builds its graphs in the background."""
        self._server.check_open()

    async def close(self) -> None:
        """Close the connections; safe to call twice."""
        await self._server.close()

    def _connected(self) -> layout.StoredIdentity:
        self._server.check_open()
        if self._stored is None:
            raise InputError(f"The index at {self._server.where!r} is not connected.")
        return self._stored

    def _writing(self) -> ServerWriter:
        self._server.check_open()
        if self._writer is None:
            raise InputError(f"The index at {self._server.where!r} is not connected.")
        return self._writer

    async def _create(self, identity: IndexIdentity) -> None:
        settings, server = self._settings, self._server
        try:
            await server.call(
                server.client.create_collection,
                server.name,
                vectors_config=server_points.vector_params(
                    identity, settings.quantization, many_tenants=settings.many_tenants
                ),
                shard_number=settings.shards,
                replication_factor=settings.replicas,
                write_consistency_factor=settings.replicas // 2 + 1,
            )
        except ProviderError as error:
            # Another process was quicker, or the answer to an earlier try was lost.
            if error.status != HTTPStatus.CONFLICT:
                raise

    async def _read_identity(self) -> layout.Payload | None:
        return (await self._server.retrieve([layout.IDENTITY_ID])).get(layout.IDENTITY_ID)

    async def _claim(
        self, identity: IndexIdentity, fields: Mapping[str, FieldType]
    ) -> layout.Payload | None:
        """Store the identity in a new collection, and return the one that came first."""
        server = self._server
        info = await server.call(server.client.get_collection, server.name)
        size = await server.call(server.client.count, server.name)
        if size.count or not server_points.has_vectors_of(info.config.params.vectors, identity):
            # Another process may have stored its identity, and even documents, meanwhile.
            if payload := await self._read_identity():
                return payload
            raise IndexMismatch(
                f"{server.where!r} is a Qdrant collection, but not one of ragkit's. Fix: choose "
                "another name under index.collection."
            )
        payload = layout.identity_payload(identity, fields)
        point = server_points.bare_point(layout.IDENTITY_ID, payload)
        await server.upsert([point], mode=models.UpdateMode.INSERT_ONLY)
        return await self._read_identity()

    async def _index_fields(self, identity: IndexIdentity, fields: Mapping[str, FieldType]) -> None:
        server = self._server
        info = await server.call(server.client.get_collection, server.name)
        server.connected(replicas=info.config.params.replication_factor or 1)
        text = self._text_params or server_points.text_params(identity.language)
        for key, schema in {"text": text, **server_points.field_params(fields)}.items():
            if key not in info.payload_schema:
                await server.call(
                    server.client.create_payload_index,
                    server.name,
                    key,
                    schema,
                    timeout=server.indexing_timeout_s,
                )
