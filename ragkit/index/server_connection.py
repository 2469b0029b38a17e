"""The collection of an index on a Qdrant server: found by its alias, made, and checked.

An index called NAME is a collection of another name with the alias NAME, so that `ragkit reindex`
can put another collection in its place at once. Its identity names the collection: reads and writes
go to that one, and are never answered by one that took its place. Once replaced, it names its
successor, and whoever comes by finishes the move.
"""

import shlex
from collections.abc import Mapping
from http import HTTPStatus

from qdrant_client import models

from ragkit.core.errors import IndexMismatch, IndexMissing, ProviderError
from ragkit.core.settings import IndexSettings
from ragkit.core.types import FieldType, IndexIdentity
from ragkit.index import layout, server_points, validation
from ragkit.index.server_client import ServerClient
from ragkit.index.server_collection import ServerCollection
from ragkit.index.server_errors import CollectionReplaced, check_version
from ragkit.index.server_rebuild import LEASE_S, take_building

_FIRST = "1"
"""The generation of an index that was never built again."""
MAX_MOVES = 5
"""Collections at most that are followed, each replaced by the next."""


class ServerConnection:
    """The way to the collection of an index."""

    def __init__(
        self,
        server: ServerClient,
        settings: IndexSettings,
        *,
        text_params: models.TextIndexParams | None = None,
        tenant_idf: bool = True,
    ) -> None:
        """Configure; nothing is sent yet. See `QdrantIndex`."""
        self.server = server
        self.declared = validation.check_fields(settings.fields)
        self._settings = settings
        self._text_params, self._tenant_idf = text_params, tenant_idf

    async def collection(
        self, wanted: IndexIdentity | None, *, create: bool = False, again: bool = False
    ) -> ServerCollection:
        """Return the collection that is the index now.

        Any number of processes may do so at once: every step may be repeated, and the identity
        that is stored first is the one that counts.

        Args:
            wanted: The parts that it must be built with; any if None.
            create: Make it where it is missing.
            again: It was opened before, and may have been built again with another analysis of
                texts.

        Raises:
            IndexMissing: There is no such index, and `create` is False.
            IndexMismatch: It was built with other parts, or is not one of ragkit's.
            ProviderError: The server cannot be reached, is too old or refuses.
        """
        server = self.server
        info = await server.call(server.client.info)
        check_version(info.version, server.location)
        for _ in range(MAX_MOVES):
            if not await _exists(server) and not await self._adopt():
                if not create or wanted is None:
                    raise IndexMissing(server.location)
                await self.made(_FIRST, wanted, self.declared)
                await self._point_alias(self.name_of(_FIRST), only_new=True)
            payload = await server.identity() or {}
            if not payload and wanted is not None:
                own = layout.identity_payload(wanted, self.declared)
                payload = await self._claim(server, wanted, own) or {}
            found = self._own(payload, "collection") or server
            if successor := self._own(payload, "successor"):
                await self.finish(found.name, successor)
                continue
            if replaced := self._own(payload, "replaces"):
                await self._remove(replaced.name, found)
            return await self._checked(found, payload, wanted, again=again)
        raise CollectionReplaced(server.where)

    async def made(
        self,
        generation: str,
        identity: IndexIdentity,
        fields: Mapping[str, FieldType],
        *,
        replaces: str = "",
        builder: str = "",
    ) -> ServerCollection:
        """Return the collection of a generation, made where it is missing.

        Args:
            generation: Its name.
            identity: The parts that it is built with.
            fields: Filterable fields.
            replaces: The collection whose place it is to take.
            builder: The mark of the only one that writes to it until then.
        """
        server = self.server.named(self.name_of(generation))
        if not await _exists(server):
            await self._create(server, identity)
        own = layout.identity_payload(identity, fields) | {
            "collection": server.name,
            "version": builder or layout.IDLE,
            "builder": builder,
            "replaces": replaces,
        }
        payload = await server.identity() or await self._claim(server, identity, own)
        if builder:
            await take_building(server, builder)
        return await self._checked(server, payload or {}, identity, builder=builder)

    async def _adopt(self) -> bool:
        """Point the missing alias at the collection that is the index; return whether there is one.

        An alias goes with its collection, where a process that stood still moved it late.
        """
        found = await self.server.call(self.server.client.get_collections)
        names = sorted(one.name for one in found.collections if self._is_own(one.name))
        stored = {name: await self.server.named(name).identity() for name in names}
        payloads = {name: payload for name, payload in stored.items() if payload}
        in_use = {name for name, payload in payloads.items() if not payload.get("successor")}
        whole = [
            name
            for name in names
            if name in in_use
            and not payloads[name].get("builder")
            and payloads[name].get("replaces") not in in_use
        ]
        if len(whole) > 1:
            raise IndexMismatch(
                f"{self.server.where!r} has no alias, and more than one collection: "
                f"{', '.join(whole)}. Fix: give the alias to the right one."
            )
        for name in whole:
            await self._point_alias(name, only_new=True)
        return bool(whole)

    def _is_own(self, name: str) -> bool:
        return name.startswith(self.name_of(""))

    def _own(self, payload: Mapping[str, object], key: str) -> ServerClient | None:
        """Return the collection that an identity names; None for one of another index.

        A copy of a collection under another name keeps the names in its identity.
        """
        name = payload.get(key)
        return self.server.named(name) if isinstance(name, str) and self._is_own(name) else None

    def name_of(self, generation: str) -> str:
        """Return the name of the collection of a generation."""
        return f"{self.server.name}.ragkit-{generation}"

    async def finish(self, replaced: str, successor: ServerClient) -> None:
        """Let the alias name the successor of a collection, and delete that one."""
        await self._point_alias(successor.name)
        await self._remove(replaced, successor)

    async def _remove(self, replaced: str, successor: ServerClient) -> None:
        """Delete a collection that was replaced."""
        await successor.call(successor.client.delete_collection, replaced)
        place = models.PointIdsList(points=[layout.IDENTITY_ID])
        await successor.call(successor.client.set_payload, successor.name, {"replaces": ""}, place)

    async def _point_alias(self, collection: str, *, only_new: bool = False) -> None:
        server = self.server
        if only_new and await _exists(server):
            return
        alias = models.CreateAlias(collection_name=collection, alias_name=server.name)
        operation = models.CreateAliasOperation(create_alias=alias)
        await server.call(server.client.update_collection_aliases, [operation])

    async def _checked(
        self,
        server: ServerClient,
        payload: layout.Payload,
        wanted: IndexIdentity | None,
        *,
        again: bool = False,
        builder: str = "",
    ) -> ServerCollection:
        """Return a collection that has these parts, with the declared fields.

        Where no parts are wanted, it is taken as it is.
        """
        stored, fields = layout.read_identity(payload)
        reindex = f"ragkit reindex --index {shlex.quote(server.location)}"
        command = reindex if server.is_aliased else ""
        merged = fields
        if wanted is not None:
            wanted = layout.followed(wanted, stored) if again else wanted
            layout.check_identity(stored, wanted, location=server.where, command=command)
            merged = validation.merge_fields(fields, self.declared, command=command)
        await self._index_fields(server, stored, merged)
        if new := {field: kind for field, kind in merged.items() if field not in fields}:
            place = models.PointIdsList(points=[layout.IDENTITY_ID])
            await server.call(server.client.set_payload, server.name, new, place, key="fields")
        return ServerCollection(
            server,
            (stored, merged),
            lease_s=LEASE_S if builder else self._settings.lease_s,
            tenant_idf=self._tenant_idf,
            builder=builder,
        )

    async def _create(self, server: ServerClient, identity: IndexIdentity) -> None:
        settings = self._settings
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

    async def _claim(
        self, server: ServerClient, identity: IndexIdentity, own: layout.Payload
    ) -> layout.Payload | None:
        """Store the identity in a new collection, and return the one that came first."""
        info = await server.call(server.client.get_collection, server.name)
        size = await server.call(server.client.count, server.name)
        if size.count or not server_points.has_vectors_of(info.config.params.vectors, identity):
            # Another process may have stored its identity, and even documents, meanwhile.
            if payload := await server.identity():
                return payload
            raise IndexMismatch(
                f"{server.where!r} is a Qdrant collection, but not one of ragkit's. Fix: choose "
                "another name under index.collection."
            )
        point = server_points.bare_point(layout.IDENTITY_ID, own)
        await server.upsert([point], mode=models.UpdateMode.INSERT_ONLY)
        return await server.identity()

    async def _index_fields(
        self, server: ServerClient, identity: IndexIdentity, fields: Mapping[str, FieldType]
    ) -> None:
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


async def _exists(server: ServerClient) -> bool:
    return await server.call(server.client.collection_exists, server.name)
