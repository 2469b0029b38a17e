"""The server's store: requests as pure functions, errors, and the contract as far as it can be run.

Without a server (`RAGKIT_TEST_QDRANT_URL`) the contract runs over qdrant-client's local mode, which
splits text into words and no more, and has one set of BM25 statistics for all tenants.
"""

# A test may look inside.
# pyright: reportPrivateUsage=false

import asyncio
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
from ragkit.index import layout, server, server_points
from ragkit.index.integrity import repair, verify
from ragkit.index.server import QdrantIndex
from ragkit.testing.index_contract import IndexContract
from ragkit.testing.index_examples import (
    ALL_FIELDS,
    FIELDS,
    IDENTITY,
    find,
    make_chunk,
    make_entry,
)

SERVER = os.environ.get("RAGKIT_TEST_QDRANT_URL")
LOCATION = "http://qdrant:6333"
PLAIN_WORDS = models.TextIndexParams(type=models.TextIndexType.TEXT, scoring=True)

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
        await index._server.upsert(list(points))


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
            await client.delete_collection(name)
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
        server._client(IndexSettings(location="http://[bad"))


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
    monkeypatch.setattr(server, "_PAUSES_S", (0.0, 0.0))


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
async def test_a_server_in_trouble_is_tried_three_times_and_a_refusal_once() -> None:
    for status, tries in ((503, 3), (429, 3), (401, 1), (400, 1)):
        asked: list[str] = []

        def answer(method: str, path: str) -> Answer:
            asked.append(path)  # noqa: B023 - called within the loop's turn
            return status, None  # noqa: B023

        async with fake_server(answer) as url:
            with pytest.raises(ProviderError, match=f"answered {status}") as caught:
                await QdrantIndex.open(IndexSettings(location=url), IDENTITY)
        assert asked == ["/"] * tries
        assert caught.value.status == status


@pytest.mark.usefixtures("quick")
async def test_a_passing_trouble_is_overcome() -> None:
    asked: list[str] = []

    def answer(method: str, path: str) -> Answer:
        asked.append(path)
        if len(asked) < 3:
            return 503, None
        return 200, VERSION if path == "/" else {"exists": False}

    async with fake_server(answer) as url:
        with pytest.raises(InputError, match=rf"No index at '{url}'.*--index {url}"):
            await QdrantIndex.open(IndexSettings(location=url), IDENTITY, create=False)
    assert asked == ["/", "/", "/", "/collections/ragkit/exists"]


async def test_a_silent_server_is_given_up_after_the_timeout(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server, "_PAUSES_S", ())

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with listening(silent) as url:
        with pytest.raises(ProviderError, match="did not answer in time"):
            await QdrantIndex.open(IndexSettings(location=url, timeout_s=1), IDENTITY)


async def test_an_old_server_is_refused_before_anything_is_made() -> None:
    async with fake_server(lambda method, path: (200, {**VERSION, "version": "1.15.1"})) as url:
        with pytest.raises(ProviderError, match=r"version 1\.15\.1"):
            await QdrantIndex.open(IndexSettings(location=url), IDENTITY)


@pytest.mark.filterwarnings("ignore:Api key is used with an insecure connection:UserWarning")
async def test_the_key_is_sent_and_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    settings = IndexSettings(location="http://localhost", api_key=SecretStr("hush"))
    client = server._client(settings)
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
    assert (asked["name"], asked["shard_number"], asked["replication_factor"]) == ("mine", 4, 2)


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
    claim = QdrantIndex._claim

    async def overtaken(self: QdrantIndex, *args: Any) -> layout.Payload | None:
        monkeypatch.undo()
        await local_index(client).connect(other)
        return await claim(self, *args)

    monkeypatch.setattr(QdrantIndex, "_claim", overtaken)
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
async def test_records_and_generations_beyond_a_page_are_all_read(
    client: AsyncQdrantClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_PAGE", 7)
    index = local_index(client)
    await index.connect(IDENTITY)
    entries = [await make_entry(f"doc-{n}", "wolf") for n in range(50)]
    await index.commit(entries)
    assert len(await index.records()) == 50
    assert len(await index.generations()) == 50
    await index.delete([f"doc-{n}" for n in range(40)])
    assert len(await index.records()) == 10
    await index.drop_generations([entry.record.generation for entry in entries])
    assert await index.generations() == {}


@local_mode
@pytest.mark.parametrize("method", ["upsert", "delete"])
@pytest.mark.usefixtures("quick")
async def test_a_commit_that_breaks_off_is_mended(
    client: AsyncQdrantClient, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    index = local_index(client)
    await index.connect(IDENTITY)
    await index.commit([await make_entry("a", "wolf old")])
    new = await make_entry("a", "wolf new")
    real: Callable[..., Awaitable[object]] = getattr(client, method)
    calls: list[object] = []

    async def failing(name: str, argument: object, **options: Any) -> object:
        calls.append(argument)
        if method == "delete" or len(calls) > 1:  # the chunks are stored, the record is not
            raise ResponseHandlingException(httpx.ReadError("gone"))
        return await real(name, argument, **options)

    with monkeypatch.context() as patch:
        patch.setattr(client, method, failing)
        with pytest.raises(ProviderError, match="broke off: gone"):
            await index.commit([new])
    found = (await find(index, "wolf"))["bm25"]
    assert set(found) == {"wolf old", "wolf new"}
    await repair(index, await verify(index))
    (record,) = await index.records()
    survivor = "wolf new" if record == new.record else "wolf old"
    assert (await find(index, "wolf"))["bm25"] == [survivor]
    assert survivor == ("wolf new" if method == "delete" else "wolf old")


@local_mode
async def test_one_search_is_one_request(
    client: AsyncQdrantClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = local_index(client)
    await index.connect(IDENTITY)
    entry = await make_entry("a", "wolf", "sheep")
    await index.commit([entry])
    sent: list[str] = []
    call = QdrantIndex._call

    async def counted(self: QdrantIndex, request: Any, *args: Any, **options: Any) -> Any:
        sent.append(request.__name__)
        return await call(self, request, *args, **options)

    monkeypatch.setattr(QdrantIndex, "_call", counted)
    vector = np.ones(64, dtype=np.float32)
    legs = await index.search(LegQuery(vector=vector, text="wolf", depth=5))
    assert sent == ["query_batch_points"]
    assert legs.chunks == {chunk.id: chunk for chunk in entry.chunks}
