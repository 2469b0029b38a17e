"""`ragkit mcp`: the documents for MCP clients, over stdio or HTTP."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from ragkit.cli import console
from ragkit.cli.options import Config, Index, LLMName, Tenant, chosen_settings, reporting
from ragkit.core.errors import ConfigError, MissingExtraError
from ragkit.sdk import AsyncRAG

LOOPBACK = ("127.0.0.1", "localhost", "::1")


@reporting
def mcp(
    *,
    http: Annotated[bool, typer.Option("--http", help="Serve HTTP instead of stdio.")] = False,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=1, max=65535)] = 8401,
    data: Annotated[
        Path, typer.Option("--data", help="Folder of the API keys.", metavar="DIR")
    ] = Path(".ragkit/server"),
    llm: LLMName = None,
    index: Index = None,
    tenant: Tenant = None,
    config: Config = None,
) -> None:
    """Give MCP clients search, ask, list and read over the documents.

    Over stdio the client starts this command. Over HTTP it asks for the API keys of `ragkit keys`
    where there are any, and listens on this machine only where there are none.
    """
    try:
        from ragkit.server.keys import KeyFile
        from ragkit.server.mcp import build_mcp
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "mcp", extra="server,mcp") from error

    settings = chosen_settings(config, index, tenant, llm=llm, writes=True)
    rag = AsyncRAG(settings)
    if not http:
        asyncio.run(build_mcp(rag, tenant=settings.tenant).run_stdio_async())
        return
    keys = KeyFile(data / "keys.json")
    has_keys = bool(keys.all())
    if host not in LOOPBACK and not has_keys:
        raise ConfigError(
            f"--host {host!r} can be reached from other machines, and there are no API keys. "
            f"Fix: ragkit keys add NAME --data {data}"
        )
    url = f"http://{host}:{port}"
    server = build_mcp(
        rag, tenant=settings.tenant, keys=keys if has_keys else None, url=f"{url}/mcp"
    )
    access = "with API keys" if has_keys else "without keys, for this machine only"
    console.err.print(
        f"ragkit mcp: {url}/mcp {access}", markup=False, highlight=False, soft_wrap=True
    )
    asyncio.run(server.run_streamable_http_async(host=host, port=port))
