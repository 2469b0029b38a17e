"""The tools of any MCP server as tools of an agent, by the protocol's official SDK.

The Model Context Protocol: https://modelcontextprotocol.io/specification
"""

import asyncio
import functools
import logging
import re
from collections.abc import AsyncGenerator, Collection, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict, Unpack, cast

from ragkit.agents.tools.foreign_schema import check_arguments, closed_schema
from ragkit.agents.tools.function.runner import Policy, Runner, tool_result, trimmed
from ragkit.core.errors import InputError, MissingExtraError, ProviderError, ToolError
from ragkit.core.types import Json, Permission, ToolResult

if TYPE_CHECKING:
    import mcp
    from mcp.types import CallToolResult, ContentBlock

_Listing: TypeAlias = "tuple[mcp.Client, list[mcp.Tool]]"

logger = logging.getLogger(__name__)

_MAX_PAGES = 100
_LONGEST_DESCRIPTION = 4000


class McpOptions(TypedDict, total=False):
    """Options of `mcp_tools`.

    Attributes:
        env: Environment variables of a server that is started, in addition to PATH, HOME and the
            like.
        cwd: Working directory of a server that is started.
        headers: HTTP headers for a server that is reached by a URL, such as `Authorization`.
        only: The server's names of the tools to use; all by default.
        prefix: Put before each name, to keep the tools of several servers apart.
        permission: Of tools that the server doesn't call read-only; `"approve"` by default.
        permissions: Of single tools, by the server's names; they override the server's hints.
        timeout_s: Seconds for connecting, and for each call; 30 by default.
        max_chars: Maximum length of a result's text; 8,000 by default.
        concurrency: Calls of one tool that run at the same time; 8 by default.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class McpTool:
    """A `Tool` whose calls a server answers; `remote` is the server's own name for it.

    Its description is the server's, and `untrusted`: see `Tool`.
    """

    name: str
    description: str
    parameters: Mapping[str, Json]
    remote: str
    runner: Runner
    untrusted: bool = True
    _client: "mcp.Client"

    @classmethod
    def of(cls, client: "mcp.Client", item: "mcp.Tool", options: McpOptions) -> "McpTool":
        """Make a tool of a server's.

        Raises:
            InputError: Its schema cannot be decoded under a grammar; names tool, keyword and place.
        """
        name = re.sub(r"[^A-Za-z0-9_]", "_", f"{options.get('prefix', '')}{item.name}")[:64]
        schema = closed_schema(item.input_schema, tool=f"The MCP tool {item.name!r}")
        about = (item.description or item.title or "").strip() or f"The tool {item.name}."
        return cls(
            name=name,
            description=trimmed(about, _LONGEST_DESCRIPTION)[0],
            parameters=schema,
            remote=item.name,
            runner=Runner.of(_policy(item, options)),
            _client=client,
        )

    @property
    def permission(self) -> Permission:
        """The permission that a call needs."""
        return self.runner.policy.permission

    @property
    def repeatable(self) -> bool:
        """True if a call that was interrupted may be made again."""
        return self.runner.policy.repeatable

    async def call(self, arguments: Mapping[str, Json], *, key: str) -> ToolResult:
        """See `Tool.call`; the protocol has no place for the key.

        Raises:
            ToolError: The arguments are wrong, the server refused or failed, or took too long.
        """
        check_arguments(self.parameters, arguments)
        ask = functools.partial(self._request, dict(arguments))
        result = await self.runner.run(ask, asynchronous=True)
        return tool_result(result, max_chars=self.runner.policy.max_chars)

    async def _request(self, arguments: dict[str, Any]) -> ToolResult:
        import mcp

        try:
            result = await self._client.call_tool(self.remote, arguments)
        except mcp.MCPError as error:
            raise ToolError(f"The server of {self.name!r} failed: {error.message}") from error
        text = _text(result.content)
        if result.is_error:
            raise ToolError(text or f"{self.name!r} failed without a message.")
        return _tool_result(result, text, self.runner.policy.max_chars)


class McpTools(list[McpTool]):
    """The tools of a server; `refused` names those that cannot be used, with the reason."""

    def __init__(self, tools: Iterable[McpTool], refused: Mapping[str, str]) -> None:
        """Make a list of tools that knows what is missing from it."""
        super().__init__(tools)
        self.refused = refused


@asynccontextmanager
async def mcp_tools(
    server: str | Sequence[str], /, **options: Unpack[McpOptions]
) -> AsyncGenerator[McpTools]:
    """Connect to an MCP server for as long as the context lasts.

    A server's description of its tools is a hint and no guarantee: set the `permissions` of the
    tools of a server that you don't trust.

    Args:
        server: A URL (streamable HTTP), or the command that starts a server (stdio) as a list.
        options: See `McpOptions`.

    Raises:
        InputError: An option is unknown, a tool in `only` or `permissions` does not exist, or its
            schema cannot be used.
        MissingExtraError: The SDK is not installed.
        ProviderError: The server cannot be reached.
    """
    if unknown := sorted(options.keys() - McpOptions.__optional_keys__):
        raise InputError(
            f"mcp_tools has no option {unknown[0]!r}. "
            f"Fix: use one of {', '.join(sorted(McpOptions.__optional_keys__))}."
        )
    connection = _McpConnection(server=server, options=options)
    # The SDK's connection must be closed by the task that opened it; the caller may be any task,
    # and should not find its own errors in a group with the connection's.
    holder = asyncio.create_task(connection.hold())
    either: set[asyncio.Future[Any]] = {holder, connection.ready}
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not connection.ready.done():
            await holder  # raises the error that kept it from connecting
        yield _usable(*connection.ready.result(), options)
    finally:
        connection.leave.set()
        if not connection.ready.done():
            holder.cancel()
        await asyncio.wait({holder})


@dataclass(frozen=True, slots=True, kw_only=True)
class _McpConnection:
    """A connection that one task holds open: `ready` has its tools, `leave` ends it."""

    server: str | Sequence[str]
    options: McpOptions
    ready: "asyncio.Future[_Listing]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )
    leave: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def timeout_s(self) -> float:
        return self.options.get("timeout_s", 30.0)

    async def hold(self) -> None:
        """Connect, list the tools, and stay connected until told to leave."""
        try:
            async with AsyncExitStack() as stack:
                async with asyncio.timeout(self.timeout_s):
                    client = await self._client(stack)
                    self.ready.set_result((client, await _listed(client)))
                await self.leave.wait()
        except (InputError, MissingExtraError):
            raise
        except Exception as error:
            where = self.server if isinstance(self.server, str) else " ".join(self.server)
            # Most come in groups, of the tasks that hold the connection.
            if not self.ready.done():
                first = _first(error)
                timed_out = isinstance(first, TimeoutError)
                why = "it does not answer in time" if timed_out else repr(first)
                raise ProviderError(
                    f"The MCP server {where!r} cannot be reached: {why}",
                    provider="mcp",
                    retryable=True,
                ) from error
            logger.warning("The connection to the MCP server %s was lost: %r", where, error)

    async def _client(self, stack: AsyncExitStack) -> "mcp.Client":
        try:
            import httpx2
            import mcp
            from mcp.client.streamable_http import streamable_http_client
        except ImportError as error:
            raise MissingExtraError("mcp", extra="mcp") from error
        if isinstance(self.server, str):
            # No limit on reading: it would end the connection for all calls, not only a slow one.
            timeout = httpx2.Timeout(self.timeout_s, read=None)
            http = httpx2.AsyncClient(
                headers=dict(self.options.get("headers", {})), timeout=timeout
            )
            transport = streamable_http_client(
                self.server, http_client=await stack.enter_async_context(http)
            )
            return await stack.enter_async_context(mcp.Client(transport))
        if not self.server:
            raise InputError("The command that starts the MCP server is empty.")
        command, *arguments = self.server
        parameters = mcp.StdioServerParameters(
            command=command,
            args=arguments,
            env=dict(self.options.get("env", {})),
            cwd=self.options.get("cwd"),
        )
        return await stack.enter_async_context(mcp.Client(parameters))


def _first(error: BaseException) -> BaseException:
    inner: Sequence[BaseException] = getattr(error, "exceptions", ())
    return _first(inner[0]) if inner else error


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
            made = McpTool.of(client, item, options)
        except InputError as error:
            if only is not None:
                raise
            refused[item.name] = str(error)
            logger.warning("The MCP tool %r cannot be used: %s", item.name, error)
            continue
        if made.name in found:
            refused[item.name] = f"another tool has the name {made.name!r} too"
            continue
        found[made.name] = made
    return McpTools(found.values(), refused)


def _policy(item: "mcp.Tool", options: McpOptions) -> Policy:
    hints = item.annotations
    reads = hints is not None and hints.read_only_hint is True
    default: Permission = "read" if reads else options.get("permission", "approve")
    return Policy(
        permission=options.get("permissions", {}).get(item.name, default),
        idempotent=reads or (hints is not None and hints.idempotent_hint is True),
        timeout_s=options.get("timeout_s", 30.0),
        max_chars=options.get("max_chars", 8000),
        concurrency=options.get("concurrency", 8),
    )


def _tool_result(result: "CallToolResult", text: str, max_chars: int) -> ToolResult:
    structured = cast(Json, result.structured_content)
    value: Json = text if structured is None else structured
    return tool_result(value, max_chars=max_chars, text=text or None)


def _text(content: Iterable["ContentBlock"]) -> str:
    shown: list[str] = []
    for block in content:
        if block.type == "text":
            shown.append(block.text)
        elif block.type == "resource":
            resource = f"[resource {block.resource.uri}]"
            shown.append(str(getattr(block.resource, "text", resource)))
        else:
            shown.append(f"[{block.type.replace('_', ' ')}, which cannot be shown]")
    return "\n".join(shown)
