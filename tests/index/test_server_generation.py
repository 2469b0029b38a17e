"""An index on a server is built again beside the one in use, and takes its place at once.

The server is qdrant-client's local mode, with a server's answers where a collection is missing, or
the one that RAGKIT_TEST_QDRANT_URL names.
"""

# A test may look inside.
# pyright: reportPrivateUsage=false

import asyncio
import contextvars
import itertools
import os
import random
import uuid
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Iterator,
    Mapping,
)
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx
import numpy as np
import pytest
from qdrant_client import AsyncQdrantClient, models
from qdrant_client.http.exceptions import ResponseHandlingException

from ragkit.core.errors import (
    IndexLocked,
    IndexMismatch,
    IndexMissing,
    InputError,
    ProviderError,
)
from ragkit.core.filters import Eq
from ragkit.core.protocols import Entry, LegQuery
from ragkit.core.settings import IndexSettings, IngestSettings
from ragkit.core.types import FieldType, IndexIdentity
from ragkit.index import (
    changes,
    layout,
    process,
    server_client,
    server_generation,
    server_points,
    server_rebuild,
)
from ragkit.index.build import identity_for
from ragkit.index.generation import next_generation
from ragkit.index.integrity import verify
from ragkit.index.server import QdrantIndex
from ragkit.index.server_client import ServerClient
from ragkit.index.server_connection import ServerConnection
from ragkit.index.server_generation import ServerGeneration
from ragkit.index.server_rebuild import RebuildClaim
from ragkit.index.server_writer import ServerWriter
from ragkit.ingest.build import build_registry
from ragkit.ingest.chunkers.recursive import RecursiveChunker
from ragkit.ingest.rebuild import Rebuild, ReindexReport
from ragkit.ingest.redivision import Redivision
from ragkit.testing import HashEmbedder
from ragkit.testing.index_examples import EMBEDDER, IDENTITY, make_chunk, make_entry
from tests.index.connection import PLAIN_WORDS, SERVER, Before, Connection, nothing

OTHER = HashEmbedder(dimensions=96)
OTHER_IDENTITY = identity_for(OTHER, IndexSettings())
GERMAN = replace(IDENTITY, language="german")
TEXTS = {"a": ("wolf", "sheep"), "b": ("cow",), "c": ("wolf and cow", "zebra", "goat")}
PAUSE_S = 0.005

pytestmark = [
    pytest.mark.enable_socket,
    pytest.mark.filterwarnings(
        "ignore:Payload indexes have no effect in the local Qdrant:UserWarning"
    ),
]


class Crash(BaseException):
    """Stands for the end of the process."""


def plain_words(language: str) -> models.TextIndexParams:
    return PLAIN_WORDS


def over(watch: object, claim: object) -> bool:
    """Take every claim for over."""
    return True


