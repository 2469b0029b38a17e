"""The arguments of a LangChain tool that its run supplies and the model does not see."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypeAlias, get_origin, get_type_hints

from ragkit.core.errors import InputError, ToolError

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool
    from langgraph.runtime import Runtime

Injection: TypeAlias = Literal["call_id", "store", "runtime"]
"""A value that an agent's run has for a tool."""

_EMPTY = inspect.Parameter.empty


@dataclass(frozen=True, slots=True, kw_only=True)
class InjectedArguments:
    """The injected arguments of the tool `tool`, by name."""

    tool: str
    kinds: Mapping[str, Injection]

    def values(self, key: str) -> dict[str, object]:
        """Return the values for the call with this key, which is the call's id.

        Raises:
            ToolError: The run has no store, or the tool is called outside of a run.
        """
        return {name: self._value(kind, key) for name, kind in self.kinds.items()}

    def _value(self, kind: Injection, key: str) -> object:
        if kind == "call_id":
            return key
        runtime = self._runtime()
        if kind == "runtime":
            return _tool_runtime(self.tool, runtime, key)
        if runtime.store is None:
            raise ToolError(f"{self.tool} needs a store. Fix: pass store=... to the agent.")
        return runtime.store

    def _runtime(self) -> "Runtime[Any]":
        from langgraph.runtime import get_runtime

        try:
            return get_runtime()
        except (RuntimeError, KeyError) as error:
            raise ToolError(
                f"{self.tool} needs the runtime of LangGraph. Fix: call it in the run of an agent."
            ) from error


def injected_arguments(tool: "BaseTool") -> InjectedArguments:
    """Read the injected arguments of a LangChain tool.

    Raises:
        InputError: No run of an agent has a value for one, or the tool changes its graph's state.
    """
    from langgraph.types import Command

    sources = _sources(tool)
    hints: dict[str, Any] = {}
    for source in sources:
        hints |= _hints(source)
    returned = hints.pop("return", None)
    if (get_origin(returned) or returned) is Command:
        raise InputError(
            f"The LangChain tool {tool.name!r} returns a Command, which changes the state of a "
            "graph; the state of ragkit's agents is private. Fix: return a string."
        )
    kinds: dict[str, Injection] = {}
    for name, hint in hints.items():
        kind = _kind(hint)
        if kind == "state":
            raise InputError(
                f"The LangChain tool {tool.name!r} takes the state of its graph as {name!r}; the "
                "state of ragkit's agents is private. Fix: take a ToolRuntime, and pass the values "
                "in the context of the run."
            )
        if kind == "other" and _required(name, sources):
            raise InputError(
                f"The LangChain tool {tool.name!r} has the injected argument {name!r}, which no "
                "agent supplies. Fix: give it a default, or take a ToolRuntime, and pass the value "
                "in the context of the run."
            )
        if kind in ("call_id", "store", "runtime"):
            kinds[name] = kind
    return InjectedArguments(tool=tool.name, kinds=kinds)


def _sources(tool: "BaseTool") -> list[Callable[..., Any]]:
    """Return the functions and the model that declare the tool's arguments."""
    functions = _attributes(tool, "func", "coroutine") or _attributes(tool, "_run", "_arun")
    schema = tool.args_schema
    return [*functions, schema] if isinstance(schema, type) else functions


def _attributes(tool: "BaseTool", *names: str) -> list[Callable[..., Any]]:
    return [found for name in names if (found := getattr(tool, name, None)) is not None]


def _hints(source: Callable[..., Any]) -> dict[str, Any]:
    try:
        return get_type_hints(source, include_extras=True)
    except (NameError, TypeError, AttributeError):  # a name of a function's scope, or an object
        return {one.name: one.annotation for one in inspect.signature(source).parameters.values()}


def _kind(hint: Any) -> Injection | Literal["state", "other"] | None:
    from langchain_core.tools import InjectedToolArg, InjectedToolCallId
    from langgraph.prebuilt import InjectedState, InjectedStore, ToolRuntime

    if (get_origin(hint) or hint) is ToolRuntime:
        return "runtime"
    known: dict[type, Injection | Literal["state", "other"]] = {
        InjectedToolCallId: "call_id",
        InjectedStore: "store",
        InjectedState: "state",
        InjectedToolArg: "other",
    }
    for mark in getattr(hint, "__metadata__", ()):
        kind = mark if isinstance(mark, type) else type(mark)
        for base in known:
            if issubclass(kind, base):
                return known[base]
    return None


def _required(name: str, sources: Iterable[Callable[..., Any]]) -> bool:
    parameters = [inspect.signature(source).parameters.get(name) for source in sources]
    return all(one.default is _EMPTY for one in parameters if one is not None)


class _PrivateState(dict[str, Any]):
    """The state of an agent for a tool: reading it is an error."""

    def __init__(self, tool: str) -> None:
        super().__init__()
        self._tool = tool

    def __missing__(self, key: str) -> NoReturn:
        raise ToolError(
            f"{self._tool} reads {key!r} of the state of its graph, which is private. "
            "Fix: pass the value in the context of the run."
        )

    def get(self, key: str, default: object = None, /) -> NoReturn:
        """Raise an error, as reading by brackets does."""
        self.__missing__(key)


def _tool_runtime(tool: str, runtime: "Runtime[Any]", key: str) -> object:
    from langgraph.config import get_config
    from langgraph.prebuilt import ToolRuntime

    return ToolRuntime(
        state=_PrivateState(tool),
        context=runtime.context,
        config=get_config(),
        stream_writer=runtime.stream_writer,
        tool_call_id=key,
        store=runtime.store,
    )
