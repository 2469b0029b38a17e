"""The server's store: errors, connecting, interrupted writes, and the contract.

Without a server (`RAGKIT_TEST_QDRANT_URL`) the contract runs over qdrant-client's local mode, which
splits text into words and no more, and has one set of BM25 statistics for all tenants.
"""

# A test may look inside.
# pyright: reportPrivateUsage=false

import asyncio
import itertools
import json
import os
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from pydantic import SecretStr
from qdrant_client import AsyncQdrantClient, models
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from ragkit.core.errors import ConfigError, IndexMismatch, InputError, ProviderError
from ragkit.core.filters import Eq
from ragkit.core.protocols import Entry, Index, LegQuery
from ragkit.core.settings import IndexSettings
from ragkit.core.types import FieldType, IndexIdentity
from ragkit.index import (
    changes,
    layout,
    process,
    server_client,
    server_collection,
    server_points,
    server_writer,
)
from ragkit.index.changes import Change
from ragkit.index.integrity import verify
from ragkit.index.server import QdrantIndex
from ragkit.index.server_client import ServerClient, open_client
from ragkit.index.server_connection import ServerConnection
from ragkit.index.server_writer import ServerWriter
from ragkit.testing.index_contract import IndexContract
from ragkit.testing.index_examples import (
    ALL_FIELDS,
    FIELDS,
    IDENTITY,
    find,
    make_chunk,
    make_entry,
)
from tests.index.connection import PLAIN_WORDS, SERVER

LOCATION = "http://qdrant:6333"

local_mode = pytest.mark.filterwarnings(
    "ignore:Payload indexes have no effect in the local Qdrant:UserWarning"
)


def local_index(client: AsyncQdrantClient, fields: Mapping[str, FieldType] = FIELDS) -> QdrantIndex:
    settings = IndexSettings(location=LOCATION, fields=fields)
    return QdrantIndex(client, settings, text_params=PLAIN_WORDS, tenant_idf=False)


class ServerContract(IndexContract):
    async def store_chunks(self, index: Index, entry: Entry) -> None:
        assert isinstance(index, QdrantIndex)
        record = replace(entry.record, version=layout.new_version(entry.record.generation))
        points = server_points.chunk_points(replace(entry, record=record), IDENTITY)
        await index._connected().server.upsert(list(points))


@local_mode
class TestLocalMode(ServerContract):
    analyses_text = False
    folds_accents = False
    separates_statistics = False

    async def open_index(
        self, place: Path, identity: IndexIdentity, fields: Mapping[str, FieldType]
    ) -> QdrantIndex:
        index = local_index(AsyncQdrantClient(":memory:"), fields)
        await index.connect(identity)
        return index


@pytest.mark.enable_socket
class TestQdrantServer(ServerContract):
    __test__ = SERVER is not None

    @pytest.fixture(autouse=True)
    async def collections(self) -> AsyncIterator[None]:
        self.made: set[str] = set()
        yield
        client = AsyncQdrantClient(url=SERVER)
        for name in self.made:
            await client.delete_collection(f"{name}.ragkit-1")
        await client.close()

    async def open_index(
        self, place: Path, identity: IndexIdentity, fields: Mapping[str, FieldType]
    ) -> QdrantIndex:
        name = f"ragkit-test-{os.getpid()}-{place.parent.name}-{place.name}"
        self.made.add(name)
        settings = IndexSettings(location=SERVER or "", collection=name, fields=fields)
        return await QdrantIndex.open(settings, identity)


def test_the_contract_runs_over_a_server() -> None:
    if SERVER is None:
        pytest.skip("RAGKIT_TEST_QDRANT_URL names no Qdrant server to test against")


# Errors


def refused(status: int, body: bytes) -> UnexpectedResponse:
    return UnexpectedResponse(status, "Reason", body, httpx.Headers())


def test_a_location_that_is_no_url_is_named() -> None:
    with pytest.raises(ConfigError, match=r"'http://\[bad'.*http://localhost:6333"):
        open_client(IndexSettings(location="http://[bad"))


