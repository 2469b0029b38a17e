import asyncio
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragkit.agents import Budget, react, reflect, run, stream
from ragkit.agents.events import AnswerText
from ragkit.core.errors import InputError
from ragkit.testing.agents import RecordingTool, count_bytes, says_action
from ragkit.testing.llm import ScriptedLLM, random_replies

RUBRIC = ("Names a number.", "Is one sentence.")


def verdict(*met: bool) -> str:
    criteria = [{"reason": f"reason {n}", "met": one} for n, one in enumerate(met, 1)]
    return json.dumps({"criteria": criteria, "advice": "Name it."}, separators=(",", ":"))


def answering(text: str) -> ScriptedLLM:
    return ScriptedLLM(
        [says_action("", ("look", {"text": "x"})), says_action("", ("finish", {"answer": text}))]
    )


async def test_an_answer_is_revised_until_it_meets_the_rubric() -> None:
    judge = ScriptedLLM([verdict(False, True), "It is 7.", verdict(True, True)])
    agent = react(answering("Some number."), [RecordingTool(name="look")])
    result = await run(reflect(agent, RUBRIC, llm=judge), "Which?")
    assert (result.answer, result.stopped_by) == ("It is 7.", "finished")
    assert "1. Names a number.\n2. Is one sentence." in judge.calls[0].messages[0].content
    assert "look:x" in judge.calls[0].prompt
    assert "Some number." in judge.calls[0].messages[1].content
    assert "reason 1" in judge.calls[1].prompt
    assert "reason 2" not in judge.calls[1].prompt
    assert [step.name for step in result.steps if step.depth == 0] == [
        "attempt", "critique", "revise", "critique",
    ]  # fmt: skip


async def test_after_the_last_revision_the_answer_that_met_most_counts() -> None:
    judge = ScriptedLLM([verdict(True, False), "Worse.", verdict(False, False)])
    agent = react(answering("First."), [RecordingTool(name="look")])
    result = await run(reflect(agent, RUBRIC, llm=judge, revisions=1), "Which?")
    assert result.answer == "First."
    assert len(judge.calls) == 3


@pytest.mark.parametrize("worse", [False, True])
async def test_only_the_draft_that_becomes_the_answer_is_shown_in_one_piece(worse: bool) -> None:
    judge = ScriptedLLM([verdict(True, False), "Revised.", verdict(not worse, not worse)])
    agent = react(answering("First."), [RecordingTool(name="look")])
    events = [one async for one in stream(reflect(agent, RUBRIC, llm=judge, revisions=1), "Which?")]
    shown = [event.text for event in events if isinstance(event, AnswerText)]
    assert shown == ["First." if worse else "Revised."]


def test_a_rubric_without_a_criterion_is_refused() -> None:
    with pytest.raises(InputError, match="at least one criterion"):
        reflect(react(ScriptedLLM([]), []), " ", llm=ScriptedLLM([]))


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6), steps=st.integers(1, 8), tokens=st.integers(300, 40_000))
def test_reflection_never_exceeds_its_budget(seed: int, steps: int, tokens: int) -> None:
    llm = ScriptedLLM(random_replies(seed, ending=0.6))
    inner = react(llm, [RecordingTool(name="look")], count_tokens=count_bytes, answer_tokens=200)
    agent = reflect(
        inner, RUBRIC, llm=llm, count_tokens=count_bytes, answer_tokens=200,
        budget=Budget(steps=steps, tokens=tokens, seconds=5),
    )  # fmt: skip
    result = asyncio.run(asyncio.wait_for(run(agent, "What?"), timeout=20))
    assert result.answer
    assert len([step for step in result.steps if step.kind == "model"]) <= steps
    assert result.usage.prompt + result.usage.completion <= tokens


async def test_a_revision_may_use_the_tools_again() -> None:
    judge = ScriptedLLM([verdict(False, True), verdict(True, True)])
    replies = [
        says_action("", ("finish", {"answer": "Some."})),
        says_action("", ("look", {"text": "number"})),
        says_action("", ("finish", {"answer": "It is 7."})),
    ]
    llm, tool = ScriptedLLM(replies), RecordingTool(name="look")
    agent = reflect(react(llm, [tool]), RUBRIC, llm=judge, use_tools=True)
    result = await run(agent, "Which?")
    assert (result.answer, result.stopped_by) == ("It is 7.", "finished")
    assert [arguments["text"] for arguments, _ in tool.calls] == ["number"]
    asked = llm.calls[1].messages[1].content
    assert "Some." in asked
    assert "reason 1" in asked
    assert "look:number" in judge.calls[1].prompt
    assert [step.name for step in result.steps if step.depth == 0] == [
        "attempt", "critique", "revise", "critique",
    ]  # fmt: skip
