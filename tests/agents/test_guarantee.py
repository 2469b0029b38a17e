"""Agents of models that know no grammars: replies are checked, and asked for again once."""

from typing import Any

import pytest

from ragkit.agents import Budget, plan_and_execute, react, rewoo, run, stream
from ragkit.agents.events import AnswerText, Thought
from ragkit.core.errors import InputError, ProviderError
from ragkit.testing.agents import RecordingTool, count_bytes, says_action, says_finish, says_plan
from ragkit.testing.llm import FailingLLM, ScriptedLLM

WRONG = says_action("Hm.", ("look", {"text": 7}))


def unheld(*replies: str) -> ScriptedLLM:
    return ScriptedLLM(replies, guarantee="schema")


async def test_a_reply_that_breaks_its_schema_is_asked_for_again_and_the_trace_says_so() -> None:
    look = RecordingTool(name="look")
    llm = unheld(WRONG, says_action("Now.", ("look", {"text": "x"})), says_finish("ok"))
    result = await run(react(llm, [look]), "Q")
    assert (result.answer, [given["text"] for given, _ in look.calls]) == ("ok", ["x"])
    models = [step for step in result.steps if step.kind == "model"]
    assert [step.guarantee for step in models] == ["schema"] * 3
    assert [bool(step.error) for step in models] == [True, False, False]
    assert [list(step.prompt) for step in models] == [list(call.messages) for call in llm.calls]
    completions = [step.usage.completion for step in models if step.usage]
    assert result.usage.completion == sum(completions)
    assert "schema" in result.tree()
    held = await run(react(ScriptedLLM([says_finish("ok")]), [look]), "Q")
    assert held.steps[0].guarantee == "grammar"


async def test_what_was_shown_of_a_void_reply_is_not_taken_for_the_next_one() -> None:
    llm = unheld('{"thought":"Void', says_finish("The answer.", thought="Good."))
    events = [event async for event in stream(react(llm, [RecordingTool(name="look")]), "Q")]
    assert "".join(e.text for e in events if isinstance(e, AnswerText)) == "The answer."
    assert "".join(e.text for e in events if isinstance(e, Thought)).endswith("Good.")


async def test_two_replies_that_break_it_are_a_turn_in_which_nothing_is_called() -> None:
    look = RecordingTool(name="look")
    llm = unheld(WRONG, WRONG, says_finish("ok"))
    result = await run(react(llm, [look]), "Q")
    assert (result.answer, len(look.calls)) == ("ok", 0)
    assert "'type' at '/text'" in result.steps[0].error
    assert "break their schema" in result.steps[1].error
    assert "could not be read" in llm.calls[2].prompt


async def test_each_of_these_calls_counts_as_a_step() -> None:
    llm = unheld(WRONG, says_action("", ("look", {"text": "x"})), "From what I saw.")
    result = await run(react(llm, [RecordingTool(name="look")], budget=Budget(steps=3)), "Q")
    assert (result.answer, result.stopped_by) == ("From what I saw.", "steps")


async def test_calls_that_both_fail_their_check_count_too() -> None:
    llm = ScriptedLLM(lambda call: WRONG if call.grammar else "So far.", guarantee="schema")
    result = await run(react(llm, [RecordingTool(name="look")], budget=Budget(steps=4)), "Q")
    assert (result.answer, result.stopped_by, len(llm.calls)) == ("So far.", "steps", 4)


@pytest.mark.parametrize("tokens", range(5000, 12_001, 1000))
async def test_they_stay_within_the_tokens(tokens: int) -> None:
    wrong = says_action("h" * 500, ("look", {"text": 7}))
    llm = ScriptedLLM(lambda call: wrong if call.grammar else "So far.", guarantee="schema")
    budget = Budget(steps=None, tokens=tokens)
    options: Any = {"reply_tokens": 600, "answer_tokens": 100, "count_tokens": count_bytes}
    result = await run(react(llm, [RecordingTool(name="look")], budget=budget, **options), "Q")
    assert result.stopped_by == "tokens"
    assert result.usage.prompt + result.usage.completion <= tokens


async def test_a_reply_is_not_asked_for_again_where_no_step_is_left() -> None:
    llm = unheld(WRONG, "From what I saw.")
    result = await run(react(llm, [RecordingTool(name="look")], budget=Budget(steps=2)), "Q")
    assert (result.answer, result.stopped_by) == ("From what I saw.", "steps")
    assert len(llm.calls) == 2


@pytest.mark.parametrize("make", [rewoo, plan_and_execute])
async def test_plans_are_checked_too(make: object) -> None:
    look = RecordingTool(name="look")
    if make is rewoo:
        agent = rewoo(unheld("{}", says_plan(("look", {"text": "x"})), "ok"), [look])
    else:
        tasks = '{"thought":"","steps":[{"task":"Look.","needs":[]}]}'
        executor = unheld(says_action("", ("look", {"text": "x"})), says_finish("seen"))
        agent = plan_and_execute(unheld("{}", tasks, "ok"), [look], executor=executor)
    assert (await run(agent, "Q")).answer == "ok"
    assert [given["text"] for given, _ in look.calls] == ["x"]


async def test_a_request_that_a_server_refuses_is_an_error_and_no_spent_budget() -> None:
    with pytest.raises(InputError, match="seed is bad"):
        await run(react(FailingLLM(InputError("seed is bad")), [RecordingTool(name="look")]), "Q")


async def test_a_server_that_refuses_grammars_is_an_error_with_the_way_out() -> None:
    refusal = ProviderError("no. Fix: use 'openai:...'.", provider="vllm", failure="no_grammar")
    with pytest.raises(ProviderError, match="Fix: use 'openai:"):
        await run(react(FailingLLM(refusal), [RecordingTool(name="look")]), "Q")