def not_known(process: str) -> bool:
    """Know of no process that it runs."""
    return False


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks at what others do follow one another soon; local mode only knows plain words."""
    monkeypatch.setattr(server_generation, "_POLL_S", PAUSE_S)
    monkeypatch.setattr(server_generation, "_INDEXING_POLL_S", PAUSE_S)
    monkeypatch.setattr(server_rebuild, "_PAUSE_S", PAUSE_S)
    if SERVER is None:
        monkeypatch.setattr(server_points, "text_params", plain_words)


@pytest.fixture
async def client() -> AsyncIterator[AsyncQdrantClient]:
    client = AsyncQdrantClient(url=SERVER) if SERVER else AsyncQdrantClient(":memory:")
    yield client
    await client.close()


@pytest.fixture
async def name(client: AsyncQdrantClient) -> AsyncIterator[str]:
    name = f"ragkit-test-{uuid.uuid4().hex[:8]}"
    yield name
    for one in await collections(client, name):
        await client.delete_collection(one)


async def collections(client: AsyncQdrantClient, name: str) -> list[str]:
    """Return the collections of an index."""
    found = (await client.get_collections()).collections
    return sorted(one.name for one in found if one.name.startswith(name))


def settings_of(name: str, **options: Any) -> IndexSettings:
    return IndexSettings(
        location=SERVER or "http://qdrant:6333", collection=name, retry_s=0, **options
    )


async def opened(
    client: AsyncQdrantClient,
    name: str,
    identity: IndexIdentity = IDENTITY,
    *,
    before: Before = nothing,
    after: Before = nothing,
    **options: Any,
) -> QdrantIndex:
    connection: Any = Connection(client, before=before, after=after)
    index = QdrantIndex(connection, settings_of(name, **options), tenant_idf=SERVER is not None)
    await index.connect(identity)
    return index


async def filled(client: AsyncQdrantClient, name: str) -> QdrantIndex:
    index = await opened(client, name)
    await index.commit([await make_entry(uri, *texts) for uri, texts in TEXTS.items()])
    await index.commit([await make_entry("a", "fox", tenant="other")])
    return index


@asynccontextmanager
async def generation_of(
    client: AsyncQdrantClient,
    name: str,
    identity: IndexIdentity,
    *,
    before: Before = nothing,
    after: Before = nothing,
    fields: Mapping[str, FieldType] | None = None,
) -> AsyncGenerator[ServerGeneration]:
    connection: Any = Connection(client, before=before, after=after)
    settings = settings_of(name, fields=fields or {})
    server = ServerConnection(ServerClient(connection, settings), settings)
    async with ServerGeneration._of(server, identity, repr(identity)) as generation:
        yield generation


async def reindex(
    client: AsyncQdrantClient,
    name: str,
    identity: IndexIdentity = OTHER_IDENTITY,
    embedder: HashEmbedder = OTHER,
    *,
    before: Before = nothing,
    after: Before = nothing,
    fields: Mapping[str, FieldType] | None = None,
) -> ReindexReport:
    chunker = RecursiveChunker(embedder.tokenizer, chunk_tokens=50)
    division = Redivision(
        chunker=chunker, registry=build_registry(IngestSettings()), context="headings"
    )
    async with generation_of(
        client, name, identity, before=before, after=after, fields=fields
    ) as generation:
        rebuild = Rebuild(generation, embedder=embedder, redivision=division, batch_chunks=2)
        return await rebuild.run()


async def contents(index: QdrantIndex, embedder: HashEmbedder) -> dict[str, object]:
    """Return all that must be equal: records, chunks, results of both legs, faults."""
    found: dict[str, object] = {"faults": await verify(index)}
    for tenant in ("default", "other"):
        records = await index.records(tenant=tenant)
        found[f"records of {tenant}"] = sorted(repr(replace(one, version="")) for one in records)
        uris = [one.uri for one in records]
        found[f"chunks of {tenant}"] = await index.chunks(uris, tenant=tenant)
    vector = (await embedder.embed(["wolf"], task="query"))[0]
    legs = await index.search(LegQuery(vector=vector, text="wolf", depth=20))
    found["dense"] = {item: round(score, 3) for item, score in legs.dense}
    found["bm25"] = {item for item, _ in legs.bm25}
    found["counts"] = sorted(one.chunks for one in await index.versions(tenant=None))
    return found


async def wanted(client: AsyncQdrantClient, name: str) -> dict[str, object]:
    """Return what the index of the other embedder has that was never built again."""
    fresh = await opened(client, f"{name}-fresh", OTHER_IDENTITY)
    for tenant, texts in (("default", TEXTS), ("other", {"a": ("fox",)})):
        for uri, passages in texts.items():
            entry = await make_entry(uri, *passages, tenant=tenant, vectors=False)
            vectors = await OTHER.embed(passages)
            await fresh.commit([replace(entry, vectors=vectors)])
    return await contents(fresh, OTHER)


# What is built


async def test_an_index_of_another_model_is_built_again_for_all_tenants(
    client: AsyncQdrantClient, name: str
) -> None:
    await filled(client, name)
    command = rf"Fix: .*ragkit reindex --index {SERVER or 'http://qdrant:6333'}"
    with pytest.raises(IndexMismatch, match=command):
        await opened(client, name, OTHER_IDENTITY)
    report = await reindex(client, name)
    assert (report.changed, report.documents, report.kept) == (True, 4, 0)
    assert report.written == report.chunks == 7
    index = await opened(client, name, OTHER_IDENTITY)
    assert await contents(index, OTHER) == await wanted(client, name)
    (left,) = [one for one in await collections(client, name) if "fresh" not in one]
    aliases = {one.alias_name: one.collection_name for one in (await client.get_aliases()).aliases}
    assert aliases[name] == left != f"{name}.ragkit-1"
    again = await reindex(client, name)
    assert (again.changed, again.documents) == (False, 4)
    assert aliases[name] in await collections(client, name)


async def test_it_is_built_again_and_again(client: AsyncQdrantClient, name: str) -> None:
    before = await contents(await filled(client, name), EMBEDDER)
    for identity, embedder in ((OTHER_IDENTITY, OTHER), (IDENTITY, EMBEDDER)) * 2:
        assert (await reindex(client, name, identity, embedder)).changed
        assert len(await collections(client, name)) == 1
    assert await contents(await opened(client, name), EMBEDDER) == before


async def test_the_settings_lead_to_the_server(
    client: AsyncQdrantClient, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await filled(client, name)

    def given(settings: IndexSettings) -> Any:
        return Connection(client)

    monkeypatch.setattr(server_generation, "open_client", given)
    async with next_generation(settings_of(name), GERMAN, divided_by="x") as generation:
        assert isinstance(generation, ServerGeneration)
        assert (generation.current.identity, generation.identity) == (IDENTITY, GERMAN)


async def test_a_collection_without_an_alias_is_left_as_it_is(
    client: AsyncQdrantClient, name: str
) -> None:
    await client.create_collection(name, vectors_config=server_points.vector_params(IDENTITY))
    index = await filled(client, name)
    with pytest.raises(InputError, match=r"no alias.*Fix: ingest into another one.*COLLECTION"):
        await reindex(client, name)
    assert len(await index.records()) == len(TEXTS)
    assert await collections(client, name) == [name]


async def test_the_alias_of_a_creation_that_broke_off_is_made_by_the_next(
    client: AsyncQdrantClient, name: str
) -> None:
    async def crash(request: str) -> None:
        if request == "update_collection_aliases":
            raise Crash

    with pytest.raises(Crash):
        await opened(client, name, before=crash)
    assert not await client.collection_exists(name)
    index = await filled(client, name)
    assert await client.collection_exists(name)
    assert len(await index.records()) == len(TEXTS)


async def test_a_missing_index_is_named_and_an_empty_one_is_built_again(
    client: AsyncQdrantClient, name: str
) -> None:
    with pytest.raises(IndexMissing, match=r"No index at .*Fix: ragkit ingest"):
        await reindex(client, name)
    assert await collections(client, name) == []
    await opened(client, name)
    report = await reindex(client, name)
    assert (report.changed, report.documents) == (True, 0)
    assert await (await opened(client, name, OTHER_IDENTITY)).records() == []


# Others meanwhile


async def test_open_searchers_go_on_and_see_the_new_index(
    client: AsyncQdrantClient, name: str
) -> None:
    searcher = await filled(client, name)
    before = await contents(searcher, EMBEDDER)
    assert (await reindex(client, name, GERMAN, EMBEDDER)).changed
    found = await contents(searcher, EMBEDDER)
    assert {**found, "bm25": 0} == {**before, "bm25": 0}
    assert searcher.identity.language == "german"
    await searcher.commit([await make_entry("d", "wolf too")])
    assert (await reindex(client, name)).documents == 5
    with pytest.raises(IndexMismatch, match="dimensions is 96 in the index and 64"):
        await contents(searcher, EMBEDDER)
    with pytest.raises(IndexMismatch):
        await searcher.commit([await make_entry("e", "wolf never")])


@pytest.mark.parametrize("step", range(16))
async def test_what_is_written_at_any_moment_is_in_the_new_index(
    client: AsyncQdrantClient, name: str, step: int
) -> None:
    """A writer stops at each of its requests, and the index is built again and replaced then."""
    reader = await filled(client, name)
    requests = itertools.count()
    builds = list[asyncio.Task[ReindexReport]]()

    async def overtaken(_: str) -> None:
        if next(requests) == step:
            builds.append(asyncio.create_task(reindex(client, name, GERMAN, EMBEDDER)))
            for _turn in range(300):  # far enough to wait for this writer, or to be done
                await asyncio.sleep(0)

    writer = await opened(client, name)
    writer._connected().server.client = Connection(client, before=overtaken)  # type: ignore[assignment]
    new = await make_entry("a", "wolf new")
    await writer.commit([new])
    assert await writer.delete(["b"]) == 1
    for build in builds:
        assert (await build).changed
    assert bool(builds) == (next(requests) > step)
    for index in (reader, writer, await opened(client, name, GERMAN)):
        assert {one.uri for one in await index.records()} == {"a", "c"}
        assert await index.chunks(["a"]) == list(new.chunks)
        assert await verify(index) == []
    assert len(await collections(client, name)) == 1


async def test_what_is_written_at_any_moment_of_the_building_is_in_the_new_index(
    client: AsyncQdrantClient, name: str
) -> None:
    """The building stops at each of its requests, and a writer writes then as far as it may."""
    for step in itertools.count():
        place = f"{name}-{step}"
        writer = await filled(client, place)
        new = await make_entry("a", "wolf new")
        requests = itertools.count()
        commits = list[asyncio.Task[None]]()

        async def overtaken(
            _: str,
            step: int = step,
            writer: QdrantIndex = writer,
            new: Entry = new,
            requests: Iterator[int] = requests,
            commits: list[asyncio.Task[None]] = commits,
        ) -> None:
            if next(requests) == step:
                commits.append(asyncio.create_task(writer.commit([new])))
                for _turn in range(100):
                    await asyncio.sleep(0)

        await reindex(client, place, GERMAN, EMBEDDER, before=overtaken)
        await asyncio.gather(*commits)
        for index in (writer, await opened(client, place, GERMAN)):
            if commits:
                assert await index.chunks(["a"]) == list(new.chunks)
            assert len(await index.records()) == len(TEXTS)
            assert await verify(index) == []
        assert len(await collections(client, f"{place}.")) == 1
        if not commits:
            assert step > 50
            break


async def test_a_writer_waits_while_the_collection_is_replaced(
    client: AsyncQdrantClient, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = await filled(client, name)
    moment = ServerGeneration._moment
    begun = list[asyncio.Task[None]]()

    async def written(self: ServerGeneration) -> str:
        if not begun:
            entry = await make_entry("d", "wolf late")
            begun.append(asyncio.create_task(writer.commit([entry])))
            await asyncio.sleep(10 * PAUSE_S)
            assert await self.current.writer.changes(None) == []
            assert not begun[0].done()
        return await moment(self)

    monkeypatch.setattr(ServerGeneration, "_moment", written)
    assert (await reindex(client, name, GERMAN, EMBEDDER)).documents == 4
    await begun[0]
    assert (await writer.chunks(["d"]))[0].text == "wolf late"
    assert writer.identity.language == "german"


async def test_a_long_commit_gets_its_time(
    client: AsyncQdrantClient, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The collection is opened again for writers, and replaced in a later pass."""
    monkeypatch.setattr(server_generation, "_DRAIN_S", 10 * PAUSE_S)
    writer = await filled(client, name)
    store, close = ServerWriter._store, RebuildClaim.close
    may_end, closings = asyncio.Event(), list[bool]()
    tasks = list[asyncio.Task[None]]()

    async def slow(self: ServerWriter, entries: Any, change: Any) -> Any:
        if entries[0].record.uri == "d":
            await may_end.wait()
        return await store(self, entries, change)

    async def watched(self: RebuildClaim, *, is_closing: bool) -> None:
        if not closings:  # it begins when all earlier changes have ended
            tasks.append(asyncio.create_task(writer.commit([await make_entry("d", "cow")])))
            while not await writer._connected().writer.changes(None):
                await asyncio.sleep(0)
        await close(self, is_closing=is_closing)
        closings.append(is_closing)
        if not is_closing:
            may_end.set()

    monkeypatch.setattr(ServerWriter, "_store", slow)
    monkeypatch.setattr(RebuildClaim, "close", watched)
    assert (await reindex(client, name, GERMAN, EMBEDDER)).documents == 5
    await asyncio.gather(*tasks)
    assert closings[:3] == [True, False, True]
    assert (await (await opened(client, name, GERMAN)).chunks(["d"]))[0].text == "cow"


