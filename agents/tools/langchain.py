"""LangChain's tools as tools of an agent: any `BaseTool`, `@tool` function or toolkit."""

import functools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict, Unpack, cast

from ragkit.agents.tools.foreign_schema import check_arguments, closed_schema
from ragkit.agents.tools.function.runner import Policy, Runner, tool_result
from ragkit.core.errors import InputError
from ragkit.core.protocols import Tool
from ragkit.core.types import Json, Permission, ToolResult

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool, BaseToolkit

AnyTool: TypeAlias = "Tool | BaseTool"
"""A tool of ragkit or of LangChain."""

_STRICTNESS: Mapping[str, int] = {"read": 0, "write": 1, "approve": 2}


class LangChainOptions(TypedDict, total=False):
    """Options of `langchain_tools`.

    Attributes:
        permission: Of tools that say nothing about it; `"write"` by default, which is refused or
            asked about as soon as untrusted text is in the thread.
        permissions: Of single tools, by name.
        untrusted: Whether others than you wrote the descriptions, as those of a server of tools;
            False by default, or `metadata={"untrusted": True}` of a tool. Where it is set here,
            metadata can make a tool's permission stricter only.
        timeout_s: Seconds for one call; 30 by default.
        max_chars: Maximum length of a result's text; 8,000 by default.
        concurrency: Calls of one tool that run at the same time; 8 by default.
    """

    permission: Permission
    permissions: Mapping[str, Permission]
    untrusted: bool
    timeout_s: float
    max_chars: int
    concurrency: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LangChainTool:
    """A `Tool` whose calls a LangChain tool answers."""

    name: str
    description: str
    parameters: Mapping[str, Json]
    runner: Runner
    untrusted: bool = False
    _tool: "BaseTool"

    @property
    def permission(self) -> Permission:
        """The permission that a call needs."""
        return self.runner.policy.permission

    @property
    def repeatable(self) -> bool:
        """True if a call that was interrupted may be made again."""
        return self.runner.policy.repeatable

    async def call(self, arguments: Mapping[str, Json], *, key: str) -> ToolResult:
        """See `Tool.call`; LangChain's tools have no place for the key.

        Raises:
            ToolError: The arguments are wrong, the tool raised, or it took too long.
        """
        check_arguments(self.parameters, arguments)
        ask = functools.partial(self._tool.ainvoke, cast("dict[str, Any]", dict(arguments)))
        value = await self.runner.run(ask, asynchronous=True)
        return tool_result(value, max_chars=self.runner.policy.max_chars)


def langchain_tools(
    tools: "Iterable[BaseTool] | BaseToolkit", /, **options: Unpack[LangChainOptions]
) -> list[LangChainTool]:
    """Make tools of an agent of LangChain's tools, or of a toolkit's.

    Agents take LangChain's tools as they are, with the default options. A tool's own
    `metadata={"permission": "read"}` is its permission.

    Args:
        tools: The tools, or a toolkit.
        options: See `LangChainOptions`.

    Raises:
        InputError: An option is unknown, a tool's schema cannot be decoded under a grammar, or
            `permissions` names a tool that is not there.
    """
    if unknown := sorted(options.keys() - LangChainOptions.__optional_keys__):
        raise InputError(
            f"langchain_tools has no option {unknown[0]!r}. "
            f"Fix: use one of {', '.join(sorted(LangChainOptions.__optional_keys__))}."
        )
    toolkit = cast("BaseToolkit", tools) if hasattr(tools, "get_tools") else None
    listed = toolkit.get_tools() if toolkit else list(cast("Iterable[BaseTool]", tools))
    made = [_langchain_tool(tool, options) for tool in listed]
    names = {tool.name for tool in made}
    if missing := sorted(options.get("permissions", {}).keys() - names):
        raise InputError(f"permissions names {missing[0]!r}. Fix: use {', '.join(sorted(names))}.")
    return made


def as_tools(tools: Iterable[AnyTool]) -> list[Tool]:
    """Return tools of ragkit as they are, and tools of LangChain with the default options.

    Raises:
        InputError: An item is neither, or its schema cannot be decoded under a grammar.
    """
    return [_as_tool(tool) for tool in tools]


def _as_tool(tool: object) -> Tool:
    if all(hasattr(tool, name) for name in ("name", "parameters", "permission", "call")):
        return cast("Tool", tool)
    if hasattr(tool, "ainvoke") and hasattr(tool, "tool_call_schema"):
        return _langchain_tool(cast("BaseTool", tool), {})
    raise InputError(
        f"{tool!r} is not a tool. Fix: pass functions through ragkit.agents.tools.tool, or pass "
        "LangChain tools."
    )


def _langchain_tool(tool: "BaseTool", options: LangChainOptions) -> LangChainTool:
    from langchain_core.utils.function_calling import convert_to_openai_tool

    function: dict[str, Any] = convert_to_openai_tool(tool)["function"]
    name = re.sub(r"[^A-Za-z0-9_]", "_", tool.name)[:64]
    metadata: Any = tool.metadata or {}
    given: Permission = options.get("permission", "write")
    own: Permission = metadata.get("permission") or given
    if options.get("untrusted") and _STRICTNESS.get(own, 3) < _STRICTNESS.get(given, 3):
        own = given  # an adapter fills the metadata with what the server says
    policy = Policy(
        permission=options.get("permissions", {}).get(name, own),
        timeout_s=options.get("timeout_s", 30.0),
        max_chars=options.get("max_chars", 8000),
        concurrency=options.get("concurrency", 8),
    )
    return LangChainTool(
        name=name,
        description=function.get("description") or f"The tool {name}.",
        parameters=closed_schema(
            function.get("parameters") or {}, tool=f"The LangChain tool {tool.name!r}"
        ),
        runner=Runner.of(policy),
        untrusted=bool(options.get("untrusted") or metadata.get("untrusted")),
        _tool=tool,
    )
