"""Addresses of servers, as they are used and as they are shown, and the trace in requests."""

from collections.abc import AsyncIterator, Iterator, Mapping

import grpc
import grpc.aio
import pytest

from ragkit.core.errors import ProviderError
from ragkit.core.operation import Observer, add_observer, remove_observer
from ragkit.core.secrets import without_credentials
from ragkit.core.settings import IndexSettings
from ragkit.core.types import Json
from ragkit.index.server_client import ServerClient, open_client, with_port
from ragkit.testing.model_server import EmulatedModelServer, ServerResponse

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("https://qdrant.example.org", "https://qdrant.example.org:443"),
        ("https://qdrant.example.org/prefix", "https://qdrant.example.org:443/prefix"),
        ("https://qdrant.example.org:6333", "https://qdrant.example.org:6333"),
        ("http://localhost", "http://localhost:6333"),
        ("http://localhost:80", "http://localhost:80"),
        ("http://[::1]", "http://[::1]:6333"),
    ],
)
def test_a_url_without_a_port_has_that_of_its_scheme(url: str, wanted: str) -> None:
    assert with_port(url) == wanted


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("http://localhost:6333", "http://localhost:6333"),
        ("https://me:hunter2@host:6333/x", "https://***@host:6333/x"),
        ("http://hunter2@host", "http://***@host"),
        ("http://me:hun@ter2@host", "http://***@host"),
    ],
)
def test_a_password_in_a_url_is_not_shown(url: str, wanted: str) -> None:
    assert without_credentials(url) == wanted


async def test_grpc_is_used_where_its_port_is_set() -> None:
    plain = open_client(IndexSettings(location="http://localhost"))
    fast = open_client(IndexSettings(location="http://localhost", grpc_port=7334))
    assert not plain.init_options["prefer_grpc"]
    assert (fast.init_options["prefer_grpc"], fast.init_options["grpc_port"]) == (True, 7334)
    for client in (plain, fast):
        await client.close()


async def test_a_grpc_port_that_nobody_listens_on_is_an_error_of_the_server() -> None:
    settings = IndexSettings(location="http://127.0.0.1", grpc_port=1, timeout_s=1, retry_s=0)
    server = ServerClient(open_client(settings), settings)
    with pytest.raises(ProviderError, match=r"cannot be reached by gRPC.*index\.grpc_port"):
        await server.call(server.client.collection_exists, "ragkit")
    await server.close()


class Parent(Observer):
    """Passes a trace on, as traces do."""

    def headers(self) -> Mapping[str, str]:
        return {"traceparent": PARENT}


@pytest.fixture
def parent() -> Iterator[None]:
    observer = Parent()
    add_observer(observer)
    yield
    remove_observer(observer)


@pytest.fixture
async def qdrant() -> AsyncIterator[EmulatedModelServer]:
    """A server that says of every collection that it exists."""
    body: Json = {"result": {"exists": True}, "status": "ok", "time": 0.0}
    async with EmulatedModelServer(lambda _: ServerResponse(body=body)) as server:
        yield server


async def exists(settings: IndexSettings) -> bool:
    server = ServerClient(open_client(settings), settings)
    try:
        return await server.call(server.client.collection_exists, "ragkit")
    finally:
        await server.close()


@pytest.mark.usefixtures("parent")
async def test_the_trace_is_passed_on_by_http(qdrant: EmulatedModelServer) -> None:
    assert await exists(IndexSettings(location=qdrant.url))
    assert qdrant.requests[-1].headers["traceparent"] == PARENT


async def test_without_a_trace_nothing_is_passed_on(qdrant: EmulatedModelServer) -> None:
    assert await exists(IndexSettings(location=qdrant.url))
    assert "traceparent" not in qdrant.requests[-1].headers


class Metadata(grpc.GenericRpcHandler):
    """A server of gRPC that keeps the metadata of calls and serves none."""

    def __init__(self) -> None:
        self.seen: list[dict[str, str | bytes]] = []

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> None:
        self.seen.append(dict(handler_call_details.invocation_metadata))


@pytest.mark.usefixtures("parent")
async def test_the_trace_is_passed_on_by_grpc() -> None:
    server, metadata = grpc.aio.server(), Metadata()
    server.add_generic_rpc_handlers((metadata,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    settings = IndexSettings(location="http://127.0.0.1", grpc_port=port, timeout_s=5, retry_s=0)
    with pytest.raises(ProviderError):
        await exists(settings)
    await server.stop(None)
    assert metadata.seen[-1]["traceparent"] == PARENT
