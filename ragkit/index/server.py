"""The store for many processes: a Qdrant server or cluster (1.20 or newer), over HTTP."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import ParamSpec, Self, TypeVar

from qdrant_client import AsyncQdrantClient, models
from qdrant_client.common.client_exceptions import QdrantException
from qdrant_client.http.exceptions import ApiException

from ragkit.core.errors import ConfigError, IndexMismatch, InputError, ProviderError
from ragkit.core.protocols import Entry, LegQuery, Legs
from ragkit.core.settings import IndexSettings
from ragkit.core.types import (
    DEFAULT_TENANT,
    Chunk,
    DocumentRecord,
    FieldType,
    IndexIdentity,
)
from ragkit.index import layout, server_points

_PAUSES_S = (0.25, 1.0)
_CONCURRENT = 16
_PAGE = 1000

P = ParamSpec("P")
T = TypeVar("T")


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
            text_params: How text is analysed; as the identity's language wants where None.
            tenant_idf: Whether BM25's statistics are those of the tenant's passages alone.
        """
        self._client = client
        self._name = settings.collection
        self._settings = settings
        self._text_params = text_params
        self._tenant_idf = tenant_idf
        self._slots = asyncio.Semaphore(_CONCURRENT)
        self._stored: layout.StoredIdentity | None = None
        self._closed = False

    @classmethod
    async def open(
        cls, settings: IndexSettings, identity: IndexIdentity, *, create: bool = True
    ) -> Self:
        """Open the collection on the server at `settings.location`; create it if it may be.

        Raises:
            ConfigError: The location is no URL.
            InputError: There is no such collection, and `create` is False.
            IndexMismatch: It was built with another model, analysis, layout or field type, or it
                is not one of ragkit's.
            ProviderError: The server cannot be reached, is too old or refuses.
        """
        index = cls(_client(settings), settings)
        try:
            await index.connect(identity, create=create)
        except BaseException:
            await index.close()
            raise
        return index

    async def connect(self, identity: IndexIdentity, *, create: bool = True) -> None:
        """Create the collection where it is missing, and check what it was built with.

        Any number of processes may do so at once: every step may be repeated, and the identity
        that is stored first is the one that counts.
        """
        declared = layout.check_fields(self._settings.fields)
        info = await self._call(self._client.info)
        server_points.check_version(info.version, self._settings.location)
        if not await self._call(self._client.collection_exists, self._name):
            if not create:
                raise InputError(layout.no_index(self._settings.location))
            await self._create(identity)
        payload = await self._read_identity() or await self._claim(identity, declared)
        stored, fields = layout.read_identity(payload)
        layout.check_identity(stored, identity, location=self._where)
        merged = layout.merge_fields(fields, declared)
        await self._index_fields(stored, merged)
        if new := {field: kind for field, kind in merged.items() if field not in fields}:
            place = models.PointIdsList(points=[layout.IDENTITY_ID])
            await self._call(self._client.set_payload, self._name, new, place, key="fields")
        self._stored = stored, merged

    @property
    def identity(self) -> IndexIdentity:
        """What the index was built with."""
        return self._connected()[0]

    @property
    def fields(self) -> Mapping[str, FieldType]:
        """Filterable fields, built-in and declared."""
        return self._connected()[1]

    async def search(self, query: LegQuery) -> Legs:
        """Run both legs in one request, which brings the chunks too."""
        identity, fields = self._connected()
        layout.check_leg_query(query, identity, fields)
        legs = server_points.leg_requests(query, identity, fields, tenant_idf=self._tenant_idf)
        if not legs:
            return Legs(chunks={})
        requests = list(legs.values())
        answers = await self._call(self._client.query_batch_points, self._name, requests)
        return server_points.read_legs(legs, answers)

    async def fetch(self, ids: Sequence[str], *, tenant: str = DEFAULT_TENANT) -> list[Chunk]:
        """The tenant's chunks with these ids, in that order; unknown ids are left out."""
        payloads: dict[str, layout.Payload | None] = {}
        for page in server_points.pages(ids, _PAGE):
            found = await self._call(self._client.retrieve, self._name, page, with_payload=True)
            payloads.update((str(point.id), point.payload) for point in found)
        return layout.read_chunks(ids, payloads, tenant=tenant)

    async def chunks(self, uris: Sequence[str], *, tenant: str = DEFAULT_TENANT) -> list[Chunk]:
        """All chunks of the tenant's documents at these uris, in no order."""
        found: list[models.Record] = []
        for page in server_points.pages(uris, _PAGE):
            found += await self._scrolled(server_points.chunks_of(page, tenant=tenant))
        return [layout.read_chunk(str(point.id), point.payload) for point in found]

    async def commit(self, entries: Sequence[Entry]) -> None:
        """Store documents: new chunks, then their records, then the old generation's deletion."""
        identity, _ = self._connected()
        layout.check_entries(entries, identity)
        chunks = (
            point for entry in entries for point in server_points.chunk_points(entry, identity)
        )
        for batch in server_points.batches(chunks):
            await self._call(self._client.upsert, self._name, batch, wait=True)
        records = [entry.record for entry in entries]
        for batch in server_points.batches(map(_record_point, records)):
            await self._call(self._client.upsert, self._name, batch, wait=True)
        for tenant in {record.tenant for record in records}:
            its_own = [record for record in records if record.tenant == tenant]
            for page in server_points.pages(its_own, _PAGE):
                await self._delete(server_points.old_generations(page))

    async def delete(self, uris: Sequence[str], *, tenant: str = DEFAULT_TENANT) -> None:
        """Remove documents: their records first, then their chunks."""
        for page in server_points.pages(uris, _PAGE):
            ids = [layout.record_id(uri, tenant=tenant) for uri in page]
            records = models.PointIdsList(points=list[models.ExtendedPointId](ids))
            await self._call(self._client.delete, self._name, records, wait=True)
            await self._delete(server_points.chunks_of(page, tenant=tenant))

    async def records(self, *, tenant: str | None = DEFAULT_TENANT) -> list[DocumentRecord]:
        """The manifest, of one tenant or (None) of all."""
        conditions = [server_points.equals("kind", "record")]
        if tenant is not None:
            conditions.append(server_points.equals("tenant", tenant))
        found = await self._scrolled(models.Filter(must=list[models.Condition](conditions)))
        return [layout.read_record(point.payload) for point in found]

    async def _scrolled(self, condition: models.Filter) -> list[models.Record]:
        """All points that meet the condition."""
        found: list[models.Record] = []
        following = None
        while True:
            page, following = await self._call(
                self._client.scroll,
                self._name,
                scroll_filter=condition,
                limit=_PAGE,
                offset=following,
                with_payload=True,
            )
            found += page
            if following is None:
                return found

    async def generations(self) -> Mapping[str, int]:
        """Number of stored chunks of every generation, over all tenants."""
        limit = _PAGE
        while True:
            answer = await self._call(
                self._client.facet, self._name, "generation", limit=limit, exact=True
            )
            if len(answer.hits) < limit:
                return {str(hit.value): hit.count for hit in answer.hits if hit.count}
            limit *= 8

    async def drop_generations(self, generations: Sequence[str]) -> None:
        """Delete all chunks of these generations."""
        for page in server_points.pages(generations, _PAGE):
            await self._delete(models.Filter(must=[server_points.among("generation", page)]))

    async def optimize(self) -> None:
        """Nothing to do: a server builds its graphs in the background."""
        self._check_open()

    async def close(self) -> None:
        """Close the connections; safe to call twice."""
        if not self._closed:
            self._closed = True
            await self._client.close()

    @property
    def _where(self) -> str:
        return f"{self._settings.location} ({self._name})"

    def _connected(self) -> layout.StoredIdentity:
        if self._stored is None:
            raise InputError(f"The index at {self._where!r} is not connected.")
        return self._stored

    def _check_open(self) -> None:
        if self._closed:
            raise InputError(f"The index at {self._where!r} is closed.")

    async def _create(self, identity: IndexIdentity) -> None:
        try:
            await self._call(
                self._client.create_collection,
                self._name,
                vectors_config=server_points.vector_params(identity, self._settings.quantization),
                shard_number=self._settings.shards,
                replication_factor=self._settings.replicas,
            )
        except ProviderError as error:
            # Another process was quicker, or the answer to an earlier try was lost.
            if error.status != HTTPStatus.CONFLICT:
                raise

    async def _read_identity(self) -> layout.Payload | None:
        found = await self._call(
            self._client.retrieve, self._name, [layout.IDENTITY_ID], with_payload=True
        )
        return found[0].payload if found else None

    async def _claim(
        self, identity: IndexIdentity, fields: Mapping[str, FieldType]
    ) -> layout.Payload | None:
        """Store the identity in a new collection, and return the one that came first."""
        info = await self._call(self._client.get_collection, self._name)
        size = await self._call(self._client.count, self._name)
        if size.count or not server_points.has_vectors_of(info.config.params.vectors, identity):
            # Another process may have stored its identity, and even documents, meanwhile.
            if payload := await self._read_identity():
                return payload
            raise IndexMismatch(
                f"{self._where!r} is a Qdrant collection, but not one of ragkit's: choose another "
                "name under index.collection."
            )
        point = server_points.bare_point(
            layout.IDENTITY_ID, layout.identity_payload(identity, fields)
        )
        first = models.UpdateMode.INSERT_ONLY
        await self._call(self._client.upsert, self._name, [point], wait=True, update_mode=first)
        return await self._read_identity()

    async def _index_fields(self, identity: IndexIdentity, fields: Mapping[str, FieldType]) -> None:
        info = await self._call(self._client.get_collection, self._name)
        text = self._text_params or server_points.text_params(identity.language)
        for key, schema in {"text": text, **server_points.field_params(fields)}.items():
            if key not in info.payload_schema:
                await self._call(self._client.create_payload_index, self._name, key, schema)

    async def _delete(self, condition: models.Filter) -> None:
        selector = models.FilterSelector(filter=condition)
        await self._call(self._client.delete, self._name, selector, wait=True)

    async def _call(
        self, request: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Send a request, all of which may be repeated, up to three times."""
        for pause in _PAUSES_S:
            try:
                return await self._once(request, *args, **kwargs)
            except ProviderError as error:
                if not error.retryable:
                    raise
            await asyncio.sleep(pause)
        return await self._once(request, *args, **kwargs)

    async def _once(
        self, request: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        self._check_open()
        async with self._slots:
            try:
                return await request(*args, **kwargs)
            except (ApiException, QdrantException) as error:
                raise server_points.provider_error(error, self._settings.location) from error


def _client(settings: IndexSettings) -> AsyncQdrantClient:
    try:
        return AsyncQdrantClient(
            url=settings.location,
            api_key=settings.api_key.get_secret_value() if settings.api_key else None,
            timeout=math.ceil(settings.timeout_s),
            check_compatibility=False,  # `connect` does, and says what to do
        )
    except ValueError as error:
        raise ConfigError(
            f"index.location {settings.location!r} is no URL of a server: {error}. "
            "Write it like http://localhost:6333"
        ) from error


def _record_point(record: DocumentRecord) -> models.PointStruct:
    point_id = layout.record_id(record.uri, tenant=record.tenant)
    return server_points.bare_point(point_id, layout.record_payload(record))
