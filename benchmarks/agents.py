"""Agents: the framework's own time per step, a plan of slow tools, and resuming.

python -m benchmarks.agents

The model replies at once and the tools do nothing, so that what is measured is LangGraph and
ragkit: prompts, budget, trace, journal, checkpoints.
"""

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any, TypedDict

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.constants import END, START
from langgraph.graph.state import (  # pyright: ignore[reportMissingTypeStubs]  # it has its types
    StateGraph,
)

from benchmarks.report import Row, publish
from ragkit.agents import SQLiteJournal, approve, react, resume, rewoo, run
from ragkit.agents.options import AgentOptions
from ragkit.core.types import Delta, Json, Permission, Reply, Timings, Usage
from ragkit.llm.call import Call, StreamedLLM
from ragkit.testing.agents import RecordingTool, says_action, says_plan

SLOW_S = 0.5
SLOW_TOOLS = 8


class Instant(StreamedLLM):
    """A model that replies at once, from a list."""

    model = "instant"

    def __init__(self, replies: list[str]) -> None:
        """Take the replies, in order."""
        self._replies = iter(replies)

    async def context_tokens(self) -> int:
        """Enough."""
        return 1 << 20

    async def respond(self, call: Call) -> AsyncGenerator[Delta]:
        """The next reply in one piece."""
        text = next(self._replies)
        yield Delta(text=text)
        timings = Timings(total_s=0.0)
        usage = Usage(prompt=1, completion=1)
        yield Delta(
            text="", reply=Reply(text=text, finish_reason="stop", usage=usage, timings=timings)
        )


def turns(steps: int) -> list[str]:
    """Run this many turns, each with one call, and the end."""
    calls = [says_action("Look.", ("look", {"text": str(n)})) for n in range(steps)]
    return [*calls, says_action("", ("finish", {"answer": "Done."}))]


async def per_step(steps: int, options: AgentOptions, *, runs: int) -> float:
    """Median milliseconds of a step (a call of the model and one of a tool) over the runs."""
    times: list[float] = []
    for number in range(runs + 2):
        agent = react(Instant(turns(steps)), [RecordingTool(name="look")], **options)
        started = time.perf_counter()
        result = await run(agent, "Q", thread=str(number) if "checkpointer" in options else None)
        times.append((time.perf_counter() - started) / steps * 1000)
        if result.answer != "Done.":
            raise SystemExit(result.tree())
    return statistics.median(times[2:])


class Count(TypedDict):
    """The state of the bare graph."""

    n: int


async def bare_step(steps: int, *, runs: int) -> float:
    """Median milliseconds of two nodes of a LangGraph graph that do nothing, for comparison."""

    async def one(state: Count) -> Count:
        return state

    async def two(state: Count) -> Count:
        return {"n": state["n"] + 1}

    async def route(state: Count) -> str:
        return "one" if state["n"] < steps else END

    async def on(state: Count) -> str:
        return "two"

    # `Any`: the types of LangGraph's methods are only partly known.
    graph: Any = StateGraph(Count)
    graph.add_node("one", one)
    graph.add_node("two", two)
    graph.add_edge(START, "one")
    graph.add_conditional_edges("one", on, ["two"])
    graph.add_conditional_edges("two", route, ["one", END])
    compiled = graph.compile().with_config(recursion_limit=4 * steps)
    times: list[float] = []
    for _ in range(runs + 2):
        started = time.perf_counter()
        async for _ in compiled.astream({"n": 0}, stream_mode=["custom", "values"], subgraphs=True):
            pass
        times.append((time.perf_counter() - started) / steps * 1000)
    return statistics.median(times[2:])


async def slow_plan() -> float:
    """Seconds of a plan whose independent tools take half a second each."""

    async def slow(_: Mapping[str, Json]) -> Json:
        await asyncio.sleep(SLOW_S)
        return "done"

    plan = says_plan(*(("slow", {"text": str(n)}) for n in range(SLOW_TOOLS)))
    agent = rewoo(
        Instant([plan, "Done."]), [RecordingTool(name="slow", does=slow)], reply_tokens=1 << 18
    )
    started = time.perf_counter()
    await run(agent, "Q")
    return time.perf_counter() - started


async def resuming(folder: Path, steps: int) -> float:
    """Measure the milliseconds to resume a run of this many steps from SQLite, with one call."""
    permission: Permission = "approve"
    send = RecordingTool(name="send", permission=permission)
    ask = says_action("", ("send", {"text": "x"}))
    end = turns(0)
    took = 0.0
    for replies in ([*turns(steps)[:-1], ask], end):
        checkpoints = AsyncSqliteSaver.from_conn_string(str(folder / "checkpoints.db"))
        async with checkpoints as saver, SQLiteJournal(folder / "journal.db") as journal:
            options = AgentOptions(checkpointer=saver, journal=journal)
            agent = react(Instant(replies), [RecordingTool(name="look"), send], **options)
            if replies is end:
                started = time.perf_counter()
                await resume(agent, "t", approve())
                took = (time.perf_counter() - started) * 1000
            else:
                await run(agent, "Q", thread="t")
    return took


async def measured(runs: int) -> list[Row]:
    """All rows."""
    rows: list[Row] = []

    def add(what: str, value: float, unit: str) -> None:
        rows.append({"what": what, "value": value, "unit": unit})

    bare = await bare_step(14, runs=runs)
    add("two empty nodes of LangGraph itself, 14 rounds", bare, "ms")
    for steps in (5, 14):
        plain = await per_step(steps, AgentOptions(), runs=runs)
        add(f"step of ReAct, {steps} steps, no checkpoints", plain, "ms")
        kept = await per_step(steps, AgentOptions(checkpointer=InMemorySaver()), runs=runs)
        add(f"step of ReAct, {steps} steps, checkpoints in memory", kept, "ms")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        path = str(folder / "durable.db")
        durable = AsyncSqliteSaver.from_conn_string(path)
        async with durable as saver, SQLiteJournal(folder / "durable.journal") as journal:
            options = AgentOptions(checkpointer=saver, journal=journal)
            few = max(3, runs // 5)
            took = await per_step(5, options, runs=few)
        add("step of ReAct, checkpoints and journal in SQLite", took, "ms")
        size = os.path.getsize(path) / 1024 / (few + 2)  # noqa: ASYNC240, PTH202  # one stat
        add("checkpoints of a run of 5 steps in SQLite", size, "KiB")
        add("resuming a run of 5 steps from SQLite", await resuming(folder, 5), "ms")
    add(f"ReWOO, {SLOW_TOOLS} independent tools of {SLOW_S} s", await slow_plan(), "s")
    return rows


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=30)
    given = parser.parse_args()
    publish("agents", asyncio.run(measured(given.runs)))


if __name__ == "__main__":
    main()
