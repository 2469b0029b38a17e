import pytest
from pydantic import BaseModel

from ragkit.agents import (
    Agent,
    Budget,
    plan_and_execute,
    react,
    reflect,
    rewoo,
    run,
    self_consistency,
)
from ragkit.agents.final_answer import evidence_of, without_model
from ragkit.agents.options import agent_context
from ragkit.agents.state import AgentState, Record
from ragkit.core.errors import ProviderError
from ragkit.core.types import Usage
from ragkit.testing.agents import RecordingTool, count_bytes, says_action, says_finish, says_plan
from ragkit.testing.llm import ScriptedCall, ScriptedLLM


async def test_when_the_steps_are_spent_the_last_one_answers_and_is_told_why() -> None:
    llm = ScriptedLLM(
        [
            says_action("", ("a", {"text": "1"})),
            says_action("", ("a", {"text": "2"})),
            "So far: 1, 2.",
        ]
    )
    result = await run(react(llm, [RecordingTool(name="a")], budget=Budget(steps=3)), "Q")
    assert (result.answer, result.stopped_by) == ("So far: 1, 2.", "steps")
    assert len(llm.calls) == 3
    assert "steps of its budget are used up" in llm.calls[-1].prompt


async def test_with_too_few_tokens_for_any_call_none_is_made() -> None:
    llm = ScriptedLLM([])
    agent = react(
        llm, [RecordingTool(name="a")], budget=Budget(tokens=300), count_tokens=count_bytes
    )
    result = await run(agent, "Q")
    assert (result.stopped_by, result.steps, result.usage) == ("tokens", (), Usage())
    assert "the tokens of its budget are used up, and nothing was found" in result.answer


async def test_a_model_that_fails_ends_the_run_with_the_evidence() -> None:
    def reply(call: ScriptedCall) -> str:
        if len(llm.calls) > 1:
            raise ProviderError("the server is gone", provider="test", retryable=True)
        return says_action("", ("a", {"text": "x"}))

    llm = ScriptedLLM(reply)
    result = await run(react(llm, [RecordingTool(name="a")]), "Q")
    assert result.stopped_by == "model"
    assert "a:x" in result.answer
    assert result.steps[-1].error == "the server is gone"


def test_without_the_model_the_answer_shows_the_evidence_within_its_room() -> None:
    text = without_model([("a 1.1", "short"), ("b 1.2", "x" * 5000)], "its time is over")
    assert text.startswith("There is no written answer: its time is over.")
    assert "- a 1.1: short" in text
    assert len(text) < 2200
    assert "nothing was found before" in without_model([], "its time is over")


def test_each_result_is_evidence_once_and_failures_are_not() -> None:
    records = [
        Record(id="1.1", kind="tool", name="a", result="r"),
        Record(id="1.2", kind="tool", name="b", result="r"),
        Record(id="1.3", kind="tool", name="c", result="f", failed=True),
        Record(id="2", kind="model", name="react", reply="r"),
    ]
    state = AgentState(asked="Q", trace=records, texts={"r": "found", "f": "gone"})
    turn = agent_context("react", ScriptedLLM([]), tools=[], prompts=("react",), options={}).turn(
        state
    )
    assert evidence_of(turn) == [("a 1.1", "found")]


class Invoice(BaseModel):
    """A result of one's own."""

    number: int
    item: str


INVOICE = '{"number":7,"item":"lamp"}'


def typed(pattern: str) -> tuple[Agent, ScriptedLLM]:
    """An agent of this pattern that ends with an invoice, and its model."""
    look, verdict = (
        RecordingTool(name="look"),
        '{"criteria":[{"reason":"r","met":true}],"advice":""}',
    )
    tasks = '{"thought":"","steps":[{"task":"Look.","needs":[]}]}'
    drafts = {
        "react": [says_action("", ("look", {"text": "x"})), says_finish("A lamp, number 7.")],
        "rewoo": [says_plan(("look", {"text": "x"}))],
        "plan": [tasks, says_finish("A lamp, number 7.")],
        "reflect": [verdict],
        "consistency": ['{"reasoning":"r","answer":"A lamp, number 7."}'],
    }
    llm = ScriptedLLM([*drafts[pattern], INVOICE])
    match pattern:
        case "react":
            return react(llm, [look], output=Invoice), llm
        case "rewoo":
            return rewoo(llm, [look], output=Invoice), llm
        case "plan":
            return plan_and_execute(llm, [look], output=Invoice), llm
        case "reflect":
            inner = react(ScriptedLLM([says_finish("A lamp, number 7.")]), [])
            return reflect(inner, "Good.", llm=llm, output=Invoice), llm
        case _:
            return self_consistency(llm, samples=1, output=Invoice), llm


@pytest.mark.parametrize("pattern", ["react", "rewoo", "plan", "reflect", "consistency"])
async def test_a_result_of_ones_own_type_is_decoded_under_its_grammar(pattern: str) -> None:
    agent, llm = typed(pattern)
    result = await run(agent, "Which invoice?")
    assert result.structured_response == {"number": 7, "item": "lamp"}
    assert (result.answer, result.stopped_by) == (INVOICE, "finished")
    assert llm.calls[-1].grammar is not None
    if pattern != "rewoo":
        assert "A lamp, number 7." in llm.calls[-1].prompt


async def test_a_result_that_the_budget_does_not_allow_is_missing_and_said() -> None:
    llm = ScriptedLLM([])
    agent = react(llm, [], output=Invoice, budget=Budget(tokens=100), count_tokens=count_bytes)
    result = await run(agent, "Which invoice?")
    assert (result.structured_response, result.stopped_by) == (None, "tokens")
