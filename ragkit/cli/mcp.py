"""`ragkit mcp`: the documents for MCP clients, over stdio or HTTP."""

import asyncio
from typing import Annotated

import typer

from ragkit.cli import console
from ragkit.cli.options import Config, Index, LLMName, Tenant, chosen_settings, reporting
from ragkit.cli.serve import DATA_FOLDER, Folder, access_to, keys_to_listen
from ragkit.core.errors import MissingExtraError
from ragkit.sdk import AsyncRAG


@reporting
def mcp(
    *,
    http: Annotated[bool, typer.Option("--http", help="Serve HTTP instead of stdio.")] = False,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=1, max=65535)] = 8401,
    data: Folder = DATA_FOLDER,
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
        from ragkit.server.mcp import build_mcp
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "mcp", extra="server,mcp") from error

    settings = chosen_settings(config, index, tenant, llm=llm, writes=True)
    rag = AsyncRAG(settings)
    if not http:
        asyncio.run(build_mcp(rag, tenant=settings.tenant).run_stdio_async())
        return
    keys = keys_to_listen(data, host)
    url = f"http://{host}:{port}/mcp"
    server = build_mcp(rag, tenant=settings.tenant, keys=keys if keys.any() else None, url=url)
    console.err.print(
        f"ragkit mcp: {url} {access_to(keys)}", markup=False, highlight=False, soft_wrap=True
    )
    asyncio.run(server.run_streamable_http_async(host=host, port=port))
