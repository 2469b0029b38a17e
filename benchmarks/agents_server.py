"""Agents of a model with random weights on a real vLLM server: does every run end well?

Run: python -m benchmarks.agents_server [--runs 100] [--url URL]

Six tools, and a budget of steps, tokens and seconds. A call is valid if its arguments are an
instance of the tool's schema, by the jsonschema library. A planned step is not made, and its tool
never called, if a result that it refers to does not fit its argument, or has no such part. For
comparison, LangGraph's prebuilt ReAct agent with LangChain's chat model for OpenAI-compatible
servers (pip install langchain-openai), with the same tools and as many steps.
"""

import argparse
import asyncio
import importlib.util
import json
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from benchmarks.report import publish
from ragkit.agents import Budget, plan_and_execute, react, rewoo, run, tool
from ragkit.agents.agent import Agent
from ragkit.agents.tools import calculator
from ragkit.core.protocols import Tool
from ragkit.core.types import Json
from ragkit.llm import VLLM
from ragkit.testing.vllm_server import missing, serving

BUDGET = Budget(steps=5, tokens=12_000, seconds=120)
AT_ONCE = 16
NOT_MADE = ("The results do not fit", "The result of #")
TOOL_PARSER = ("--enable-auto-tool-choice", "--tool-call-parser", "hermes")
QUESTIONS = ("What is 17 * 23?", "Who sells lamps?", "How warm is it in Oslo?", "Convert 5 miles.")


@tool
def stock(item: str) -> int:
    """Return the number of an item in stock."""
    return len(item)


@tool
def weather(city: str, *, days: int = 1) -> str:
    """The weather of a city in the next days."""
    return f"{city}: mild for {days} days"


@tool
def convert(amount: float, *, unit: str) -> str:
    """Convert an amount to another unit."""
    return f"{amount} {unit}"


@tool
def suppliers(items: list[str]) -> dict[str, str]:
    """Who sells the items."""
    return dict.fromkeys(items, "ACME")


@tool
def broken(reason: str) -> str:
    """Look something up in the archive."""
    raise ValueError(reason)


TOOLS: tuple[Tool, ...] = (stock, weather, convert, suppliers, broken, calculator())


@dataclass(slots=True, kw_only=True)
class Figures:
    """The counts of one pattern."""

    runs: int = 0
    well_formed: int = 0
    within_budget: int = 0
    exceptions: int = 0
    calls: int = 0
    invalid_calls: int = 0
    not_made: int = 0
    tokens: int = 0
    seconds: float = 0.0
    ends: Counter[str] = field(default_factory=Counter[str])
    problems: list[str] = field(default_factory=list[str])


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--url", help="a server that runs already, with a parser of tool calls")
    arguments = parser.parse_args()
    if arguments.url:
        asyncio.run(measure(arguments.url, arguments.runs))
        return
    if reason := missing():
        raise SystemExit(reason)
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(Path(folder), arguments=TOOL_PARSER) as server,
    ):
        asyncio.run(measure(server.url, arguments.runs))


async def measure(url: str, runs: int) -> None:
    """All patterns on one server."""
    figures: dict[str, Figures] = {}
    async with VLLM(url) as llm:
        agents: Mapping[str, Callable[[int], Agent]] = {
            "react": lambda seed: react(llm, TOOLS, budget=BUDGET, decoding=decoding(seed)),
            "rewoo": lambda seed: rewoo(llm, TOOLS, budget=BUDGET, decoding=decoding(seed)),
            "plan_and_execute": lambda seed: plan_and_execute(
                llm, TOOLS, budget=BUDGET, decoding=decoding(seed)
            ),
        }
        for name, make in agents.items():
            figures[name] = await count(runs, ours(make))
        if importlib.util.find_spec("langchain_openai") is not None:
            figures["LangGraph prebuilt ReAct"] = await count(runs, theirs(url, llm.model))
        else:
            print("LangGraph's prebuilt agent is left out: pip install langchain-openai")
    rows = [row(name, found) for name, found in figures.items()]
    note = f"budget: {BUDGET}; {len(TOOLS)} tools, {AT_ONCE} runs at once"
    publish("agents_server", rows, note=note)
    for name, found in figures.items():
        for problem in found.problems[:3]:
            print(f"{name}: {problem}")


def decoding(seed: int) -> Any:  # the options of a call
    """Each run has a seed of its own."""
    return {"seed": seed, "temperature": 1.0}


