import logging
from pathlib import Path
from typing import Any, TypedDict

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.constants import END, START
from langgraph.graph.state import (  # pyright: ignore[reportMissingTypeStubs]  # it has its types
    StateGraph,
)

from ragkit.agents import MemoryJournal, explain, react, resume, run, stream, tree_of_thought
from ragkit.agents.approval import approve
from ragkit.agents.events import AnswerText, Called, Finished, Observed, Thought, Used
from ragkit.core.errors import ConfigError, InputError
from ragkit.testing.agents import RecordingTool, says_action, says_finish
from ragkit.testing.llm import ScriptedCall, ScriptedLLM


async def test_the_events_of_a_run_come_in_order_and_thoughts_in_pieces() -> None:
    llm = ScriptedLLM(
        [
            says_action("A thought of some length.", ("a", {"text": "x"})),
            says_finish("The end of it."),
        ]
    )
    events = [event async for event in stream(react(llm, [RecordingTool(name="a")]), "Q")]
    thought = [event.text for event in events if isinstance(event, Thought) and event.step == "1"]
    assert len(thought) > 1
    assert "".join(thought) == "A thought of some length."
    assert (
        "".join(event.text for event in events if isinstance(event, AnswerText)) == "The end of it."
    )
    kinds = [type(event) for event in events if not isinstance(event, Thought | AnswerText)]
    assert kinds == [Used, Called, Observed, Used, Finished]


async def test_resuming_needs_a_checkpointer_a_stopped_run_and_a_decision() -> None:
    llm = ScriptedLLM([says_action("", ("send", {"text": "1"}))])
    send = RecordingTool(name="send", permission="approve")
    with pytest.raises(ConfigError, match="checkpointer"):
        await resume(react(llm, [send]), "t", approve())
    agent = react(llm, [send], checkpointer=InMemorySaver())
    with pytest.raises(InputError, match="nothing to resume"):
        await resume(agent, "t", approve())
    await run(agent, "Q", thread="t")
    with pytest.raises(InputError, match="waits for a decision"):
        await resume(agent, "t")


async def test_a_thread_remembers_earlier_questions() -> None:
    llm = ScriptedLLM([says_finish("It is blue."), says_finish("As I said.")])
    agent = react(llm, [RecordingTool(name="a")], checkpointer=InMemorySaver())
    await run(agent, "What colour?", thread="t")
    second = await run(agent, "Again?", thread="t")
    assert "What colour?" in llm.calls[1].prompt
    assert "It is blue." in llm.calls[1].prompt
    assert len(second.steps) == 1


async def test_checkpoints_of_sqlite_bring_a_run_back_without_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def reply(call: ScriptedCall) -> str:
        return (
            says_action("", ("a", {"text": "x"}), ("send", {"text": "y"}))
            if len(call.messages) == 2
            else says_finish("ok")
        )

    send = RecordingTool(name="send", permission="approve")
    look = RecordingTool(name="a", does=lambda _: {"n": 2**70, "bad": "\ud800"})
    journal = MemoryJournal()
    with caplog.at_level(logging.WARNING):
        for turn in range(2):
            async with AsyncSqliteSaver.from_conn_string(str(tmp_path / "c.db")) as saver:
                agent = react(ScriptedLLM(reply), [look, send], checkpointer=saver, journal=journal)
                if turn == 0:
                    await run(agent, "Q", thread="t")
                else:
                    assert (await resume(agent, "t", approve())).answer == "ok"
    assert len(look.calls) == len(send.calls) == 1
    assert not caplog.records


async def test_checkpoints_do_not_keep_a_document_again_at_each_step(tmp_path: Path) -> None:
    replies = [says_action("", ("a", {"text": f"number {n}"})) for n in range(8)]
    tool = RecordingTool(name="a", does=lambda given: f"MARK {given['text']} " + "words " * 200)
    async with AsyncSqliteSaver.from_conn_string(str(tmp_path / "c.db")) as saver:
        llm = ScriptedLLM([*replies, says_finish("ok")])
        agent = react(llm, [tool], checkpointer=saver)
        assert (await run(agent, "Q", thread="t")).answer == "ok"
        state = await agent.aget_state({"configurable": {"thread_id": "t"}})
        assert len(state.values["trace"]) == 17
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    # Once as the result, once within the message that showed it, and perhaps a page left behind.
    assert 1 <= kept.count(b"MARK number 0") <= 4


def test_only_agents_can_be_explained() -> None:
    graph: Any = StateGraph(State)
    graph.add_node("a", lambda state: state)  # pyright: ignore[reportUnknownLambdaType]
    graph.add_edge(START, "a")
    with pytest.raises(InputError, match="no agent of ragkit"):
        explain(graph.compile())


class State(TypedDict, total=False):
    question: str
    answer: str
    loud: str


async def test_an_agent_is_a_node_of_a_graph_of_ones_own() -> None:
    def shout(state: State) -> State:
        return {"loud": state.get("answer", "").upper()}

    graph: Any = StateGraph(State)
    graph.add_node("agent", react(ScriptedLLM([says_finish("quiet")]), [RecordingTool(name="a")]))
    graph.add_node("shout", shout)
    graph.add_edge(START, "agent")
    graph.add_edge("agent", "shout")
    graph.add_edge("shout", END)
    state = await graph.compile().ainvoke({"question": "Q"})
    assert state == {"question": "Q", "answer": "quiet", "loud": "QUIET"}


def test_explain_lists_the_prompts_and_they_can_be_replaced() -> None:
    agent = tree_of_thought(ScriptedLLM([]), prompts={"conclude": "Answer in verse."})
    explained = explain(agent)
    assert explained.pattern == "tree_of_thought"
    assert explained.prompts["conclude"] == "Answer in verse."
    assert set(explained.prompts) == {"propose", "rate", "conclude", "thoughts"}
    assert "Answer in verse." in str(explained)
