"""An MCP server for the tests: `python mcp_server.py` speaks stdio, with a port HTTP."""

import asyncio
import os
import sys
from typing import Annotated, Any

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations
from pydantic import BaseModel, Field

server = MCPServer("rivers")


class River(BaseModel):
    name: str
    km: int


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def longest_river(
    continent: Annotated[str, Field(description="In English.")], top: int = 1
) -> list[River]:
    """The longest rivers of a continent."""
    if continent != "Europe":
        raise ToolError(f"no rivers are known of {continent}")
    return [River(name="Volga", km=3530), River(name="Danube", km=2850)][:top]


@server.tool(name="river.rename-it")
def rename(name: str) -> str:
    """Give a river another name."""
    return f"renamed to {name} by {os.environ.get('WHO', 'nobody')} (PATH {'PATH' in os.environ})"


@server.tool(annotations=ToolAnnotations(idempotent_hint=True))
async def wait(seconds: float) -> str:
    """Wait."""
    await asyncio.sleep(seconds)
    return "x" * 1000


@server.tool()
def stop() -> None:
    """End the server without an answer."""
    os._exit(3)


@server.tool()
def odd(value: Any) -> str:
    """Take anything."""
    return str(value)


# A schema that no grammar can hold.
manager = server._tool_manager  # pyright: ignore[reportPrivateUsage]  # there is no other way
odd_tool = next(tool for tool in manager.list_tools() if tool.name == "odd")
odd_tool.parameters = {"type": "object", "properties": {"value": {"$dynamicRef": "#value"}}}

if __name__ == "__main__":
    if len(sys.argv) > 1:
        server.run("streamable-http", port=int(sys.argv[1]))
    else:
        server.run()
