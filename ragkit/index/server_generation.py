"""The next generation of an index on a Qdrant server, in a collection of its own.

One process builds it, and holds the claim of `ragkit.index.server_rebuild`. The index stays in use
meanwhile, by any number of processes. The collection that takes its place becomes the index by one
change of the old one's identity; the alias follows, moved by this process or, after a crash, by the
next one that connects or writes.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import Self

from qdrant_client import models

from ragkit.core.errors import InputError, ProviderError
from ragkit.core.settings import IndexSettings
from ragkit.core.types import DocumentRecord, FieldType, IndexIdentity, stable_id
from ragkit.index import server_points, server_rebuild
from ragkit.index.server_client import ServerClient, open_client
from ragkit.index.server_collection import ServerCollection
from ragkit.index.server_connection import ServerConnection
from ragkit.index.server_errors import PROVIDER
from ragkit.index.server_rebuild import RebuildClaim, lost
from ragkit.index.validation import check_fields

_NAME_LENGTH = 13
_POLL_S = 0.25
_INDEXING_POLL_S = 2.0
_DRAIN_S = 30.0
"""Seconds at most that writers wait while the last changes end; then there is another pass."""
_LOOKS = 2


class ServerGeneration:
    """An index on a server, and the collection that is to take its place."""

    def __init__(
        self,
        connection: ServerConnection,
        current: ServerCollection,
        identity: IndexIdentity,
        *,
        claim: RebuildClaim,
    ) -> None:
        """Name both; use `ServerGeneration.opened`."""
        self.current = current
        self.identity = identity
        self.fields: Mapping[str, FieldType] = check_fields(
            {**current.fields, **connection.declared}
        )
        self._connection, self._claim = connection, claim
        self._following: ServerCollection | None = None
        self._is_replaced = False

    @classmethod
    @asynccontextmanager
    async def opened(
        cls, settings: IndexSettings, identity: IndexIdentity, *, name: str
    ) -> AsyncGenerator[Self]:
        """Open the index on a server with its next generation, and close both.

        Raises:
            InputError: Its collection has no alias, as an earlier ragkit made it.
            IndexMissing: There is no index.
            IndexLocked: Another process is building it again.
        """
        server = ServerClient(open_client(settings), settings)
        try:
            async with cls._of(ServerConnection(server, settings), identity, name) as generation:
                yield generation
        finally:
            await server.close()

    @classmethod
    @asynccontextmanager
    async def _of(
        cls, connection: ServerConnection, identity: IndexIdentity, name: str
    ) -> AsyncGenerator[Self]:
        current = await connection.collection(None)
        if not current.server.is_aliased:
            raise InputError(
                f"The collection of the index at {current.server.where!r} has no alias that could "
                "name another one. Fix: ingest into another one (RAGKIT_INDEX__COLLECTION=NAME)."
            )
        own = stable_id(name, current.server.name)[:_NAME_LENGTH]
        claim = await RebuildClaim.take(current.server, own)
        generation = cls(connection, current, identity, claim=claim)
        renewal = asyncio.create_task(generation._renew_always())
        try:
            await generation._drop_left()
            yield generation
        except ProviderError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                raise lost(current.server) from error
            raise
        finally:
            renewal.cancel()
            if not generation._is_replaced:
                with suppress(ProviderError):  # then it runs out
                    await generation._leave()

    async def following(self) -> ServerCollection:
        """Return the one that is built, made if missing."""
        if self._following is None:
            following = await self._connection.made(
                self._claim.generation,
                self.identity,
                self.fields,
                replaces=self.current.server.name,
                builder=self._claim.builder,
            )
            await self._wait_for_all_changes(following)  # of an earlier builder
            self._following = following
        return self._following

    async def snapshot(self) -> tuple[str, list[DocumentRecord]]:
        """Return the records of the index in use, with a digest of their versions.

        A new time of a file is no new version: what a run notes of it during the switch is lost,
        and noted again by the next run.
        """
        records = await self.current.records(tenant=None)
        return _digest(record.version for record in records), records

    async def switch(self, moment: str) -> bool:
        """Put the new collection in the place of the old one, unless that was written since."""
        following = await self.following()
        await self._until_indexed(following.server)
        await self._wait_for_earlier_changes()
        await self._claim.close(is_closing=True)
        try:
            if not await self._is_quiet() or await self._moment() != moment:
                return False
            await self._claim.replace(following.server)
            self._is_replaced = True
        finally:
            if not self._is_replaced:
                await self._claim.close(is_closing=False)
        await self._connection.finish(self.current.server.name, following.server)
        return True

    async def _moment(self) -> str:
        records = server_points.of_kind("record", tenant=None)
        payloads = await self.current.server.scroll(records, keys=["version"])
        return _digest(str((payload or {})["version"]) for payload in payloads.values())

    async def _until_indexed(self, server: ServerClient) -> None:
        """Wait until the server has built the graphs of a collection.

        Raises:
            ProviderError: It cannot.
        """
        while True:
            info = await server.call(server.client.get_collection, server.name)
            if info.status == models.CollectionStatus.RED:
                raise ProviderError(
                    f"The server cannot build the graphs of the collection {server.name!r}: "
                    f"{info.optimizer_status}. Fix: see its log.",
                    provider=PROVIDER,
                )
            if info.status != models.CollectionStatus.YELLOW:
                return
            await asyncio.sleep(_INDEXING_POLL_S)

    async def _wait_for_earlier_changes(self) -> None:
        """Wait for the end of the changes that have begun; others may begin meanwhile."""
        begun = await _changes(self.current)
        while begun:
            await asyncio.sleep(_POLL_S)
            begun &= await _changes(self.current)

    async def _wait_for_all_changes(self, collection: ServerCollection) -> None:
        """Wait until no change is under way, where none can begin.

        It is looked twice, for a majority of replicas agrees on no note while it is renewed.
        """
        quiet = 0
        while quiet < _LOOKS:
            quiet = 0 if await _changes(collection) else quiet + 1
            if quiet < _LOOKS:
                await asyncio.sleep(_POLL_S)

    async def _is_quiet(self) -> bool:
        """Return whether all changes end in time."""
        try:
            async with asyncio.timeout(_DRAIN_S):
                await self._wait_for_all_changes(self.current)
        except TimeoutError:
            return False
        return True

    async def _renew_always(self) -> None:
        while True:
            await asyncio.sleep(server_rebuild.LEASE_S / 4)
            with suppress(ProviderError):  # what counts is the check before the old one goes
                await self._claim.renew()

    async def _leave(self) -> None:
        """Leave what was built to the next run, which need not wait for this one."""
        if self._following is not None:
            await self._following.writer.recover_failed()
        await self._claim.release()

    async def _drop_left(self) -> None:
        """Remove what earlier processes built for other settings, and did not finish."""
        if not self._claim.left:
            return
        server = self.current.server
        for left in self._claim.left:
            name = self._connection.name_of(left)
            await server.call(server.client.delete_collection, name)
        self._claim.left = ()
        await self._claim.renew()


async def _changes(collection: ServerCollection) -> set[str]:
    """Return the changes that are under way, and finish those of ended writers."""
    changes = await collection.writer.changes(None)
    await collection.writer.recover(changes)
    return {one.id for one in changes if not one.is_abandoned()}


def _digest(versions: Iterable[str]) -> str:
    return stable_id(*sorted(versions))
