"""The tools of any MCP server as tools of an agent, by the protocol's official SDK.

The Model Context Protocol: https://modelcontextprotocol.io/specification
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Collection, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict, Unpack

from ragkit.agents.tools.mcp_tool import McpTool, mcp_tool
from ragkit.agents.tools.runner import Policy
from ragkit.core.errors import InputError, MissingExtraError, ProviderError
from ragkit.core.types import Permission

if TYPE_CHECKING:
    import mcp

_Listing: TypeAlias = "tuple[mcp.Client, list[mcp.Tool]]"

logger = logging.getLogger(__name__)

_MAX_PAGES = 100


class McpOptions(TypedDict, total=False):
    """How a server is reached and what its tools may do.

    Attributes:
        env: Environment variables of a server that is started, beside PATH, HOME and the like.
        cwd: Its working directory.
        headers: HTTP headers for a server that is reached by a URL, such as `Authorization`.
        only: The tools that are wanted, by the server's names; all by default.
        prefix: Put before each name, to keep the tools of several servers apart.
        permission: Of tools that the server doesn't call read-only; `"approve"` by default.
        permissions: Of single tools, by the server's names, whatever the server says of them.
        timeout_s: Seconds for connecting, and for each call; 30 by default.
        max_chars: Length of a result's text; 8,000 by default.
        concurrency: Calls of one tool that run at once; 8 by default.
    """

    env: Mapping[str, str]
    cwd: str | Path
    headers: Mapping[str, str]
    only: Collection[str]
    prefix: str
    permission: Permission
    permissions: Mapping[str, Permission]
    timeout_s: float
    max_chars: int
    concurrency: int


class McpTools(list[McpTool]):
    """The tools of a server; `refused` names those that cannot be used, with the reason."""

    def __init__(self, tools: Iterable[McpTool], refused: Mapping[str, str]) -> None:
        """A list of tools that says what is missing from it."""
        super().__init__(tools)
        self.refused = refused


@asynccontextmanager
async def mcp_tools(
    server: str | Sequence[str], /, **options: Unpack[McpOptions]
) -> AsyncGenerator[McpTools]:
    """Connect to an MCP server for as long as the context lasts.

    What the server says of its tools is a hint and no guarantee: name the `permissions` of the
    tools of a server that you don't trust.

    Args:
        server: A URL (streamable HTTP), or the command that starts a server (stdio) as a list.
        options: See `McpOptions`.

    Raises:
        InputError: A tool in `only` or `permissions` is not there, or its schema cannot be used.
        MissingExtraError: The SDK is not installed.
        ProviderError: The server cannot be reached.
    """
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[_Listing] = loop.create_future()
    leave = asyncio.Event()
    # The SDK's connection must be closed by the task that opened it; whoever uses the tools may
    # be any task, and should not find its own errors in a group with the connection's.
    holder = asyncio.create_task(_hold(server, options, ready, leave))
    either: set[asyncio.Future[Any]] = {holder, ready}
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not ready.done():
            await holder  # raises what kept it from connecting
        yield _usable(*ready.result(), options)
    finally:
        leave.set()
        if not ready.done():
            holder.cancel()
        await asyncio.wait({holder})


async def _hold(
    server: str | Sequence[str],
    options: McpOptions,
    ready: "asyncio.Future[_Listing]",
    leave: asyncio.Event,
) -> None:
    where = server if isinstance(server, str) else " ".join(server)
    timeout_s = options.get("timeout_s", 30.0)
    try:
        async with AsyncExitStack() as stack:
            async with asyncio.timeout(timeout_s):
                client = await _connected(stack, server, options)
                ready.set_result((client, await _listed(client)))
            await leave.wait()
    except (InputError, MissingExtraError):
        raise
    except Exception as error:
        # Most come in groups, of the tasks that hold the connection.
        if not ready.done():
            raise _unreachable(where, error) from error
        logger.warning("The connection to the MCP server %s ended badly: %r", where, error)


def _unreachable(where: str, error: BaseException) -> ProviderError:
    first = _first(error)
    why = "it does not answer in time" if isinstance(first, TimeoutError) else repr(first)
    return ProviderError(
        f"The MCP server {where!r} cannot be reached: {why}", provider="mcp", retryable=True
    )


def _first(error: BaseException) -> BaseException:
    inner: Sequence[BaseException] = getattr(error, "exceptions", ())
    return _first(inner[0]) if inner else error


async def _connected(
    stack: AsyncExitStack, server: str | Sequence[str], options: McpOptions
) -> "mcp.Client":
    try:
        import httpx2
        import mcp
        from mcp.client.streamable_http import streamable_http_client
    except ImportError as error:
        raise MissingExtraError("mcp", extra="mcp") from error
    if isinstance(server, str):
        # No limit on reading: it would end the connection for all calls, not the one that is slow.
        timeout = httpx2.Timeout(options.get("timeout_s", 30.0), read=None)
        http = httpx2.AsyncClient(headers=dict(options.get("headers", {})), timeout=timeout)
        transport = streamable_http_client(
            server, http_client=await stack.enter_async_context(http)
        )
        return await stack.enter_async_context(mcp.Client(transport))
    if not server:
        raise InputError("The command that starts the MCP server is empty.")
    command, *arguments = server
    parameters = mcp.StdioServerParameters(
        command=command,
        args=arguments,
        env=dict(options.get("env", {})),
        cwd=options.get("cwd"),
    )
    return await stack.enter_async_context(mcp.Client(parameters))


async def _listed(client: "mcp.Client") -> list["mcp.Tool"]:
    tools: list[mcp.Tool] = []
    cursor: str | None = None
    for _ in range(_MAX_PAGES):
        page = await client.list_tools(cursor=cursor)
        tools += page.tools
        cursor = page.next_cursor
        if cursor is None:
            break
    return tools


def _usable(client: "mcp.Client", listed: Sequence["mcp.Tool"], options: McpOptions) -> McpTools:
    names = {item.name for item in listed}
    only, permissions = options.get("only"), options.get("permissions", {})
    if missing := sorted({*(only or ()), *permissions} - names):
        raise InputError(f"The MCP server has no tool {missing[0]!r}; it has {sorted(names)!r}.")
    found: dict[str, McpTool] = {}
    refused: dict[str, str] = {}
    for item in listed:
        if only is not None and item.name not in only:
            continue
        try:
            made = mcp_tool(client, item, _policy(item, options), prefix=options.get("prefix", ""))
        except InputError as error:
            if only is not None:
                raise
            refused[item.name] = str(error)
            logger.warning("The MCP tool %r cannot be used: %s", item.name, error)
            continue
        if made.name in found:
            refused[item.name] = f"another tool is called {made.name!r} too"
            continue
        found[made.name] = made
    return McpTools(found.values(), refused)


def _policy(item: "mcp.Tool", options: McpOptions) -> Policy:
    hints = item.annotations
    reads = hints is not None and hints.read_only_hint is True
    otherwise: Permission = "read" if reads else options.get("permission", "approve")
    return Policy(
        permission=options.get("permissions", {}).get(item.name, otherwise),
        idempotent=reads or (hints is not None and hints.idempotent_hint is True),
        timeout_s=options.get("timeout_s", 30.0),
        max_chars=options.get("max_chars", 8000),
        concurrency=options.get("concurrency", 8),
    )
