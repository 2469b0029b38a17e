"""Running an agent from settings and names: what the command line asks for."""

import dataclasses
import functools
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import Any, get_args

from ragkit.agents import Budget, plan_and_execute, react, rewoo, stream
from ragkit.agents.events import Event
from ragkit.agents.parts import Agent
from ragkit.agents.tools import calculator, http_get, python, search_documents, sql
from ragkit.core.errors import ConfigError, InputError
from ragkit.core.protocols import LLM, Tool
from ragkit.core.settings import Settings
from ragkit.core.types import DEFAULT_TOOLS, Pattern
from ragkit.llm.build import build_llm
from ragkit.sdk import AsyncRAG

PATTERNS: Mapping[str, Callable[..., Agent]] = {
    "react": react,
    "rewoo": rewoo,
    "plan": plan_and_execute,
}
_WHOLE = {"steps", "tokens"}
_WITHOUT_ARGUMENT: Mapping[str, Callable[[], Tool]] = {
    "calculator": calculator,
    "python": python,
}


async def run_agent(
    settings: Settings,
    question: str,
    *,
    pattern: Pattern = "react",
    tools: str = DEFAULT_TOOLS,
    budget: str = "",
) -> AsyncGenerator[Event]:
    """Ask an agent and get its events; the last one holds the result.

    Args:
        settings: The index, and the LLM.
        question: What to ask.
        pattern: How it works.
        tools: Names, separated by commas: `search_documents`, `calculator`, `python`,
            `sql=FILE`, `http_get=HOST+HOST`.
        budget: Limits such as `steps=8,tokens=20000,seconds=60`.

    Raises:
        ConfigError: No LLM is set, or a tool or limit is unknown.
        InputError: A limit is no number.
    """
    limits = budget_of(budget)
    llm = build_llm(settings.llm)
    rag = AsyncRAG(settings)
    try:
        agent = agent_of(llm, rag, pattern=pattern, tools=tools, budget=limits)
        async with aclosing(stream(agent, question)) as events:
            async for event in events:
                yield event
    finally:
        await rag.close()
        await llm.close()


def agent_of(llm: LLM, rag: AsyncRAG, *, pattern: Pattern, tools: str, budget: Budget) -> Agent:
    """The agent of these names.

    Raises:
        ConfigError: A name is unknown.
    """
    if pattern not in PATTERNS:
        known = ", ".join(get_args(Pattern))
        raise ConfigError(f"There is no pattern {pattern!r}; there are {known}.")
    named = [_tool(name.strip(), rag) for name in tools.split(",") if name.strip()]
    return PATTERNS[pattern](llm, named, budget=budget)


def _tool(name: str, rag: AsyncRAG) -> Tool:
    kind, _, argument = name.partition("=")
    made: Mapping[str, Callable[[], Tool]] = {
        "search_documents": lambda: search_documents(rag),
        **_WITHOUT_ARGUMENT,
    }
    taking: Mapping[str, Callable[[], Tool]] = {
        "sql": functools.partial(sql, argument),
        "http_get": lambda: http_get(argument.split("+")),
    }
    chosen = taking.get(kind) if argument else made.get(kind)
    if chosen is None:
        known = [*made, "sql=FILE", "http_get=HOST+HOST"]
        raise ConfigError(f"There is no tool {name!r}; there are {', '.join(known)}.")
    return chosen()


def budget_of(text: str) -> Budget:
    """The budget that a text such as `steps=8,seconds=60` names; the rest is the default.

    Raises:
        ConfigError: A limit is unknown.
        InputError: A limit is no number above 0.
    """
    known = {limit.name: limit for limit in dataclasses.fields(Budget)}
    given: dict[str, Any] = {}  # Any: whole numbers and others
    for part in filter(None, text.replace(" ", "").split(",")):
        name, _, value = part.partition("=")
        if name not in known:
            raise ConfigError(f"There is no limit {name!r}; there are {', '.join(known)}.")
        try:
            given[name] = int(value) if name in _WHOLE else float(value)
        except ValueError as error:
            raise InputError(f"The limit {name!r} is a number, got {value!r}.") from error
    return dataclasses.replace(Budget(), **given)
