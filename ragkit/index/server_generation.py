"""The next generation of an index on a Qdrant server, in a collection of its own.

One process builds it, and holds the claim of `ragkit.index.server_rebuild`. The index stays in use
meanwhile, by any number of processes. The collection that takes its place becomes the index by one
change of the old one's identity; the alias follows, moved by this process or, after a crash, by the
next one that connects or writes.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Self

from qdrant_client import models

from ragkit.core.errors import InputError, ProviderError
from ragkit.core.settings import IndexSettings
from ragkit.core.types import FieldType, IndexIdentity, stable_id
from ragkit.index import server_rebuild
from ragkit.index.changes import Change
from ragkit.index.server_client import ServerClient, open_client
from ragkit.index.server_collection import ServerCollection
from ragkit.index.server_connection import ServerConnection
from ragkit.index.server_rebuild import RebuildClaim
from ragkit.index.validation import check_fields

_NAME_LENGTH = 13
_POLL_S = 0.25
_INDEXING_POLL_S = 2.0
_DRAIN_S = 30.0
"""Seconds at most that writers wait while the last changes end; then there is another pass."""


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
        self._renewing = asyncio.Lock()
        self._is_closing = self._is_replaced = False

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
        finally:
            renewal.cancel()
            if not generation._is_replaced:
                with suppress(ProviderError):  # then it runs out
                    await claim.release()

    async def following(self) -> ServerCollection:
        """Return the one that is built, made if missing."""
        if self._following is None:
            self._following = await self._connection.made(
                self._claim.generation,
                self.identity,
                self.fields,
                replaces=self.current.server.name,
            )
        return self._following

    async def moment(self) -> str:
        """Return a digest of all records."""
        records = await self.current.records(tenant=None)
        states = sorted((one.tenant, one.uri, one.version, one.stamp) for one in records)
        return stable_id(*(part for state in states for part in state))

    async def switch(self, moment: str) -> bool:
        """Put the new collection in the place of the old one, unless that was written since."""
        following = await self.following()
        await self._until_indexed(following.server)
        await self._drain()
        await self._close(is_closing=True)
        try:
            if not await self._is_drained() or await self.moment() != moment:
                return False
            await self._claim.replace(following.server.name)
            self._is_replaced = True
        finally:
            if not self._is_replaced:
                await self._close(is_closing=False)
        await self._connection.finish(self.current.server.name, following.server)
        return True

    async def _until_indexed(self, server: ServerClient) -> None:
        """Wait until the server has built the graphs of a collection."""
        while True:
            info = await server.call(server.client.get_collection, server.name)
            if info.status != models.CollectionStatus.YELLOW:
                return
            await asyncio.sleep(_INDEXING_POLL_S)

    async def _drain(self) -> None:
        """Wait for the end of the changes that have begun, and finish those of ended writers."""
        begun: set[str] | None = None
        while True:
            changes = await self.current.writer.changes(None)
            await self.current.writer.recover(changes)
            now = _lasting(changes)
            begun = now if begun is None else begun & now
            if not begun:
                return
            await asyncio.sleep(_POLL_S)

    async def _is_drained(self) -> bool:
        try:
            async with asyncio.timeout(_DRAIN_S):
                await self._drain()
        except TimeoutError:
            return False
        return True

    async def _close(self, *, is_closing: bool) -> None:
        """Let no further change begin, or let changes begin again."""
        async with self._renewing:
            self._is_closing = is_closing
            await self._claim.renew(is_closing=is_closing)
        if is_closing:
            await self._claim.check()

    async def _renew_always(self) -> None:
        while True:
            await asyncio.sleep(server_rebuild.LEASE_S / 4)
            with suppress(ProviderError):  # what counts is the check before the old one goes
                async with self._renewing:
                    if not self._is_replaced:
                        await self._claim.renew(is_closing=self._is_closing)

    async def _drop_left(self) -> None:
        """Remove what an earlier process built for other settings, and did not finish."""
        left, server = self._claim.left, self.current.server
        if left and left != self._claim.generation:
            name = self._connection.name_of(left)
            await server.call(server.client.delete_collection, name)


def _lasting(changes: list[Change]) -> set[str]:
    return {one.id for one in changes if not one.is_abandoned()}
