"""Agents: the framework's own time per step, a plan of slow tools, and resuming.

python -m benchmarks.agents

The model replies at once and the tools do nothing, so that what is measured is LangGraph and
ragkit: prompts, budget, trace, journal, checkpoints. LangChain's `create_agent`, LangGraph's
prebuilt agent, makes the same steps in the same run, under the same checkpoints; it has no budget,
trace or journal. `processor` is the time that the process computed, all its threads together.
"""

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from langchain.agents import create_agent
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.tools import tool as langchain_tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.constants import END, START
from langgraph.graph.state import (  # pyright: ignore[reportMissingTypeStubs]  # it has its types
    StateGraph,
)

from benchmarks.report import Row, publish
from ragkit.agents import SQLiteJournal, SQLiteRuns, approve, react, resume, rewoo, run
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


@dataclass(frozen=True, slots=True)
class Took:
    """Milliseconds of a step by the clock, and of the processor."""

    wall: float
    processor: float


async def per_step(one: Callable[[int], Awaitable[None]], steps: int, *, runs: int) -> Took:
    """Median milliseconds of a step over the runs; two more go before."""
    took: list[tuple[float, float]] = []
    for number in range(runs + 2):
        started, computed = time.perf_counter(), time.process_time()
        await one(number)
        after = time.perf_counter() - started, time.process_time() - computed
        took.append((after[0] / steps * 1000, after[1] / steps * 1000))
    walls, processors = zip(*took[2:], strict=True)
    return Took(wall=statistics.median(walls), processor=statistics.median(processors))


def of_ragkit(steps: int, options: AgentOptions) -> Callable[[int], Awaitable[None]]:
    """Make runs of `react`: each step calls the model and a tool."""

    async def one(number: int) -> None:
        agent = react(Instant(turns(steps)), [RecordingTool(name="look")], **options)
        thread = str(number) if "checkpointer" in options else None
        result = await run(agent, "Q", thread=thread)
        if result.answer != "Done.":
            raise SystemExit(result.tree())

    return one


class Calling(GenericFakeChatModel):
    """LangChain's fake model, which may be given tools."""

    def bind_tools(self, tools: Any, **_: Any) -> Any:
        """The model itself."""
        return self


@langchain_tool
def look(text: str) -> str:
    """Look something up."""
    return "seen"


def of_langchain(steps: int, checkpointer: Any = None) -> Callable[[int], Awaitable[None]]:
    """Make runs of LangChain's `create_agent`, with the same steps."""

    def messages() -> list[AIMessage]:
        called = [
            AIMessage(
                content="Look.",
                tool_calls=[{"id": f"c{n}", "name": "look", "args": {"text": str(n)}}],
            )
            for n in range(steps)
        ]
        return [*called, AIMessage(content="Done.")]

    async def one(number: int) -> None:
        agent: Any = create_agent(
            Calling(messages=iter(messages())), [look], checkpointer=checkpointer
        )
        config = {
            "configurable": {"thread_id": f"langchain {number}"},
            "recursion_limit": 4 * steps,
        }
        given = {"messages": [{"role": "user", "content": "Q"}]}
        stream = agent.astream(given, config, stream_mode=["custom", "values"])
        *_, (_, last) = [part async for part in stream]
        if last["messages"][-1].content != "Done.":
            raise SystemExit(str(last))

    return one


class Count(TypedDict):
    """The state of the bare graph."""

    n: int


def of_langgraph(steps: int) -> Callable[[int], Awaitable[None]]:
    """Make runs of a LangGraph graph of two nodes that do nothing, for comparison."""

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

    async def whole(_: int) -> None:
        async for _ in compiled.astream({"n": 0}, stream_mode=["custom", "values"], subgraphs=True):
            pass

    return whole


async def slow_plan() -> Took:
    """Milliseconds of a plan whose independent tools take half a second each."""

    async def slow(_: Mapping[str, Json]) -> Json:
        await asyncio.sleep(SLOW_S)
        return "done"

    plan = says_plan(*(("slow", {"text": str(n)}) for n in range(SLOW_TOOLS)))

    async def one(_: int) -> None:
        tool = RecordingTool(name="slow", does=slow)
        await run(rewoo(Instant([plan, "Done."]), [tool], reply_tokens=1 << 18), "Q")

    return await per_step(one, 1, runs=1)