Answer = tuple[int, Any]


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def listening(serve: Serve) -> AsyncGenerator[str, None]:
    """A server on loopback, all of whose connections are ended when it is left; its URL."""
    open_ones: list[asyncio.StreamWriter] = []

    async def tracked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_ones.append(writer)
        await serve(reader, writer)

    listener = await asyncio.start_server(tracked, "127.0.0.1", 0)
    async with listener:
        yield f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        for writer in open_ones:
            writer.close()
            await writer.wait_closed()


@asynccontextmanager
async def fake_server(answer: Callable[[str, str], Answer]) -> AsyncGenerator[str, None]:
    """A server on loopback that answers each (method, path) as told; its URL."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        method, path = head.split()[:2]
        status, result = answer(method, path.partition("?")[0])
        body = json.dumps({"result": result, "status": "ok", "time": 0.0}).encode()
        if path == "/":
            body = json.dumps(result).encode()
        writer.write(
            f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n"
            "Content-Type: application/json\r\nConnection: close\r\n\r\n".encode()
            + body
        )
        await writer.drain()
        writer.close()

    async with listening(serve) as url:
        yield url


VERSION = {"title": "qdrant", "version": "1.20.0"}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses between tries take no time, but count."""
    passed = [0.0]

    async def sleep(seconds: float) -> None:
        passed[0] += seconds

    monkeypatch.setattr(server_client, "_now", lambda: passed[0])
    monkeypatch.setattr(server_client, "_sleep", sleep)


@pytest.mark.usefixtures("quick")
async def test_an_unreachable_server_is_named_with_the_command_that_starts_it() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(ProviderError, match=rf"'{url}' cannot be reached") as caught:
        await QdrantIndex.open(IndexSettings(location=url), IDENTITY)
    assert "docker compose up -d qdrant" in str(caught.value)
    assert isinstance(caught.value.__cause__, ResponseHandlingException)
    assert caught.value.retryable


@pytest.mark.usefixtures("quick")
async def test_a_server_in_trouble_is_tried_again_and_a_refusal_is_not() -> None:
    for status, again in ((503, True), (429, True), (401, False), (400, False)):
        asked: list[str] = []

        def answer(method: str, path: str) -> Answer:
            asked.append(path)  # noqa: B023 - called within the loop's turn
            return status, None  # noqa: B023

        async with fake_server(answer) as url:
            with pytest.raises(ProviderError, match=f"answered {status}") as caught:
                await QdrantIndex.open(IndexSettings(location=url), IDENTITY)
        assert set(asked) == {"/"}
        assert (len(asked) > 1) == again
        assert caught.value.status == status


@pytest.mark.usefixtures("quick")
async def test_a_connected_server_may_be_away_for_a_minute(client: AsyncQdrantClient) -> None:
    index = local_index(client)
    server = index._connection.server
    tries = [0.0]

    async def away() -> None:
        tries.append(server_client._now())
        raise ResponseHandlingException(httpx.ConnectError("restarting"))

    with pytest.raises(ProviderError, match="cannot be reached"):
        await server.call(away)
    assert 1 < tries[-1] <= 2.5
    server.connected(replicas=1)
    with pytest.raises(ProviderError, match="cannot be reached"):
        await server.call(away)
    assert 50 < tries[-1] - 2.5 <= 75


@pytest.mark.usefixtures("quick")
async def test_a_passing_trouble_is_overcome() -> None:
    asked: list[str] = []

    def answer(method: str, path: str) -> Answer:
        asked.append(path)
        if len(asked) < 3:
            return 503, None
        answers: dict[str, object] = {"/": VERSION, "/collections": {"collections": []}}
        return 200, answers.get(path, {"exists": False})

    async with fake_server(answer) as url:
        with pytest.raises(InputError, match=rf"No index at '{url}'.*--index {url}"):
            await QdrantIndex.open(IndexSettings(location=url), IDENTITY, create=False)
    assert asked == ["/", "/", "/", "/collections/ragkit/exists", "/collections"]


async def test_a_silent_server_is_given_up_after_the_timeout() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with listening(silent) as url:
        with pytest.raises(ProviderError, match="did not answer in time"):
            await QdrantIndex.open(IndexSettings(location=url, timeout_s=1, retry_s=0), IDENTITY)


async def test_an_old_server_is_refused_before_anything_is_made() -> None:
    async with fake_server(lambda method, path: (200, {**VERSION, "version": "1.15.1"})) as url:
        with pytest.raises(ProviderError, match=r"version 1\.15\.1"):
            await QdrantIndex.open(IndexSettings(location=url), IDENTITY)


