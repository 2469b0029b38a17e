"""The index behind a ragkit server keeps the contract; keys and failures."""

# A test may look inside.
# pyright: reportPrivateUsage=false

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from pydantic import SecretStr, TypeAdapter, ValidationError

from ragkit import RAG
from ragkit.core.errors import ConfigError, IndexMismatch, ProviderError
from ragkit.core.filters import Eq, Filter
from ragkit.core.protocols import Index, LegQuery
from ragkit.core.settings import IndexSettings
from ragkit.core.types import FieldType, IndexIdentity
from ragkit.index.memory import MemoryIndex
from ragkit.index.remote import RemoteIndex
from ragkit.index.remote_wire import FilterJson, filter_json, read_filter
from ragkit.sdk import AsyncRAG
from ragkit.server.app import ServerOptions, build_app
from ragkit.server.keys import KeyFile
from ragkit.testing.embedder import HashEmbedder
from ragkit.testing.index_contract import IndexContract
from ragkit.testing.index_examples import FIELDS, IDENTITY, filters, find, make_entry

URL = "ragkit:http://127.0.0.1"


async def served(
    stack: AsyncExitStack, store: Index, folder: Path, keys: KeyFile | None = None
) -> httpx.ASGITransport:
    """Run a server in front of a store for as long as the stack is open."""
    rag = AsyncRAG(index=store, embedder=HashEmbedder(dimensions=64))
    rag._parts._index = store  # the identity of the contract is not this embedder's
    app = build_app({"": rag}, ServerOptions(folder=folder, keys=keys))
    await stack.enter_async_context(app.router.lifespan_context(app))
    return httpx.ASGITransport(app=app, raise_app_exceptions=False)


class TestRemoteIndex(IndexContract):
    folds_accents = False  # as in the store behind the server
    leaves_orphans = False

    @pytest.fixture(autouse=True)
    async def _stack(self) -> AsyncIterator[None]:
        async with AsyncExitStack() as self.stack:
            yield

    async def open_index(
        self, place: Path, identity: IndexIdentity, fields: Mapping[str, FieldType]
    ) -> RemoteIndex:
        store = MemoryIndex(identity, fields=fields)
        transport = await served(self.stack, store, place)
        return await RemoteIndex.open(IndexSettings(location=URL), identity, transport=transport)


FILTERS: TypeAdapter[FilterJson] = TypeAdapter(FilterJson)


@given(where=filters())
def test_a_filter_is_read_as_it_was_written(where: Filter) -> None:
    sent = FILTERS.dump_json(filter_json(where), by_alias=True)
    found = read_filter(FILTERS.validate_json(sent))
    assert found == where
    assert repr(found) == repr(where)  # 1, 1.0 and True are equal


@pytest.mark.parametrize(
    "sent",
    ['{}', '[]', '"a"', '{"eq": ["a"]}', '{"eq": ["a", null]}', '{"in": ["a", "b"]}',
     '{"nand": []}',
     '{"range": ["a", {"above": 1}]}', '{"eq": ["a", 1], "not": {}}', '{"and": [{}]}',
     '{"range": ["a", {"gt": []}]}', '{"not":' * 1000 + '{"eq":["a",1]}' + '}' * 1000],
    ids=lambda sent: sent[:30],
)  # fmt: skip
def test_what_is_no_filter_is_refused(sent: str) -> None:
    with pytest.raises(ValidationError):
        FILTERS.validate_json(sent)


async def open_with(
    transport: httpx.AsyncBaseTransport, secret: str = "", **settings: Any
) -> RemoteIndex:
    key = SecretStr(secret) if secret else None
    found = IndexSettings(location=URL, api_key=key, retry_s=0, **settings)
    return await RemoteIndex.open(found, IDENTITY, transport=transport)


async def test_a_key_reaches_its_own_tenant_in_its_own_role(tmp_path: Path) -> None:
    keys = KeyFile(tmp_path / "keys.sqlite")
    writer = keys.add("w", tenant="a", role="write")
    reader = keys.add("r", tenant="a")
    async with AsyncExitStack() as stack:
        store = MemoryIndex(IDENTITY, fields=FIELDS)
        await store.commit([await make_entry("secret", "swordfish", tenant="b")])
        transport = await served(stack, store, tmp_path / "server", keys)
        for secret in ("", "rk-wrong"):
            with pytest.raises(ProviderError, match=r"401.*Fix: set index.api_key"):
                await open_with(transport, secret)
        index = await open_with(transport, writer)
        await index.commit([await make_entry("mine", "wolf", tenant="a")])
        assert [record.uri for record in await index.records(tenant=None)] == ["mine"]
        assert {one.tenant for one in await index.versions(tenant=None)} <= {"a"}
        theirs = await make_entry("mine", "wolf", tenant="b")
        for call in (
            index.search(LegQuery(text="swordfish", depth=1, tenant="b")),
            index.records(tenant="b"),
            index.chunks(["secret"], tenant="b"),
            index.fetch([theirs.chunks[0].id], tenant="b"),
            index.vectors([theirs.chunks[0].id], tenant="b"),
            index.versions(tenant="b"),
            index.commit([theirs]),
            index.touch([theirs.record]),
            index.incomplete([theirs.record]),
            index.discard([theirs.record]),
            index.delete(["secret"], tenant="b"),
        ):
            with pytest.raises(ProviderError, match=r"403.*belongs to the tenant 'a'"):
                await call
        only_reads = await open_with(transport, reader)
        assert (await find(only_reads, "wolf", tenant="a"))["bm25"] == ["wolf"]
        with pytest.raises(ProviderError, match=r"403.*'write'"):
            await only_reads.delete(["mine"], tenant="a")


