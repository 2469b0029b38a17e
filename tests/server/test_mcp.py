import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import mcp
import pytest
from mcp import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client

from ragkit.server.keys import KeyFile
from ragkit.server.mcp import KeyVerifier, build_mcp
from ragkit.testing.server import RIVERS, filled_rag


@asynccontextmanager
async def connected() -> AsyncGenerator[mcp.Client]:
    """The official client, connected in memory."""
    server = build_mcp(await filled_rag(), tenant="default")
    async with mcp.Client(server) as client:
        yield client


async def called(client: mcp.Client, tool: str, **arguments: object) -> Any:
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content
    assert result.structured_content is not None
    return result.structured_content


async def test_the_tools_only_read() -> None:
    async with connected() as client:
        tools = (await client.list_tools()).tools
    assert {tool.name for tool in tools} == {"search", "ask", "list_documents", "read_document"}
    for tool in tools:
        assert tool.description
        assert tool.annotations is not None
        assert tool.annotations.read_only_hint


async def test_search_ask_list_and_read() -> None:
    async with connected() as client:
        found = (await called(client, "search", query="deepest lake", k=1))["result"]
        assert [one["uri"] for one in found] == ["lakes.md"]
        answer = await called(client, "ask", question="What is the longest river of Europe?")
        assert "Volga" in answer["text"]
        for quote in answer["quotes"]:
            assert RIVERS[quote["start"] : quote["end"]] == quote["quote"]
        listed = (await called(client, "list_documents"))["result"]
        assert [one["uri"] for one in listed] == ["lakes.md", "rivers.md"]
        text = await called(client, "read_document", uri="rivers.md", start=2)
        assert text == {"uri": "rivers.md", "text": RIVERS[2:], "next_start": None}


async def test_a_document_is_a_resource_too() -> None:
    async with connected() as client:
        (template,) = (await client.list_resource_templates()).resource_templates
        assert template.uri_template == "ragkit://documents/{uri}"
        read = await client.read_resource("ragkit://documents/rivers.md")
        assert [getattr(content, "text", "") for content in read.contents] == [RIVERS]


@pytest.mark.parametrize(
    ("tool", "arguments", "says"),
    [
        ("search", {"query": ""}, "at least 1 character"),
        ("search", {"query": "x", "where": "year ="}, "year"),
        ("read_document", {"uri": "secret.md"}, "No document 'secret.md'"),
        ("search", {"query": "x", "tenant": "other"}, None),
    ],
)
async def test_a_wrong_call_is_an_error_that_the_model_can_read(
    tool: str, arguments: dict[str, object], says: str | None
) -> None:
    async with connected() as client:
        result = await client.call_tool(tool, arguments)
        text = " ".join(getattr(content, "text", "") for content in result.content)
        assert "swordfish" not in text
        if says is not None:
            assert result.is_error
            assert says in text


async def test_a_bearer_token_is_a_key_with_its_tenant(keys: KeyFile) -> None:
    secret = keys.add("a", tenant="other")
    found = await KeyVerifier(keys).verify_token(secret)
    assert found is not None
    assert (found.client_id, found.subject, found.scopes) == ("a", "other", ["read"])
    assert await KeyVerifier(keys).verify_token("rk-wrong") is None


async def test_over_http_each_key_reads_its_own_tenant(keys: KeyFile) -> None:
    import httpx2

    secrets = {tenant: keys.add(tenant, tenant=tenant) for tenant in ("default", "other")}
    server = build_mcp(
        await filled_rag(), tenant="default", keys=keys, url="http://127.0.0.1:8401/mcp"
    )
    app = server.streamable_http_app()
    transport = httpx2.ASGITransport(app=app)
    async with app.router.lifespan_context(app):
        for tenant, uris in (("default", ["lakes.md", "rivers.md"]), ("other", ["secret.md"])):
            headers = {"Authorization": f"Bearer {secrets[tenant]}"}
            http = httpx2.AsyncClient(transport=transport, headers=headers)
            stream = streamable_http_client("http://127.0.0.1:8401/mcp", http_client=http)
            async with http, mcp.Client(stream) as client:
                listed = (await called(client, "list_documents"))["result"]
                assert [one["uri"] for one in listed] == uris
        async with httpx2.AsyncClient(transport=transport) as nobody:
            refused = await nobody.post("http://127.0.0.1:8401/mcp", json={})
            assert refused.status_code == 401


async def test_the_command_speaks_stdio_with_the_earlier_handshake_too(tmp_path: Path) -> None:
    (tmp_path / "ragkit.toml").write_text('[index]\nlocation = ":memory:"\n')
    command = StdioServerParameters(
        command=sys.executable, args=["-m", "ragkit.cli.main", "mcp"], cwd=tmp_path
    )
    async with stdio_client(command) as (read, write), mcp.ClientSession(read, write) as session:
        started = await session.initialize()
        assert started.server_info.name == "ragkit"
        listed = await session.list_tools()
        assert "search" in {tool.name for tool in listed.tools}
    async with mcp.Client(command) as client:
        assert "ask" in {tool.name for tool in (await client.list_tools()).tools}