@pytest.mark.filterwarnings("ignore:Api key is used with an insecure connection:UserWarning")
async def test_the_key_is_sent_and_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    settings = IndexSettings(location="http://localhost", api_key=SecretStr("hush"))
    client = open_client(settings)
    assert client.init_options["api_key"] == "hush"
    assert "hush" not in repr(settings) + repr(client) + caplog.text
    await client.close()


# Connecting, over local mode


@pytest.fixture
async def client() -> AsyncIterator[AsyncQdrantClient]:
    client = AsyncQdrantClient(":memory:")
    yield client
    await client.close()


@local_mode
async def test_a_second_process_finds_what_the_first_stored(client: AsyncQdrantClient) -> None:
    first, second = local_index(client), local_index(client, {})
    await first.connect(IDENTITY)
    await first.commit([await make_entry("a", "wolf")])
    await second.connect(IDENTITY, create=False)
    assert await find(second, "wolf") == {"dense": ["wolf"], "bm25": ["wolf"]}
    assert second.fields == ALL_FIELDS


@local_mode
async def test_shards_and_replicas_are_set_at_creation(
    client: AsyncQdrantClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, object] = {}
    create = client.create_collection

    async def spy(name: str, **options: Any) -> bool:
        asked.update(options, name=name)
        return await create(name, **options)

    monkeypatch.setattr(client, "create_collection", spy)
    settings = IndexSettings(location=LOCATION, collection="mine", shards=4, replicas=2)
    index = QdrantIndex(client, settings, text_params=PLAIN_WORDS, tenant_idf=False)
    await index.connect(IDENTITY)
    assert (asked["name"], asked["shard_number"], asked["replication_factor"]) == (
        "mine.ragkit-1",
        4,
        2,
    )


