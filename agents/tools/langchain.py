"""LangChain's tools as tools of an agent: any `BaseTool`, `@tool` function or toolkit."""

import functools
import inspect
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict, Unpack, cast

from ragkit.agents.tools.foreign_schema import check_arguments, closed_schema
from ragkit.agents.tools.function.runner import Policy, Runner, tool_result, trimmed
from ragkit.agents.tools.injected_arguments import InjectedArguments, injected_arguments
from ragkit.core.errors import InputError, ToolError
from ragkit.core.protocols import Tool
from ragkit.core.types import Json, Permission, ToolResult

if TYPE_CHECKING:
    from langchain_core.messages import ToolMessage
    from langchain_core.tools import BaseTool, BaseToolkit

AnyTool: TypeAlias = "Tool | BaseTool | BaseToolkit"
"""A tool of ragkit or of LangChain, or a toolkit of LangChain."""

AnyTools: TypeAlias = "Iterable[AnyTool] | BaseToolkit"
"""The tools of an agent: several, or one toolkit."""

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
        concurrency: Calls of one tool that run at the same time; 8 by default. A tool without
            async code runs in a thread of its own, and keeps its place until it ends.
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
    _injected: InjectedArguments

    @property
    def permission(self) -> Permission:
        """The permission that a call needs."""
        return self.runner.policy.permission

    @property
    def repeatable(self) -> bool:
        """True if a call that was interrupted may be made again."""
        return self.runner.policy.repeatable

    async def call(self, arguments: Mapping[str, Json], *, key: str) -> ToolResult:
        """See `Tool.call`; the key is LangChain's id of the call.

        Raises:
            ToolError: The arguments are wrong, the tool raised, or it took too long.
        """
        check_arguments(self.parameters, arguments)
        # `Any`: LangChain takes the arguments, or a call with an id.
        given: Any = {**arguments, **self._injected.values(key)}
        if self._takes_calls:
            given = {"type": "tool_call", "name": self._tool.name, "args": given, "id": key}
        asynchronous = _is_async(self._tool)
        invoke = self._tool.ainvoke if asynchronous else self._tool.invoke
        value = await self.runner.run(functools.partial(invoke, given), asynchronous=asynchronous)
        return _result(value, max_chars=self.runner.policy.max_chars)

    @property
    def _takes_calls(self) -> bool:
        """True if the tool has to know its call's id, or has failures that only a message shows."""
        handled = self._tool.handle_tool_error or self._tool.handle_validation_error
        return bool("call_id" in self._injected.kinds.values() or handled)


def _is_async(tool: "BaseTool") -> bool:
    """Return True if the tool has async code of its own, and False if LangChain uses its threads.

    A call that hangs in a thread of LangChain's would block the interpreter's exit.
    """
    from langchain_core.tools import BaseTool, StructuredTool, Tool

    if getattr(tool, "coroutine", None) is not None:
        return True
    kind = type(tool)
    if kind.ainvoke in (StructuredTool.ainvoke, Tool.ainvoke):
        return False
    below = kind.__mro__[: kind.__mro__.index(BaseTool)]
    return any({"_arun", "ainvoke"} & vars(one).keys() for one in below)


def _result(value: object, *, max_chars: int) -> ToolResult:
    """Make a result of any value, or of the text and the status of messages.

    Raises:
        ToolError: A message is that of a failure, or the value is a Command.
    """
    messages = _messages(value)
    if not messages:
        return tool_result(value, max_chars=max_chars)
    text = "\n".join(map(_text, messages))
    if any(message.status == "error" for message in messages):
        raise ToolError(trimmed(text, max_chars)[0])
    return tool_result(_structured(text), max_chars=max_chars, text=text)


def _messages(value: object) -> "list[ToolMessage]":
    """Return the message, or the list of messages, that a tool returned, if it did."""
    from langchain_core.messages import ToolMessage
    from langgraph.types import Command

    items = cast("list[object]", value) if isinstance(value, list) else [value]
    if any(isinstance(item, Command) for item in items):
        raise ToolError(
            "It returned a Command, which changes the state of a graph; this agent's is private. "
            "Fix: let the tool return a string."
        )
    messages = [item for item in items if isinstance(item, ToolMessage)]
    return messages if len(messages) == len(items) else []


def _text(message: "ToolMessage") -> str:
    # `Any`: LangChain types the blocks of a content partly.
    content: Any = message.content
    if isinstance(content, str):
        return content
    plain = all(isinstance(one, str) or one.get("type") == "text" for one in content)
    return str(message.text) if plain else json.dumps(content, ensure_ascii=False)


def _structured(text: str) -> object:
    """Return the object or the list that LangChain wrote into a message, else the text."""
    try:
        return json.loads(text) if text.startswith(("{", "[")) else text
    except (ValueError, RecursionError):
        return text


def langchain_tools(
    tools: "Iterable[BaseTool | BaseToolkit] | BaseToolkit", /, **options: Unpack[LangChainOptions]
) -> list[LangChainTool]:
    """Make tools of an agent of LangChain's tools, or of a toolkit's.

    Agents take LangChain's tools as they are, with the default options. A tool's own
    `metadata={"permission": "read"}` is its permission.

    Args:
        tools: Tools and toolkits, or one toolkit.
        options: See `LangChainOptions`.

    Raises:
        InputError: An option is unknown, a tool's schema cannot be decoded under a grammar, it
            needs what no agent supplies, or `permissions` names a tool that is not there.
    """
    if unknown := sorted(options.keys() - LangChainOptions.__optional_keys__):
        raise InputError(
            f"langchain_tools has no option {unknown[0]!r}. "
            f"Fix: use one of {', '.join(sorted(LangChainOptions.__optional_keys__))}."
        )
    made = [_langchain_tool(cast("BaseTool", tool), options) for tool in _listed(tools)]
    names = {tool.name for tool in made}
    if missing := sorted(options.get("permissions", {}).keys() - names):
        raise InputError(f"permissions names {missing[0]!r}. Fix: use {', '.join(sorted(names))}.")
    return made


def as_tools(tools: AnyTools) -> list[Tool]:
    """Return tools of ragkit as they are, and tools of LangChain with the default options.

    Raises:
        InputError: An item is neither, its schema cannot be decoded under a grammar, or it needs
            what no agent supplies.
    """
    return [_as_tool(tool) for tool in _listed(tools)]


def _listed(tools: object) -> list[object]:
    """Return the tools of a toolkit, or of an iterable of tools and toolkits."""
    if _is_toolkit(tools):
        return _tools_of(tools)
    if not isinstance(tools, Iterable):
        raise InputError(f"The tools are {tools!r:.200}. Fix: pass a list of tools.")
    listed: list[object] = []
    for item in cast("Iterable[object]", tools):
        listed += _tools_of(item) if _is_toolkit(item) else [item]
    return listed


def _is_toolkit(item: object) -> bool:
    return hasattr(item, "get_tools") and not isinstance(item, type)


def _tools_of(toolkit: object) -> list[object]:
    # `Any`: clients of MCP servers have such a method too, with no base class.
    get_tools: Any = getattr(toolkit, "get_tools")  # noqa: B009  # of an `object`
    if inspect.iscoroutinefunction(get_tools):
        raise InputError(
            f"{toolkit!r:.80} has an async get_tools. Fix: pass the result of `await get_tools()`."
        )
    return list(get_tools())


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

    if tool.return_direct:
        raise InputError(
            f"The LangChain tool {tool.name!r} has return_direct=True, but ragkit's agents write "
            "their answers themselves. Fix: set return_direct=False."
        )
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
        _injected=injected_arguments(tool),
    )