Run = Callable[[int, Figures], Awaitable[None]]


async def count(runs: int, once: Run) -> Figures:
    """Run the pattern this often, and count the results."""
    figures, slots = Figures(), asyncio.Semaphore(AT_ONCE)

    async def one(seed: int) -> None:
        async with slots:
            figures.runs += 1
            try:
                await once(seed, figures)
            except Exception as error:  # noqa: BLE001  # to be counted
                figures.exceptions += 1
                figures.problems.append(f"{type(error).__name__}: {error!s:.200}")

    started = time.perf_counter()
    await asyncio.gather(*(one(seed) for seed in range(runs)))
    figures.seconds = time.perf_counter() - started
    return figures


def ours(make: Callable[[int], Agent]) -> Run:
    """A run of a ragkit agent."""

    async def once(seed: int, figures: Figures) -> None:
        result = await run(make(seed), QUESTIONS[seed % len(QUESTIONS)])
        figures.well_formed += bool(json.loads(result.to_json())["answer"])
        used = result.usage.prompt + result.usage.completion
        steps = sum(step.kind == "model" for step in result.steps)
        figures.within_budget += used <= (BUDGET.tokens or 0) and steps <= (BUDGET.steps or 0)
        figures.tokens += used
        figures.ends[result.stopped_by] += 1
        for step in result.steps:
            if step.kind != "tool":
                continue
            if step.failed and step.result.startswith(NOT_MADE):
                figures.not_made += 1
            else:
                check(step.name, step.arguments, figures)

    return once


def theirs(url: str, model: str) -> Run:
    """A run of LangGraph's prebuilt agent."""
    from langchain_core.tools import StructuredTool
    from langchain_openai import ChatOpenAI
    from langgraph.prebuilt import create_react_agent

    given = [langchain_tool(StructuredTool, one) for one in TOOLS]
    steps = BUDGET.steps or 0

    async def once(seed: int, figures: Figures) -> None:
        chat = ChatOpenAI(
            base_url=f"{url}/v1",
            api_key="none",
            model=model,
            seed=seed,
            temperature=1.0,
            max_tokens=1024,
            timeout=120,
            max_retries=0,
        )
        agent: Any = create_react_agent(chat, given)
        question = {"messages": [("user", QUESTIONS[seed % len(QUESTIONS)])]}
        output = await agent.ainvoke(question, {"recursion_limit": 2 * steps + 1})
        messages: Sequence[Any] = output["messages"]
        figures.well_formed += bool(messages[-1].content)
        figures.within_budget += 1
        figures.ends["finished"] += 1
        for message in messages:
            usage = getattr(message, "usage_metadata", None) or {}
            figures.tokens += usage.get("total_tokens", 0)
            figures.invalid_calls += len(getattr(message, "invalid_tool_calls", ()))
            for call in getattr(message, "tool_calls", ()):
                check(call["name"], call["args"], figures)

    return once


def langchain_tool(kind: Any, own: Tool) -> Any:
    """The same tool for LangChain."""

    async def act(**arguments: Any) -> str:
        return (await own.call(arguments, key="-")).text

    return kind.from_function(
        coroutine=act,
        name=own.name,
        description=own.description,
        args_schema=dict(own.parameters),
    )


def check(name: str, arguments: Mapping[str, Json] | None, figures: Figures) -> None:
    """Return True if a call's arguments fit its tool."""
    figures.calls += 1
    schema = next((dict(one.parameters) for one in TOOLS if one.name == name), None)
    if schema is None or not Draft202012Validator(schema).is_valid(arguments):
        figures.invalid_calls += 1
        figures.problems.append(f"{name} {arguments!r:.200}")


def row(name: str, figures: Figures) -> dict[str, str | int | float]:
    """A line of the table."""
    return {
        "pattern": name,
        "runs": figures.runs,
        "well-formed": figures.well_formed,
        "within budget": figures.within_budget,
        "exceptions": figures.exceptions,
        "calls": figures.calls,
        "invalid calls": figures.invalid_calls,
        "steps not made": figures.not_made,
        "mean tokens": figures.tokens / max(figures.runs, 1),
        "seconds": figures.seconds,
        "ended by": ", ".join(f"{k} {v}" for k, v in figures.ends.most_common()),
    }


if __name__ == "__main__":
    main()