@local_mode
async def test_two_that_create_at_once_agree(
    client: AsyncQdrantClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The slower one is told that the collection exists, and finds no identity in it yet."""
    create = client.create_collection

    async def create_twice(name: str, **options: Any) -> bool:
        await create(name, **options)
        raise refused(409, b'{"status": {"error": "Collection already exists"}}')

    monkeypatch.setattr(client, "create_collection", create_twice)
    index = local_index(client)
    await index.connect(IDENTITY)
    await index.commit([await make_entry("a", "wolf")])
    assert (await find(index, "wolf"))["bm25"] == ["wolf"]


@local_mode
async def test_of_two_identities_the_first_to_be_stored_counts(
    client: AsyncQdrantClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = replace(IDENTITY, embedder="bert")
    claim = ServerConnection._claim

    async def overtaken(
        self: ServerConnection, *args: Any, **options: Any
    ) -> layout.Payload | None:
        monkeypatch.undo()
        await local_index(client).connect(other)
        return await claim(self, *args, **options)

    monkeypatch.setattr(ServerConnection, "_claim", overtaken)
    index = local_index(client)
    with pytest.raises(IndexMismatch, match="embedder is 'bert' in the index and 'hash'"):
        await index.connect(IDENTITY)
    with pytest.raises(InputError, match="not connected"):
        _ = index.identity


@local_mode
async def test_an_interrupted_creation_is_finished_by_the_next(client: AsyncQdrantClient) -> None:
    await client.create_collection("ragkit", vectors_config=server_points.vector_params(IDENTITY))
    index = local_index(client)
    await index.connect(IDENTITY)
    await index.commit([await make_entry("a", "wolf")])
    assert (await find(index, "wolf"))["bm25"] == ["wolf"]


@local_mode
async def test_a_collection_that_is_not_ragkits_is_refused(client: AsyncQdrantClient) -> None:
    params = models.VectorParams(size=4, distance=models.Distance.DOT)
    await client.create_collection("ragkit", vectors_config=params)
    with pytest.raises(IndexMismatch, match=rf"'{LOCATION} \(ragkit\)'.*not one of ragkit's"):
        await local_index(client).connect(IDENTITY)
    assert (await client.count("ragkit")).count == 0


@local_mode
async def test_another_model_is_refused_naming_the_collection(client: AsyncQdrantClient) -> None:
    await local_index(client).connect(IDENTITY)
    with pytest.raises(IndexMismatch, match=rf"'{LOCATION} \(ragkit\)'.*language is 'english'"):
        await local_index(client).connect(replace(IDENTITY, language="german"))


@local_mode
async def test_a_field_declared_later_is_kept_beside_the_others(client: AsyncQdrantClient) -> None:
    await local_index(client, {"lang": "keyword"}).connect(IDENTITY)
    later = local_index(client, {"year": "integer"})
    await later.connect(IDENTITY)
    chunk = make_chunk("wolf", uri="a", metadata={"year": 2020, "lang": "en"})
    await later.commit([await make_entry("a", chunk)])
    assert (await find(later, "wolf", where=Eq("year", 2020)))["bm25"] == ["wolf"]
    third = local_index(client, {})
    await third.connect(IDENTITY)
    assert (third.fields["year"], third.fields["lang"]) == ("integer", "keyword")
    with pytest.raises(IndexMismatch, match="'year' is stored as integer"):
        await local_index(client, {"year": "float"}).connect(IDENTITY)


@local_mode
async def test_what_is_beyond_a_page_is_read_too(
    client: AsyncQdrantClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (server_collection, server_client, server_writer):
        monkeypatch.setattr(module, "PAGE", 7)
    index = local_index(client)
    await index.connect(IDENTITY)
    entries = [await make_entry(f"doc-{n}", "wolf") for n in range(50)]
    await index.commit(entries)
    assert len(await index.records()) == len(await index.versions()) == 50
    uris = [entry.record.uri for entry in entries]
    assert await index.records(uris) == [entry.record for entry in entries]
    ids = [entry.chunks[0].id for entry in entries]
    assert (await index.vectors(ids)).shape == (50, 64)
    assert len(await index.fetch(ids)) == 50
    assert await index.delete(uris[:40]) == 40
    assert len(await index.records()) == 10
    await index.commit(entries)
    assert len(await index.records()) == 50
    assert await verify(index) == []


class Broken:
    """A client some of whose writes are lost, or whose answers are."""

    def __init__(self, client: AsyncQdrantClient, *, at: int, applied: bool) -> None:
        """Break at a write, counted from 0, that is `applied` or not before."""
        self._client, self._at, self._applied = client, at, applied
        self._writes = itertools.count()

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._client, name)
        if name not in {"upsert", "delete"}:
            return real

        async def write(*args: Any, **options: Any) -> object:
            broken = next(self._writes) == self._at
            if broken and not self._applied:
                raise ResponseHandlingException(httpx.ReadError("gone"))
            result = await real(*args, **options)
            if broken:
                raise ResponseHandlingException(httpx.ReadError("gone"))
            return result

        return write


@local_mode
@pytest.mark.parametrize("applied", [True, False])
@pytest.mark.parametrize("at", range(5))
async def test_a_commit_that_breaks_off_leaves_one_version(
    client: AsyncQdrantClient, at: int, applied: bool
) -> None:
    """At the note of the change, the chunks, the record, the old version and the end."""
    reader = local_index(client)
    await reader.connect(IDENTITY)
    await reader.commit([await make_entry("a", "wolf old", "sheep old")])
    settings = IndexSettings(location=LOCATION, retry_s=0)
    broken: Any = Broken(client, at=at, applied=applied)
    index = QdrantIndex(broken, settings, text_params=PLAIN_WORDS, tenant_idf=False)
    await index.connect(IDENTITY)
    new = await make_entry("a", "wolf new")
    with pytest.raises(ProviderError, match="closed the connection: gone"):
        await index.commit([new])
    text = "wolf new" if (at, applied) >= (2, True) else "wolf old"
    for one in (index, reader):
        assert (await find(one, "wolf"))["bm25"] == [text]
        assert (await one.chunks(["a"]))[0].text == text
    # The lease lasts: no other writer takes what is left for an orphan.
    assert await verify(reader) == []
    await reader.commit([await make_entry("b", "cow")])
    assert (await find(index, "wolf"))["bm25"] == [text]
    # Its own next commit finishes the job.
    await index.commit([new])
    assert await find(reader, "wolf") == {"dense": ["wolf new", "cow"], "bm25": ["wolf new"]}
    assert sorted(one.chunks for one in await reader.versions()) == [1, 1]
    assert await index._connected().writer.changes(None) == []


@local_mode
async def test_what_an_ended_writer_left_is_recovered_by_the_next_commit(
    client: AsyncQdrantClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(changes, "this_process", lambda: f"{process._machine()}:1:0")
        broken: Any = Broken(client, at=6, applied=False)
        settings = IndexSettings(location=LOCATION, retry_s=0)
        index = QdrantIndex(broken, settings, text_params=PLAIN_WORDS, tenant_idf=False)
        await index.connect(IDENTITY)
        await index.commit([await make_entry("a", "wolf")])
        with pytest.raises(ProviderError, match="gone"):
            await index.commit([await make_entry("a", "wolf new")])
        assert len(await index._connected().writer.changes(None)) == 1
    other = local_index(client)
    await other.connect(IDENTITY)
    await other.commit([await make_entry("b", "cow")])
    assert await other._connected().writer.changes(None) == []
    assert await verify(other) == []
    assert len(await other.versions()) == len(await other.records())


@local_mode
async def test_a_lease_that_runs_out_while_its_writer_lives_loses_nothing(
    client: AsyncQdrantClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    index, other = local_index(client), local_index(client)
    await index.connect(IDENTITY)
    await other.connect(IDENTITY)
    store = ServerWriter._store

    async def paused(self: ServerWriter, entries: Any, change: Change) -> Change:
        monkeypatch.undo()
        expired = replace(await store(self, entries, change), expires_at=0.0)
        await other._connected().writer.recover([expired])
        return expired  # the pause shows in the lease

    monkeypatch.setattr(ServerWriter, "_store", paused)
    entry = await make_entry("a", "wolf", "sheep")
    await index.commit([entry])
    assert await other.chunks(["a"]) == list(entry.chunks)
    assert await verify(other) == []
    assert await index._connected().writer.changes(None) == []


@local_mode
async def test_a_search_is_one_request_and_one_look_at_the_records(
    client: AsyncQdrantClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = local_index(client)
    await index.connect(IDENTITY)
    entry = await make_entry("a", "wolf", "sheep")
    await index.commit([entry])
    sent: list[str] = []
    call = ServerClient.call

    async def counted(self: ServerClient, request: Any, *args: Any, **options: Any) -> Any:
        sent.append(request.__name__)
        return await call(self, request, *args, **options)

    monkeypatch.setattr(ServerClient, "call", counted)
    vector = np.ones(64, dtype=np.float32)
    legs = await index.search(LegQuery(vector=vector, text="wolf", depth=5))
    assert sent == ["query_batch_points", "retrieve"]
    assert legs.chunks == {chunk.id: chunk for chunk in entry.chunks}


@local_mode
async def test_a_document_that_is_replaced_during_a_search_is_found_once(
    client: AsyncQdrantClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    index, other = local_index(client), local_index(client)
    await index.connect(IDENTITY)
    await other.connect(IDENTITY)
    await index.commit([await make_entry("a", "wolf old", "wolf older")])
    new = await make_entry("a", "wolf new")
    query = client.query_batch_points

    async def overtaken(*args: Any, **options: Any) -> Any:
        found = await query(*args, **options)
        monkeypatch.undo()
        await other.commit([new])
        return found

    monkeypatch.setattr(client, "query_batch_points", overtaken)
    assert await find(index, "wolf") == {"dense": ["wolf new"], "bm25": ["wolf new"]}


@local_mode
async def test_writes_are_ordered_and_reads_consistent_where_there_are_replicas(
    client: AsyncQdrantClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = local_index(client)
    await index.connect(IDENTITY)
    index._connected().server.connected(replicas=3)
    seen: dict[str, object] = {}
    for name, option in (
        ("upsert", "ordering"),
        ("delete", "ordering"),
        ("retrieve", "consistency"),
    ):
        real = getattr(client, name)

        def spy(
            *args: Any, name: str = name, option: str = option, real: Any = real, **kw: Any
        ) -> Any:
            seen[name] = kw[option]
            return real(*args, **kw)

        monkeypatch.setattr(client, name, spy)
    await index.commit([await make_entry("a", "wolf")])
    await index.delete(["a"])
    assert seen == {"upsert": "strong", "delete": "strong", "retrieve": "majority"}
