import json
from collections.abc import Callable

import pytest

from ragkit.agents import Budget, run, self_consistency, stream, tree_of_thought
from ragkit.agents.agent import Agent
from ragkit.agents.events import AnswerText
from ragkit.core.protocols import LLM
from ragkit.testing.llm import ScriptedLLM, random_replies


def compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


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


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("5", "-5"), ("x > 3", "x < 3"), ("C", "C++"), ("5 €", "5 $"), ("5", "5!"), ("5", ".5"),
        ("\u0915\u093f", "\u0915\u093e"), ("x2", "x²"), ("5'", '5"'), ("Maße", "Masse"),
    ],
)  # fmt: skip
async def test_answers_that_differ_in_a_sign_do_not_agree(one: str, other: str) -> None:
    answers = iter([one, other, other])
    llm = ScriptedLLM(lambda _: compact({"reasoning": "", "answer": next(answers)}))
    result = await run(self_consistency(llm, samples=3), "Which?")
    assert result.answer == other
    assert result.steps[-1].result == f"2 of 3 replies say: {other}"


@pytest.mark.parametrize("other", ["paris", " Paris. ", '"Paris"', "“Paris.”", "PARIS."])
async def test_answers_agree_whatever_their_case_spaces_quotes_and_full_stop(other: str) -> None:
    answers = iter(["Rome", "Paris", other])
    llm = ScriptedLLM(lambda _: compact({"reasoning": "", "answer": next(answers)}))
    result = await run(self_consistency(llm, samples=3), "Which?")
    assert result.steps[-1].result == "2 of 3 replies say: Paris"


async def test_letters_agree_however_they_are_composed() -> None:
    answers = iter(["Rome", "Caf\u00e9", "Cafe\u0301"])
    llm = ScriptedLLM(lambda _: compact({"reasoning": "", "answer": next(answers)}))
    assert (await run(self_consistency(llm, samples=3), "Which?")).answer == "Caf\u00e9"


@pytest.mark.parametrize("pattern", [self_consistency, tree_of_thought])
async def test_equal_questions_have_equal_prompts_so_that_a_cache_knows_the_replies(
    pattern: Callable[[LLM], Agent],
) -> None:
    prompts: list[list[str]] = []
    for _ in range(2):
        llm = ScriptedLLM(random_replies(1))
        await run(pattern(llm), "What is 2+2?")
        prompts.append([call.prompt for call in llm.calls])
    assert prompts[0] == prompts[1]