async def test_one_process_at_a_time(
    client: AsyncQdrantClient, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await filled(client, name)
    async with generation_of(client, name, GERMAN):
        with pytest.raises(IndexLocked, match=rf"again by process {os.getpid()} .* on .*Fix: wait"):
            await reindex(client, name)
    assert (await reindex(client, name)).changed
    # A process that has ended holds nothing.
    ended = f"{process._machine()}:1:0"
    server = (await opened(client, name, OTHER_IDENTITY))._connected().server
    with monkeypatch.context() as patch:
        patch.setattr(server_rebuild, "this_process", lambda: ended)
        await RebuildClaim.take(server, "left")
    assert (await reindex(client, name, IDENTITY, EMBEDDER)).changed


async def test_what_was_built_for_other_settings_and_left_is_removed(
    client: AsyncQdrantClient, name: str
) -> None:
    await filled(client, name)
    async with generation_of(client, name, GERMAN) as generation:
        await generation.following()
    assert len(await collections(client, name)) == 2
    assert (await reindex(client, name)).changed
    assert len(await collections(client, name)) == 1


async def test_a_claim_that_ran_out_while_its_process_lives_loses_nothing(
    client: AsyncQdrantClient, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer goes on; what was built is not put in the place of what it wrote."""
    writer = await filled(client, name)
    moment = ServerGeneration._moment

    async def paused(self: ServerGeneration) -> str:
        found = await moment(self)
        with monkeypatch.context() as patch:
            patch.setattr(server_rebuild._Watch, "sees_end", over)
            await writer.commit([await make_entry("a", "wolf meanwhile")])
        return found

    monkeypatch.setattr(ServerGeneration, "_moment", paused)
    with pytest.raises(IndexLocked, match=r"taken over building .*Fix: run ragkit re"):
        await reindex(client, name, GERMAN, EMBEDDER)
    monkeypatch.undo()
    monkeypatch.setattr(server_points, "text_params", plain_words)
    assert (await writer.chunks(["a"]))[0].text == "wolf meanwhile"
    assert writer.identity == IDENTITY
    assert (await reindex(client, name, GERMAN, EMBEDDER)).changed
    assert (await writer.chunks(["a"]))[0].text == "wolf meanwhile"


async def test_a_document_that_came_and_went_during_the_building_stays_away(
    client: AsyncQdrantClient, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = await filled(client, name)
    catch_up, switch = Rebuild._catch_up, ServerGeneration.switch
    snapshot = ServerGeneration.snapshot

    async def stored(self: ServerGeneration) -> Any:
        found = await snapshot(self)
        await writer.commit([await make_entry("d", "wolf for a moment")])
        return found

    async def deleted(self: ServerGeneration, moment: str) -> bool:
        await writer.delete(["d"])
        return await switch(self, moment)

    async def caught_up(self: Rebuild, records: Any) -> None:
        await catch_up(self, records)
        monkeypatch.setattr(ServerGeneration, "snapshot", snapshot)

    monkeypatch.setattr(ServerGeneration, "snapshot", stored)
    monkeypatch.setattr(ServerGeneration, "switch", deleted)
    monkeypatch.setattr(Rebuild, "_catch_up", caught_up)
    assert (await reindex(client, name, GERMAN, EMBEDDER)).changed
    assert {one.uri for one in await writer.records()} == set(TEXTS)
    assert await verify(writer) == []


async def test_a_builder_that_was_taken_for_dead_writes_no_more(
    client: AsyncQdrantClient, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another one with the same settings goes on with its collection, which becomes the index."""
    writer = await filled(client, name)
    new, old = [await make_entry("a", text) for text in ("wolf new", "wolf of the slow one")]

    async def slow() -> None:
        async with generation_of(client, name, GERMAN) as generation:
            following = await generation.following()
            await following.commit([await make_entry("b", "cow")])
            with monkeypatch.context() as patch:
                patch.setattr(server_rebuild, "is_running", not_known)
                patch.setattr(server_rebuild._Watch, "sees_end", over)
                assert (await reindex(client, name, GERMAN, EMBEDDER)).changed
            await writer.commit([new, await make_entry("d", "goat")])
            records = await following.records()
            for job in (
                following.commit([old]),
                following.discard(records),
                following.touch(records),
            ):
                with pytest.raises(IndexLocked, match="Fix: run ragkit reindex again"):
                    await job
            await generation.snapshot()  # of a collection that is gone

    with pytest.raises(IndexLocked, match="Fix: run ragkit reindex again"):
        await slow()
    assert await writer.chunks(["a"]) == list(new.chunks)
    assert {one.uri for one in await writer.records()} == {*TEXTS, "d"}
    assert await verify(writer) == []
    assert len(await collections(client, name)) == 1


async def test_a_claim_on_what_was_replaced_meanwhile_is_refused(
    client: AsyncQdrantClient, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = await filled(client, name)
    replace, server = RebuildClaim.replace, writer._connected().server
    late = list[BaseException]()

    async def overtaken(self: RebuildClaim, successor: ServerClient) -> None:
        state = await server_rebuild._State.of(server)
        await replace(self, successor)
        with monkeypatch.context() as patch:
            patch.setattr(server_rebuild._State, "of", once(state, server_rebuild._State.of))
            patch.setattr(server_rebuild._Watch, "sees_end", over)
            try:
                await RebuildClaim.take(server, "late")
            except IndexLocked as error:
                late.append(error)

    monkeypatch.setattr(RebuildClaim, "replace", overtaken)
    assert (await reindex(client, name, GERMAN, EMBEDDER)).changed
    assert len(late) == 1
    assert {one.uri for one in await writer.records()} == set(TEXTS)
    assert len(await collections(client, name)) == 1


def once(first: Any, real: Any) -> Any:
    """Return a function that gives `first`, and then what the real one does."""
    given = iter([first])

    async def of(server: ServerClient) -> Any:
        return next(given, None) or await real(server)

    return of


async def test_a_field_gets_another_type(client: AsyncQdrantClient, name: str) -> None:
    index = await opened(client, name, fields={"year": "keyword"})
    wolf = make_chunk("wolf", uri="a", metadata={"year": 2020})
    await index.commit([await make_entry("a", wolf)])
    with pytest.raises(IndexMismatch, match=r"'year' is stored as keyword.*ragkit reindex"):
        await opened(client, name, fields={"year": "integer"})
    report = await reindex(client, name, IDENTITY, EMBEDDER, fields={"year": "integer"})
    assert report.changed
    later = await opened(client, name, fields={"year": "integer"})
    query = LegQuery(vector=None, text="wolf", depth=5, where=Eq("year", 2020))
    assert len((await later.search(query)).bm25) == 1


async def test_a_copy_of_a_collection_is_an_index_of_its_own(
    client: AsyncQdrantClient, name: str
) -> None:
    """As a snapshot that is recovered under another name."""
    index = await filled(client, name)
    copy = f"{name}-copy"
    await client.create_collection(copy, vectors_config=server_points.vector_params(IDENTITY))
    points, _ = await client.scroll(name, limit=100, with_vectors=True)
    rows: Any = [{"id": one.id, "payload": one.payload, "vector": one.vector} for one in points]
    await client.upsert(copy, [models.PointStruct(**row) for row in rows])
    other = await opened(client, copy)
    assert len(await other.records()) == len(TEXTS)
    assert await other.delete(["a"]) == 1
    assert {one.uri for one in await index.records()} == set(TEXTS)


async def test_an_alias_that_was_lost_is_given_back_to_the_index(
    client: AsyncQdrantClient, name: str
) -> None:
    await filled(client, name)
    await reindex(client, name, GERMAN, EMBEDDER)
    async with generation_of(client, name, IDENTITY) as generation:
        await generation.following()
        lost = models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=name))
        await client.update_collection_aliases([lost])
    for create in (False, True):
        connection: Any = Connection(client)
        index = QdrantIndex(connection, settings_of(name), tenant_idf=SERVER is not None)
        await index.connect(GERMAN, create=create)
        assert len(await index.records()) == len(TEXTS)
    (alias,) = (await client.get_aliases()).aliases
    assert alias.alias_name == name


async def test_records_of_a_collection_that_was_replaced_remove_nothing(
    client: AsyncQdrantClient, name: str
) -> None:
    index = await filled(client, name)
    old = await index.records()
    await reindex(client, name, GERMAN, EMBEDDER)
    assert await index.discard(old) == 0
    assert len(await index.records()) == len(TEXTS)
    assert await index.discard(await index.records()) == len(TEXTS)
    assert await index.discard(await index.records()) == 0


async def test_the_claim_of_another_machine_is_over_when_it_stands_still(
    client: AsyncQdrantClient, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No clocks are compared: it has to be seen for its time."""
    writer = await filled(client, name)
    server = writer._connected().server
    monkeypatch.setattr(server_rebuild, "LEASE_S", 10 * PAUSE_S)
    monkeypatch.setattr(server_rebuild, "this_process", lambda: "elsewhere:1:1")
    claim = await RebuildClaim.take(server, "x")
    await claim.close(is_closing=True)
    await writer.commit([await make_entry("d", "wolf")])  # it waited that long
    with pytest.raises(IndexLocked):
        await claim.check()
    monkeypatch.setattr(server_rebuild, "LEASE_S", 60.0)
    claim = await RebuildClaim.take(server, "y")

    async def renew() -> None:
        while True:
            await asyncio.sleep(PAUSE_S)
            await claim.renew()

    renewal = asyncio.create_task(renew())
    with pytest.raises(IndexLocked, match="being built again"):
        await RebuildClaim.take(server, "z")
    renewal.cancel()
    monkeypatch.setattr(server_rebuild, "LEASE_S", 10 * PAUSE_S)
    assert (await RebuildClaim.take(server, "z")).left == ("x", "y")


async def test_an_identity_that_replicas_disagree_on_lets_no_write_through(
    client: AsyncQdrantClient, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = await filled(client, name)
    server = writer._connected().server
    server.connected(replicas=2)
    retrieve, hidden = ServerClient.retrieve, [2]

    async def disagreeing(self: ServerClient, ids: Any, **options: Any) -> Any:
        found = await retrieve(self, ids, **options)
        if list(ids) == [layout.IDENTITY_ID] and hidden[0]:
            hidden[0] -= 1
            return {}
        return found

    claim = await RebuildClaim.take(server, "x")
    await claim.close(is_closing=True)
    monkeypatch.setattr(ServerClient, "retrieve", disagreeing)
    monkeypatch.setattr(server_client, "_FIRST_PAUSE_S", PAUSE_S)
    waiting = asyncio.create_task(writer.commit([await make_entry("d", "wolf")]))
    while hidden[0]:
        await asyncio.sleep(PAUSE_S)
    await asyncio.sleep(10 * PAUSE_S)
    assert not waiting.done()
    await claim.close(is_closing=False)
    await waiting


# Crashes


WRITES = {
    "upsert", "delete", "set_payload", "create_collection", "delete_collection",
    "update_collection_aliases",
}  # fmt: skip


@pytest.mark.parametrize("applied", [True, False])
async def test_a_crash_at_any_write_leaves_one_index_and_the_next_run_ends(
    client: AsyncQdrantClient, name: str, applied: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = await wanted(client, name)
    outcomes: list[bool] = []
    for number in itertools.count():
        place = f"{name}-{number}"
        searcher = await filled(client, place)
        old = await contents(searcher, EMBEDDER)
        writes = itertools.count()

        async def crash(request: str, number: int = number) -> None:
            if request in WRITES and next(writes) >= number:  # noqa: B023 - called in this turn
                raise Crash

        hooks: dict[str, Any] = {"after" if applied else "before": crash}
        with monkeypatch.context() as patch:
            patch.setattr(server_rebuild, "this_process", lambda: f"{process._machine()}:1:0")
            patch.setattr(changes, "this_process", lambda: f"{process._machine()}:1:0")
            try:
                await reindex(client, place, **hooks)
            except Crash:
                outcomes.append(True)
            else:
                outcomes.append(False)
        try:
            assert await contents(searcher, EMBEDDER) == old
            await searcher.commit([await make_entry("b", *TEXTS["b"])])
        except IndexMismatch:
            assert await contents(await opened(client, place, OTHER_IDENTITY), OTHER) == expected
        else:
            report = await reindex(client, place)
            assert report.changed
            assert await contents(await opened(client, place, OTHER_IDENTITY), OTHER) == expected
        assert len(await collections(client, f"{place}.")) == 1
        if not outcomes[-1]:
            break
    assert len(outcomes) > 20


async def test_a_cancelled_run_goes_on_where_it_stopped(
    client: AsyncQdrantClient, name: str
) -> None:
    searcher = await filled(client, name)
    chunks = itertools.count()
    waits = asyncio.Event()

    async def wait(request: str) -> None:
        if request == "upsert" and next(chunks) == 6:  # in the second batch
            waits.set()
            await asyncio.Event().wait()

    run = asyncio.create_task(reindex(client, name, before=wait))
    await waits.wait()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    await searcher.commit([await make_entry("d", "cow")])  # nothing is closed
    report = await reindex(client, name)
    assert 0 < report.written < report.chunks
    index = await opened(client, name, OTHER_IDENTITY)
    assert {one.uri for one in await index.records()} == {*TEXTS, "d"}
    assert await verify(index) == []
    assert len(await collections(client, name)) == 1


async def test_a_server_that_fails_in_the_middle_leaves_the_index_in_use(
    client: AsyncQdrantClient, name: str
) -> None:
    searcher = await filled(client, name)

    async def gone(request: str) -> None:
        if request == "upsert":
            raise ResponseHandlingException(httpx.ReadError("gone"))

    with pytest.raises(ProviderError, match="gone"):
        await reindex(client, name, before=gone)
    assert len(await searcher.records()) == len(TEXTS)
    await searcher.commit([await make_entry("d", "cow")])
    assert (await reindex(client, name)).documents == 5


# Random interleavings


WRITER = contextvars.ContextVar("WRITER", default="reader")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
async def test_random_writers_lose_nothing_while_the_index_is_built_again_and_again(
    client: AsyncQdrantClient, name: str, seed: int
) -> None:
    draw = random.Random(seed)
    ended = asyncio.Event()
    stored: dict[str, str] = {}

    async def latency(_: str) -> None:
        for _turn in range(draw.randint(0, 3)):
            await asyncio.sleep(0)

    async def write(writer: int) -> None:
        index = await opened(client, name, before=latency, after=latency)
        for number in range(25):
            uri = f"doc-{writer}-{draw.randrange(6)}"
            if draw.random() < 0.25 and uri in stored:
                await index.delete([uri])
                del stored[uri]
            else:
                entry = await make_entry(uri, f"wolf {number}", "cow")
                await index.commit([entry])
                stored[uri] = entry.record.generation

    async def build() -> int:
        languages = itertools.cycle(("german", "english"))
        count = 0
        while not ended.is_set():
            identity = replace(IDENTITY, language=next(languages))
            try:
                await reindex(client, name, identity, EMBEDDER, before=latency, after=latency)
            except InputError as error:
                assert "was written in each" in str(error)  # noqa: PT017 - either is right
            else:
                count += 1
        return count

    index = await filled(client, name)
    await index.delete(list(TEXTS))
    builds = asyncio.create_task(build())
    await asyncio.gather(*map(write, range(3)))
    ended.set()
    assert await builds > 0
    assert {one.uri: one.generation for one in await index.records()} == stored
    assert await verify(index) == []
    assert await index._connected().writer.changes(None) == []
    assert len(await collections(client, name)) == 1
    vector = np.ones(IDENTITY.dimensions, dtype=np.float32)
    legs = await index.search(LegQuery(vector=vector, text="wolf", depth=100))
    assert {chunk.uri for chunk in legs.chunks.values()} <= {*stored, "a"}