async def test_an_index_of_other_parts_or_fields_is_refused(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        transport = await served(stack, MemoryIndex(IDENTITY), tmp_path / "server")
        other = HashEmbedder(dimensions=32)
        async with AsyncRAG(index=await open_with(transport), embedder=other) as rag:
            with pytest.raises(IndexMismatch):
                await rag.search("x")
        with pytest.raises(ConfigError, match=r"'year'.*\[index.fields\]"):
            await open_with(transport, fields={"year": "integer"})


@pytest.mark.parametrize(
    ("answer", "match"),
    [
        (httpx.Response(200, text="<html>It works!</html>"), "not a ragkit server's"),
        (httpx.Response(404, text="not found"), "404.*Fix: update that server"),
        (httpx.Response(500, json={"error": {"code": "x", "message": "broke"}}), "500: broke"),
        (httpx.ConnectError("refused"), "No server answers.*Fix: ragkit serve"),
        (httpx.ReadTimeout("slow"), r"was too slow \(slow\)\. Fix: raise index\.timeout_s"),
        (httpx.ConnectTimeout("slow"), "took too long to connect.*Fix: raise index.timeout_s"),
        (httpx.RemoteProtocolError("cut"), "dropped the connection.*Fix: read the server's log"),
    ],
)
async def test_a_server_that_fails_is_one_sentence(
    answer: httpx.Response | Exception, match: str
) -> None:
    def respond(_: httpx.Request) -> httpx.Response:
        if isinstance(answer, Exception):
            raise answer
        return answer

    with pytest.raises(ProviderError, match=match):
        await open_with(httpx.MockTransport(respond))


async def test_a_call_waits_for_a_server_that_starts_again(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        transport = await served(stack, MemoryIndex(IDENTITY, fields=FIELDS), tmp_path / "server")
        away: list[httpx.Response | Exception] = [
            httpx.ConnectError("away"),
            httpx.ConnectTimeout("away"),
            httpx.Response(503, headers={"Retry-After": "0"}),
        ]

        class Restarting(httpx.AsyncBaseTransport):
            async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
                if not away:
                    return await transport.handle_async_request(request)
                answer = away.pop()
                if isinstance(answer, Exception):
                    raise answer
                return answer

        settings = IndexSettings(location=URL, retry_s=60)
        there = list(away)
        away.clear()
        index = await RemoteIndex.open(settings, IDENTITY, transport=Restarting())
        away += there
        await index.commit([await make_entry("a", "wolf")])
        assert (await find(index, "wolf", where=Eq("uri", "a")))["bm25"] == ["wolf"]


async def test_a_refusal_that_will_not_pass_is_not_waited_for() -> None:
    calls: list[str] = []

    def respond(request: httpx.Request) -> httpx.Response:
        calls.append(request.url.path)
        error = {"code": "not_configured", "message": "no"}
        return httpx.Response(503, json={"error": error})

    settings = IndexSettings(location=URL, retry_s=600)
    with pytest.raises(ProviderError, match=r"503: no"):
        await RemoteIndex.open(settings, IDENTITY, transport=httpx.MockTransport(respond))
    assert calls == ["/v1/index"]


async def test_the_first_connection_is_not_waited_for_as_long_as_later_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ragkit.index.remote._CONNECT_S", 0)

    def refuse(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    settings = IndexSettings(location=URL, retry_s=600)
    with pytest.raises(ProviderError, match=r"No server answers"):
        await RemoteIndex.open(settings, IDENTITY, transport=httpx.MockTransport(refuse))


def test_a_location_without_a_server_is_refused() -> None:
    for location in ("ragkit:", "ragkit:localhost:8400", "ragkit:/folder", "ragkit:http://a:b"):
        with RAG(index=location) as rag, pytest.raises(ConfigError, match=r"names no|no number"):
            rag.search("x")
