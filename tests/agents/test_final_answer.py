from ragkit.agents import Budget, react, run
from ragkit.agents.agent import agent_context
from ragkit.agents.final_answer import evidence_of, without_model
from ragkit.agents.state import AgentState, Record
from ragkit.core.errors import ProviderError
from ragkit.core.types import Usage
from ragkit.testing.agents import RecordingTool, count_bytes, says_action
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
