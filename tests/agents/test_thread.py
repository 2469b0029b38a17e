"""A second question in a thread, which sees the first and its answer in every pattern."""

import json
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver

from ragkit.agents import (
    Agent,
    Member,
    plan_and_execute,
    react,
    reflect,
    rewoo,
    run,
    self_consistency,
    team,
    tree_of_thought,
)
from ragkit.core.types import Json
from ragkit.testing.agents import RecordingTool, says_finish, says_plan
from ragkit.testing.llm import ScriptedCall, ScriptedLLM

LOOK = ("look", {"text": "x"})


def compact(value: Json) -> str:
    return json.dumps(value, separators=(",", ":"))


def paris(call: ScriptedCall) -> str:
    """A model that answers every question with Paris, in the form that its prompt asks for."""
    system = call.messages[0].content
    if call.grammar is None:
        return "Paris."
    if "Write the whole plan at once" in system:
        return says_plan(LOOK)
    if system.startswith("You plan"):
        return compact({"thought": "", "steps": [{"task": "Look.", "needs": []}]})
    if system.startswith("You judge"):
        return compact({"criteria": [{"reason": "r", "met": False}], "advice": "a"})
    if "Propose" in system:
        return compact({"thoughts": ["Paris"]})
    if system.startswith("You rate"):
        return compact({"ratings": [9]})
    if "Write your reasoning" in system:
        return compact({"reasoning": "r", "answer": "Paris."})
    return says_finish("Paris.")


def made(pattern: str, llm: ScriptedLLM) -> Agent:
    """An agent of a pattern with a memory of its threads."""
    options: Any = {"checkpointer": InMemorySaver()}
    tools = [RecordingTool(name="look")]
    match pattern:
        case "react":
            return react(llm, tools, **options)
        case "rewoo":
            return rewoo(llm, tools, **options)
        case "plan":
            return plan_and_execute(llm, tools, executor=ScriptedLLM(paris), **options)
        case "team":
            clerk = Member(agent=react(ScriptedLLM(paris), tools), does="Looks.")
            return team(llm, {"clerk": clerk}, **options)
        case "reflect":
            return reflect(react(llm, tools), "Good.", llm=llm, revisions=1, **options)
        case "reflect with tools":
            inner = react(llm, tools)
            return reflect(inner, "Good.", llm=llm, revisions=1, use_tools=True, **options)
        case "consistency":
            return self_consistency(llm, samples=1, **options)
        case _:
            return tree_of_thought(llm, width=1, keep=1, depth=1, **options)


@pytest.mark.parametrize(
    "pattern",
    [
        "react", "rewoo", "plan", "team", "reflect", "reflect with tools", "consistency", "tree",
    ],
)  # fmt: skip
async def test_every_call_of_a_second_question_sees_the_first_and_its_fenced_answer(
    pattern: str,
) -> None:
    llm = ScriptedLLM(paris)
    agent = made(pattern, llm)
    await run(agent, "Capital of France?", thread="t")
    before = len(llm.calls)
    assert (await run(agent, "And its population?", thread="t")).answer == "Paris."
    assert len(llm.calls) > before
    for call in llm.calls[before:]:
        asked = call.messages[1].content
        code = asked.partition("The code of data marks is ")[2].split(".")[0]
        assert "Question: Capital of France?" in asked
        fenced = f"Answer: <data {code} answer of {agent.name}>\nParis."
        assert "Answer: Paris." in asked or fenced in asked
        assert "Question: And its population?" in asked
        assert "Text between `<data CODE ...>`" in call.messages[0].content


async def test_an_agent_that_reflects_keeps_the_earlier_messages_to_its_own_thread_once() -> None:
    agent = made("reflect", ScriptedLLM(paris))
    for question in ("One?", "Two?", "Three?"):
        await run(agent, question, thread="t")
    state = await agent.aget_state({"configurable": {"thread_id": "t"}})
    texts = [message.content for message in state.values["messages"]]
    assert texts == ["One?", "Paris.", "Two?", "Paris.", "Three?", "Paris."]