async def resuming(folder: Path, steps: int) -> Took:
    """Measure the milliseconds to resume a run of this many steps from SQLite, with one call."""
    permission: Permission = "approve"
    send = RecordingTool(name="send", permission=permission)
    ask = says_action("", ("send", {"text": "x"}))
    end = turns(0)
    took = Took(0.0, 0.0)
    for replies in ([*turns(steps)[:-1], ask], end):
        async with SQLiteRuns(folder / "resumed.db") as kept:
            options = AgentOptions(checkpointer=kept.checkpoints, journal=kept.journal)
            agent = react(Instant(replies), [RecordingTool(name="look"), send], **options)
            if replies is end:
                started, computed = time.perf_counter(), time.process_time()
                await resume(agent, "t", approve())
                after = time.perf_counter() - started, time.process_time() - computed
                took = Took(after[0] * 1000, after[1] * 1000)
            else:
                await run(agent, "Q", thread="t")
    return took


async def measured(runs: int) -> list[Row]:
    """All rows."""
    rows: list[Row] = []

    def add(what: str, took: Took) -> None:
        rows.append({"what": what, "ms": took.wall, "processor ms": took.processor})

    add(
        "two empty nodes of LangGraph itself, 14 rounds",
        await per_step(of_langgraph(14), 14, runs=runs),
    )
    for steps in (5, 14):
        memory: dict[str, AgentOptions] = {
            "no checkpoints": AgentOptions(),
            "checkpoints in memory": AgentOptions(checkpointer=InMemorySaver()),
        }
        for name, options in memory.items():
            took = await per_step(of_ragkit(steps, options), steps, runs=runs)
            add(f"step of react, {steps} steps, {name}", took)
            saver = options.get("checkpointer")
            took = await per_step(of_langchain(steps, saver), steps, runs=runs)
            add(f"step of create_agent, {steps} steps, {name}", took)
    with tempfile.TemporaryDirectory() as scratch:
        await _on_disk(Path(scratch), runs, add)
    add(f"rewoo, {SLOW_TOOLS} independent tools of {SLOW_S} s", await slow_plan())
    return rows


async def _on_disk(folder: Path, runs: int, add: Callable[[str, Took], None]) -> None:
    """Measure steps of runs whose checkpoints are in a file of SQLite."""
    async with SQLiteRuns(folder / "runs.db") as kept:
        options = AgentOptions(checkpointer=kept.checkpoints, journal=kept.journal)
        for steps in (5, 14):
            add(
                f"step of react, {steps} steps, SQLiteRuns (checkpoints and journal)",
                await per_step(of_ragkit(steps, options), steps, runs=runs),
            )
            add(
                f"step of create_agent, {steps} steps, checkpoints of SQLiteRuns, no journal",
                await per_step(of_langchain(steps, kept.checkpoints), steps, runs=runs),
            )
    durable = AsyncSqliteSaver.from_conn_string(str(folder / "durable.db"))
    async with durable as saver, SQLiteJournal(folder / "durable.journal") as journal:
        options = AgentOptions(checkpointer=saver, journal=journal)
        add(
            "step of react, 5 steps, AsyncSqliteSaver and SQLiteJournal",
            await per_step(of_ragkit(5, options), 5, runs=runs),
        )
        add(
            "step of create_agent, 5 steps, AsyncSqliteSaver, no journal",
            await per_step(of_langchain(5, saver), 5, runs=runs),
        )
    add("resuming a run of 5 steps from SQLiteRuns", await resuming(folder, 5))


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=30)
    given = parser.parse_args()
    rows = asyncio.run(measured(given.runs))
    note = f"load average {os.getloadavg()[0]:.0f}: the processor's time is what compares"
    publish("agents", rows, note=note)


if __name__ == "__main__":
    main()
