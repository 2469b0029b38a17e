from pathlib import Path

import pytest

from ragkit.core.errors import (
    ConfigError,
    ContextExceeded,
    IndexLocked,
    InputError,
    ProviderError,
)
from ragkit.core.settings import AnswerSettings, Settings
from ragkit.sdk import AsyncRAG
from ragkit.server.app import ServerOptions
from ragkit.server.errors import api_error
from ragkit.testing.embedder import HashEmbedder
from ragkit.testing.server import RunningServer, running_server


async def test_health_readiness_and_metrics_need_no_key(guarded_server: RunningServer) -> None:
    http = guarded_server.http
    assert (await http.get("/healthz")).json() == {"status": "ok"}
    assert (await http.get("/readyz")).json() == {"status": "ready"}
    await http.get("/v1/models")
    text = (await http.get("/metrics")).text
    assert 'ragkit_requests_total{route="/v1/models",status="401"} 1.0' in text


async def test_a_server_without_an_index_makes_one_and_takes_documents(tmp_path: Path) -> None:
    settings = Settings(answer=AnswerSettings(mode="extractive"))
    index = str(tmp_path / "index")
    rag = AsyncRAG(settings, index=index, embedder=HashEmbedder(dimensions=64))
    async with running_server(tmp_path / "server", rag=rag) as server:
        assert (await server.http.get("/readyz")).json() == {"status": "ready"}
        found = await server.http.post("/v1/search", json={"query": "seas"})
        assert found.json()["hits"] == []
        files = {"files": ("seas.md", b"# Seas\n\nThe largest sea.")}
        sent = await server.http.post("/v1/documents", files=files)
        assert (await server.until_done(sent.json()["id"]))["report"]["added"] == 1


async def test_an_index_that_cannot_be_opened_is_said_without_its_path(tmp_path: Path) -> None:
    (tmp_path / "index").write_text("a file, where a folder should be")
    rag = AsyncRAG(index=str(tmp_path / "index"), embedder=HashEmbedder(dimensions=64))
    async with running_server(tmp_path / "server", rag=rag) as server:
        assert (await server.http.get("/healthz")).status_code == 200
        for answer in (
            await server.http.get("/readyz"),
            await server.http.post("/v1/search", json={"query": "seas"}),
            await server.http.get("/v1/documents"),
        ):
            assert answer.status_code == 503, answer.text
            assert str(tmp_path) not in answer.text


async def test_a_path_of_no_route_is_an_error_in_the_same_form(server: RunningServer) -> None:
    response = await server.http.get("/v1/nothing")
    assert response.status_code == 404
    assert set(response.json()["error"]) == {"message", "type", "param", "code"}
    text = (await server.http.get("/metrics")).text
    assert "/v1/nothing" not in text


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (InputError("the query is empty"), 400, "invalid_input"),
        (ContextExceeded("too long"), 400, "context_length_exceeded"),
        (ConfigError("/home/me: key rk-secret"), 503, "not_configured"),
        (IndexLocked("/home/me"), 503, "index_locked"),
        (ProviderError("/home", provider="p", failure="timeout"), 504, "provider_timeout"),
        (ProviderError("/home", provider="p", failure="rejected"), 502, "provider_rejected"),
        (RuntimeError("/home/me"), 500, "internal_error"),
    ],
)
def test_errors_have_a_status_and_no_secret(error: Exception, status: int, code: str) -> None:
    found = api_error(error)
    assert (found.status, found.code) == (status, code)
    assert "/home" not in str(found.body)
    assert "secret" not in str(found.body)


async def test_cors_is_closed_unless_an_origin_is_named(tmp_path: Path) -> None:
    asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    for origins, allowed in (((), None), (("https://evil.example",), "https://evil.example")):
        options = ServerOptions(folder=tmp_path / "server", origins=origins)
        async with running_server(tmp_path, options=options) as server:
            response = await server.http.options("/v1/search", headers=asked)
        assert response.headers.get("access-control-allow-origin") == allowed


async def test_a_page_that_rebinds_its_name_to_this_machine_is_refused(
    server: RunningServer,
) -> None:
    response = await server.http.get("/v1/documents", headers={"Host": "evil.example"})
    assert response.status_code == 400


async def test_every_operation_is_documented(server: RunningServer) -> None:
    schema = server.app.openapi()
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            assert operation.get("summary"), (method, path)
            assert operation.get("description"), (method, path)
