import json

from ragkit.agents import Budget, run, self_consistency, stream
from ragkit.agents.events import AnswerText
from ragkit.testing.llm import ScriptedLLM


def compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


async def test_the_answer_most_often_reached_wins_and_the_cost_of_all_is_counted() -> None:
    answers = iter(["8", "It is 7", "it is 7.", "9", "8!", "It is 7"])
    llm = ScriptedLLM(lambda _: compact({"reasoning": "r", "answer": next(answers)}))
    result = await run(self_consistency(llm, samples=6), "Which?")
    assert result.answer == "It is 7"
    assert llm.calls[0].options.get("n") == 6
    assert llm.calls[0].options.get("temperature") == 0.8
    assert "3 of 6 replies" in result.tree()
    assert result.usage.completion > 6 * len('{"reasoning":"r","answer":"8"}')


async def test_a_budget_too_small_for_the_samples_says_so() -> None:
    result = await run(self_consistency(ScriptedLLM([]), budget=Budget(tokens=60)), "Which?")
    assert result.stopped_by == "tokens"
    assert result.answer


async def test_the_answer_that_won_is_shown_in_one_piece() -> None:
    answers = iter(["8", "7", "7"])
    llm = ScriptedLLM(lambda _: compact({"reasoning": "r", "answer": next(answers)}))
    events = [event async for event in stream(self_consistency(llm, samples=3), "Which?")]
    assert [event.text for event in events if isinstance(event, AnswerText)] == ["7"]
