"""Addresses of servers, as they are used and as they are shown."""

import pytest

from ragkit.core.errors import ProviderError
from ragkit.core.secrets import without_credentials
from ragkit.core.settings import IndexSettings
from ragkit.index.server_client import ServerClient, open_client, with_port


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
