"""Calls that run at the same time in ReWOO: each has its own interrupts and is made once."""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.constants import END, START
from langgraph.graph.message import (  # pyright: ignore[reportMissingTypeStubs]  # it has its types
    MessagesState,
)
from langgraph.graph.state import (  # pyright: ignore[reportMissingTypeStubs]  # it has its types
    StateGraph,
)
from langgraph.types import Command, interrupt

from ragkit.agents import Agent, approve, react, resume, rewoo, run
from ragkit.core.types import Json
from ragkit.testing.agents import (
    Does,
    RecordingTool,
    refers_to,
    says_action,
    says_finish,
    says_plan,
)
from ragkit.testing.llm import ScriptedLLM

NAMES = ("one", "two", "three")


def asks(name: str, done: list[str]) -> Does:
    async def ask(given: object) -> Json:
        answer = str(interrupt(f"{name}?"))
        done.append(f"{name}={answer}")
        return answer

    return ask


def asking(done: list[str], **options: Any) -> Agent:
    """An agent whose plan calls three tools that ask, and a fourth that needs the second."""
    tools = [RecordingTool(name=name, does=asks(name, done)) for name in NAMES]
    use = RecordingTool(name="use")
    plan = says_plan(*((name, {"text": ""}) for name in NAMES), ("use", {"text": refers_to("#E2")}))
    return rewoo(ScriptedLLM([plan, "ok"]), [*tools, use], **options)


@pytest.mark.parametrize("config", [{}, {"max_concurrency": 1}, {"max_concurrency": 2}])
async def test_steps_that_interrupt_get_their_own_answers_and_each_is_done_once(
    config: RunnableConfig,
) -> None:
    done: list[str] = []
    agent = asking(done, checkpointer=InMemorySaver())
    result = await run(agent, "Q", thread="t", config=config)
    asked = sorted(pending.reason for pending in result.pending)
    assert asked == (["one?"] if config.get("max_concurrency") == 1 else ["one?", "three?", "two?"])
    while result.pending:
        pending = result.pending[-1]
        answers = {pending.id: f"to {pending.reason}"}
        result = await resume(agent, "t", answers, config=config)
    assert sorted(done) == ["one=to one?", "three=to three?", "two=to two?"]
    shown = {step.name: step.result for step in result.steps if step.kind == "tool"}
    assert shown == {**{name: f"to {name}?" for name in NAMES}, "use": "use:to two?"}


@pytest.mark.parametrize("config", [{}, {"max_concurrency": 1}])
async def test_calls_approved_together_are_all_made(config: RunnableConfig) -> None:
    send = RecordingTool(name="send", permission="approve")
    plan = says_plan(*(("send", {"text": text}) for text in "abc"))
    agent = rewoo(ScriptedLLM([plan, "ok"]), [send], checkpointer=InMemorySaver())
    waiting = await run(agent, "Q", thread="t", config=config)
    answers = {one.id: approve() for one in waiting.pending}
    assert (await resume(agent, "t", answers, config=config)).answer == "ok"
    assert sorted(str(arguments["text"]) for arguments, _ in send.calls) == ["a", "b", "c"]


def test_in_a_synchronous_graph_too() -> None:
    done: list[str] = []
    agent: Any = asking(done, checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "t"}}
    output = agent.invoke({"question": "Q"}, config)
    while waiting := output.get("__interrupt__"):
        latest = waiting[-1]
        output = agent.invoke(Command(resume={latest.id: f"to {latest.value}"}), config)
    assert sorted(done) == ["one=to one?", "three=to three?", "two=to two?"]
    assert output["answer"] == "ok"


async def test_within_a_graph_of_ones_own_each_interrupt_is_shown_once() -> None:
    done: list[str] = []
    graph: Any = StateGraph(MessagesState)
    graph.add_node("agent", asking(done))
    graph.add_edge(START, "agent")
    graph.add_edge("agent", END)
    made = graph.compile(checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "t"}}
    await made.ainvoke({"messages": [("user", "Q")]}, config)
    while waiting := (await made.aget_state(config)).interrupts:
        assert len({one.id for one in waiting}) == len(waiting)
        latest = waiting[0]
        await made.ainvoke(Command(resume={latest.id: f"to {latest.value}"}), config)
    assert sorted(done) == ["one=to one?", "three=to three?", "two=to two?"]


async def test_sub_agents_of_one_plan_keep_their_own_answers_and_approvals() -> None:
    sent = RecordingTool(name="send", permission="approve")

    def agent_tool(name: str) -> RecordingTool:
        replies = [says_action("", ("send", {"text": name})), says_finish(f"{name} is done")]
        inner: Any = react(ScriptedLLM(replies), [sent])

        async def ask(_: object) -> Json:
            return cast("Json", (await inner.ainvoke({"question": name}))["answer"])

        return RecordingTool(name=name, does=ask)

    plan = says_plan(("ann", {"text": ""}), ("ben", {"text": ""}))
    tools = [agent_tool("ann"), agent_tool("ben")]
    agent = rewoo(ScriptedLLM([plan, "ok"]), tools, checkpointer=InMemorySaver())
    result = await run(agent, "Q", thread="t")
    assert sorted(str(one.arguments["text"]) for one in result.pending) == ["ann", "ben"]
    while result.pending:
        result = await resume(agent, "t", {result.pending[-1].id: approve()})
    assert sorted(str(arguments["text"]) for arguments, _ in sent.calls) == ["ann", "ben"]
    shown = {step.name: step.result for step in result.steps if step.kind == "tool"}
    assert shown == {"ann": "ann is done", "ben": "ben is done"}


async def test_a_step_that_is_done_is_not_done_again_by_another_process() -> None:
    saver, done = InMemorySaver(), list[str]()
    write = RecordingTool(name="save", permission="write", repeatable=False)
    ask = RecordingTool(name="ask", does=asks("ask", done))
    plan = says_plan(
        ("save", {"text": "a"}), ("ask", {"text": ""}), ("save", {"text": refers_to("#E1")})
    )

    def made(replies: Sequence[str]) -> Agent:  # each with a journal of its own
        options: Any = {"approvals": "never", "checkpointer": saver}
        return rewoo(ScriptedLLM(list(replies)), [write, ask], **options)

    first = await run(made([plan]), "Q", thread="t")
    (pending,) = first.pending
    result = await resume(made(["ok"]), "t", {pending.id: "yes"})
    assert (result.answer, done) == ("ok", ["ask=yes"])
    assert [arguments["text"] for arguments, _ in write.calls] == ["a", "save:a"]
    assert [step.failed for step in result.steps if step.kind == "tool"] == [False] * 3


async def test_no_more_steps_than_allowed_run_at_the_same_time() -> None:
    running = most = 0
    together = asyncio.Event()

    async def slow(_: object) -> Json:
        nonlocal running, most
        running += 1
        most = max(most, running)
        if running == 2:
            together.set()
        await together.wait()
        await asyncio.sleep(0.01)  # one too many would begin now
        running -= 1
        return "ok"

    plan = says_plan(*(("slow", {"text": str(n)}) for n in range(5)))
    agent = rewoo(ScriptedLLM([plan, "ok"]), [RecordingTool(name="slow", does=slow)], parallel=2)
    assert (await run(agent, "Q")).answer == "ok"
    assert most == 2
