"""The store for many machines: a Qdrant server or cluster (1.20 or newer)."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Concatenate, ParamSpec, Self, TypeVar

from qdrant_client import AsyncQdrantClient, models

from ragkit.core.errors import InputError, ProviderError
from ragkit.core.protocols import Entry, LegQuery, Legs, StoredVersion
from ragkit.core.settings import IndexSettings
from ragkit.core.types import (
    DEFAULT_TENANT,
    Chunk,
    DocumentRecord,
    FieldType,
    FloatArray,
    IndexIdentity,
)
from ragkit.index.server_client import ServerClient, open_client
from ragkit.index.server_collection import ServerCollection
from ragkit.index.server_connection import MAX_MOVES, ServerConnection
from ragkit.index.server_errors import CollectionReplaced

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
            text_params: Analysis of texts; that of the identity's language where None.
            tenant_idf: Take BM25's statistics from the tenant's passages alone.
        """
        self._connection = ServerConnection(
            ServerClient(client, settings), settings, text_params=text_params, tenant_idf=tenant_idf
        )
        self._collection: ServerCollection | None = None
        self._wanted: IndexIdentity | None = None
        self._following = asyncio.Lock()

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

        Any number of processes may do so at once.
        """
        self._collection = await self._connection.collection(identity, create=create)
        self._wanted = identity

    @property
    def identity(self) -> IndexIdentity:
        """The parts that the index was built with."""
        return self._connected().identity

    @property
    def fields(self) -> Mapping[str, FieldType]:
        """Filterable fields, built-in and declared."""
        return self._connected().fields

    async def search(self, query: LegQuery) -> Legs:
        """Run both legs in one request, which brings the chunks too, and check their records."""
        return await self._run(ServerCollection.search, query)

    async def fetch(self, ids: Sequence[str], *, tenant: str = DEFAULT_TENANT) -> list[Chunk]:
        """Return the tenant's chunks with these ids, in that order, without those unknown."""
        return await self._run(ServerCollection.fetch, ids, tenant=tenant)

    async def chunks(self, uris: Sequence[str], *, tenant: str = DEFAULT_TENANT) -> list[Chunk]:
        """Return all chunks of the tenant's documents, by uri, then in the order of reading."""
        return await self._run(ServerCollection.chunks, uris, tenant=tenant)

    async def vectors(self, ids: Sequence[str], *, tenant: str = DEFAULT_TENANT) -> FloatArray:
        """Return the whole vectors of chunks, float32 `[n, dimensions]`, by their ids."""
        return await self._run(ServerCollection.vectors, ids, tenant=tenant)

    async def records(
        self,
        uris: Sequence[str] | None = None,
        *,
        tenant: str | None = DEFAULT_TENANT,
        source: str | None = None,
    ) -> list[DocumentRecord]:
        """Return the records of documents: of these uris, of a tenant or of all, of a source."""
        return await self._run(ServerCollection.records, uris, tenant=tenant, source=source)

    async def commit(self, entries: Sequence[Entry]) -> None:
        """Store documents: new chunks, then their records, then the old versions' deletion."""
        await self._run(ServerCollection.commit, entries)

    async def touch(self, records: Sequence[DocumentRecord]) -> None:
        """Overwrite records whose generation is still the stored one; leave the others."""
        await self._run(ServerCollection.touch, records)

    async def delete(self, uris: Sequence[str], *, tenant: str = DEFAULT_TENANT) -> int:
        """Remove documents, their records first, and return the number of those removed."""
        return await self._run(ServerCollection.delete, uris, tenant=tenant)

    async def versions(self, *, tenant: str | None = DEFAULT_TENANT) -> list[StoredVersion]:
        """Return every stored write of a generation, of one tenant or (None) of all."""
        return await self._run(ServerCollection.versions, tenant=tenant)

    async def drop(self, versions: Sequence[StoredVersion]) -> None:
        """Delete the chunks of these writes, where no record names their generation."""
        await self._run(ServerCollection.drop, versions)

    async def discard(self, records: Sequence[DocumentRecord]) -> int:
        """Remove documents that are still as these records say, and return their number.

        Records of a collection that was replaced meanwhile say nothing of its successor.
        """
        return await self._run(ServerCollection.discard, records)

    async def incomplete(self, records: Sequence[DocumentRecord]) -> list[DocumentRecord]:
        """Return those of these records that are stored, and not all of their chunks are."""
        return await self._run(ServerCollection.incomplete, records)

    async def optimize(self) -> None:
        """Do nothing: a server builds its graphs in the background."""
        self._connected()

    async def close(self) -> None:
        """Close the connections; safe to call twice."""
        await self._connection.server.close()

    def _connected(self) -> ServerCollection:
        server = self._connection.server
        server.check_open()
        if self._collection is None:
            raise InputError(f"The index at {server.where!r} is not connected.")
        return self._collection

    async def _run(
        self,
        job: Callable[Concatenate[ServerCollection, P], Awaitable[T]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Do a job with the collection that is the index, again where another one became it."""
        for _ in range(MAX_MOVES):
            collection = self._connected()
            try:
                return await job(collection, *args, **kwargs)
            except ProviderError as error:
                is_gone = error.status == HTTPStatus.NOT_FOUND
                if not is_gone and not isinstance(error, CollectionReplaced):
                    raise
                if not await self._follow(collection):
                    raise
        raise CollectionReplaced(self._connection.server.where)

    async def _follow(self, replaced: ServerCollection) -> bool:
        """Take the collection that took another one's place; return whether one did."""
        async with self._following:
            if self._collection is replaced:
                self._collection = await self._connection.collection(self._wanted, again=True)
            return self._connected().server.name != replaced.server.name
