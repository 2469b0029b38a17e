"""Replies are as long as the tokens allow; one that is cut is asked for again, or said to be."""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import replace
from typing import Any

import pytest
from langchain_core.messages import AIMessageChunk

from ragkit.agents import Budget, plan_and_execute, react, rewoo, run, stream
from ragkit.agents.events import AnswerText, Finished, Noticed
from ragkit.agents.tool_call import fills, full_arguments
from ragkit.core.errors import InputError
from ragkit.core.types import Delta, Json
from ragkit.grammar import Limits, StepReference, StepText, ToolSpec, action_grammar
from ragkit.llm.call import Call
from ragkit.llm.messages import messages_of
from ragkit.testing.agents import (
    RecordingTool,
    count_bytes,
    says_action,
    says_finish,
    says_plan,
)
from ragkit.testing.llm import ScriptedCall, ScriptedLLM, random_replies

CODE: dict[str, Json] = {
    "type": "object",
    "properties": {"code": {"type": "string"}},
    "required": ["code"],
    "additionalProperties": False,
}
LINES = "".join(f"x{n} = {n} * {n}  # a line of code\n" for n in range(200))[:4000]


def python() -> RecordingTool:
    return RecordingTool(name="python", parameters=CODE, does=lambda _: "ran")


def scripted(*replies: str) -> ScriptedLLM:
    return ScriptedLLM(replies)


async def test_code_and_an_answer_of_4000_characters_fit_8192_tokens() -> None:
    llm, tool = scripted(says_action("", ("python", {"code": LINES})), says_finish(LINES)), python()
    result = await run(react(llm, [tool, RecordingTool(name="other")], reply_tokens=8192), "Q")
    assert [arguments["code"] for arguments, _ in tool.calls] == [LINES]
    assert (result.answer, result.stopped_by, len(llm.calls)) == (LINES.strip(), "finished", 2)


async def test_so_they_do_in_a_plan() -> None:
    llm, tool = scripted(says_plan(("python", {"code": LINES})), "ok"), python()
    assert (await run(rewoo(llm, [tool]), "Q")).answer == "ok"
    assert [arguments["code"] for arguments, _ in tool.calls] == [LINES]


async def test_a_reply_that_is_cut_is_asked_for_again_in_fewer_calls_then_shorter_texts() -> None:
    long = says_action("", *(("python", {"code": "y" * 900}) for _ in range(4)))
    llm = scripted(long, says_action("", ("python", {"code": "z"})), says_finish("Done."))
    tool = python()
    agent = react(llm, [tool], reply_tokens=2000, count_tokens=count_bytes)
    events = [event async for event in stream(agent, "Q")]
    last = events[-1]
    assert isinstance(last, Finished)
    result = last.result
    assert (result.answer, len(tool.calls)) == ("Done.", 1)
    first, again = llm.calls[:2]
    assert first.grammar is not None
    assert not {"string_length", "items"} & first.grammar.bounds.keys()
    assert "longer than 2,000 tokens" in again.messages[-1].content
    assert again.grammar is not None
    bounds = again.grammar.bounds
    assert f"{bounds['calls']:,} calls" in again.messages[-1].content
    assert f"{bounds['string_length']:,} characters in a text" in again.messages[-1].content
    assert len(again.messages) == len(first.messages)
    assert again.grammar.max_tokens <= 2000
    assert any(isinstance(event, Noticed) and "cut at" in event.text for event in events)
    assert [step.error for step in result.steps if step.error] == [
        "It was cut at its limit of 2,000 tokens."
    ]
    models = [step for step in result.steps if step.kind == "model"]
    assert [list(step.prompt) for step in models] == [list(call.messages) for call in llm.calls]
    assert next(step.usage.completion for step in models if step.usage) == 2000
    assert result.usage.completion == sum(s.usage.completion for s in models if s.usage)


async def test_where_no_second_call_is_left_the_reply_is_held_to_its_tokens() -> None:
    llm = scripted(says_action("", ("python", {"code": "z"})), "From what I saw.")
    agent = react(llm, [python()], budget=Budget(steps=2), reply_tokens=2000)
    assert (await run(agent, "Q")).answer == "From what I saw."
    grammar: Any = llm.calls[0].grammar
    assert grammar.max_tokens <= 2000


async def test_the_answer_of_a_second_call_streams_as_a_message_of_its_own() -> None:
    llm = scripted(says_finish("w" * 3000), says_finish("Short."))
    agent: Any = react(llm, [python()], reply_tokens=2000)
    chunks: list[AIMessageChunk] = []
    last: dict[str, Any] = {}
    async for mode, part in agent.astream({"question": "Q"}, stream_mode=["messages", "values"]):
        if mode == "values":
            last = part
        elif isinstance(part[0], AIMessageChunk):
            chunks.append(part[0])
    final = last["messages"][-1]
    assert "".join(str(one.content) for one in chunks if one.id == final.id) == "Short."
    assert any(one.id != final.id for one in chunks)
    assert (final.content, last["answer"]) == ("Short.", "Short.")


async def test_strict_is_one_call_that_always_fits() -> None:
    llm = scripted(says_action("", ("python", {"code": "z"})), says_finish("Done."))
    agent = react(llm, [python()], reply_tokens=2000, decoding={"strict": True})
    assert (await run(agent, "Q")).answer == "Done."
    assert all(call.grammar and call.grammar.max_tokens <= 2000 for call in llm.calls)


async def test_a_budget_with_room_for_two_calls_has_the_first_one_wide() -> None:
    long = says_action("", ("python", {"code": "y" * 3000}))
    llm = scripted(long, says_action("", ("python", {"code": "z"})), "From what I saw.")
    agent = react(llm, [python()], budget=Budget(steps=3), reply_tokens=2000)
    result = await run(agent, "Q")
    assert (result.answer, result.stopped_by) == ("From what I saw.", "steps")
    wide, strict = [call.grammar for call in llm.calls[:2]]
    assert wide is not None
    assert strict is not None
    assert "string_length" not in wide.bounds
    assert strict.max_tokens <= 2000


async def test_the_usage_of_a_reply_that_cannot_be_made_short_enough_counts() -> None:
    least = "y" * 3000
    schema: dict[str, Json] = {
        **CODE,
        "properties": {"code": {"type": "string", "minLength": 3000}},
    }
    tool = RecordingTool(name="python", parameters=schema)
    llm = scripted(says_action("", ("python", {"code": least})), "So far.")
    result = await run(react(llm, [tool], reply_tokens=2000), "Q")
    assert result.answer == "So far."
    assert result.usage.completion > 2000
    assert "cut at its limit" in result.steps[0].error


async def test_a_text_that_fills_what_the_model_was_held_to_is_not_used_either() -> None:
    def reply(call: ScriptedCall) -> str:
        grammar: Any = call.grammar
        if grammar is None:
            return "From what I saw."
        return says_action("", ("python", {"code": "w" * grammar.limits.string_length}))

    tool = python()
    agent = react(ScriptedLLM(reply), [tool], budget=Budget(steps=2), reply_tokens=2000)
    result = await run(agent, "Q")
    assert not tool.calls
    assert "code reached the most characters" in result.steps[1].result


def test_fewer_calls_come_before_shorter_texts() -> None:
    spec = ToolSpec(name="python", description="", parameters=CODE)
    grammar = action_grammar([spec], max_calls=4)
    fits = [grammar.fit(tokens).limits for tokens in (20_000, 14_000, 9_000)]
    assert [(one.calls, one.string_length) for one in fits] == [(2, 1024), (2, 1024), (1, 1024)]
    assert grammar.fit(6_000).limits.string_length == 512


@pytest.mark.parametrize("where", ["call", "answer", "plan"])
async def test_a_text_that_fills_its_bound_is_not_used_in_silence(where: str) -> None:
    limits, full = Limits(string_length=300), "w" * 300
    tool, save = python(), RecordingTool(name="save")
    if where == "plan":
        replies = (says_plan(("python", {"code": full})), says_plan(("save", {"text": "x"})), "ok")
        llm = scripted(*replies)
        await run(rewoo(llm, [tool, save], limits=limits), "Q")
        assert "code of #E1 may be cut" in llm.calls[1].prompt
        assert (len(tool.calls), len(save.calls)) == (0, 1)
        return
    if where == "call":
        llm = scripted(says_action("", ("python", {"code": full})), says_finish("ok"))
    else:
        llm = scripted(says_finish("w" * 1200), "The whole answer.")
    result = await run(react(llm, [tool, save], limits=limits), "Q")
    assert not tool.calls
    if where == "call":
        (step,) = [step for step in result.steps if step.kind == "tool"]
        assert step.failed
        assert "code reached the most characters" in step.result
    else:
        assert result.answer == "The whole answer."
        assert "answer, its end cut off" in llm.calls[1].prompt
    assert "at most 300 characters" in llm.calls[0].prompt


@pytest.mark.parametrize(
    "value",
    [
        ["short", "w" * 300],
        {"text": "w" * 300},
        [{"lines": ["w" * 300]}],
        StepText(parts=("w" * 300, StepReference(ref="#E1", path=()))),
    ],
)
def test_a_text_within_a_value_may_be_cut_too(value: object) -> None:
    arguments = {"body": value, "note": "w" * 100}
    assert full_arguments(arguments, python(), Limits(string_length=300)) == ["body"]
    assert full_arguments(arguments, python(), None) == []


def test_a_bound_of_the_schema_counts_within_a_value_too() -> None:
    lines: dict[str, Json] = {"type": "array", "items": {"type": "string", "maxLength": 300}}
    tool = RecordingTool(name="save", parameters={"type": "object", "properties": {"body": lines}})
    assert full_arguments({"body": ["w" * 300]}, tool, None) == ["body"]
    assert full_arguments({"body": ["w" * 200]}, tool, None) == []


def test_a_short_text_may_be_cut_by_the_limits_but_not_one_that_the_schema_names() -> None:
    unit: dict[str, Json] = {"enum": ["kilogram", "gram"]}
    properties: dict[str, Json] = {"unit": unit, "code": {"type": "string", "maxLength": 8}}
    tool = RecordingTool(name="save", parameters={"type": "object", "properties": properties})
    arguments = {"unit": "kilogram", "code": "12345678"}
    assert full_arguments(arguments, tool, Limits(string_length=8)) == ["code"]
    assert full_arguments(arguments, tool, Limits(string_length=100)) == []
    assert full_arguments(arguments, tool, None) == []


async def test_the_prompt_says_which_limits_hold() -> None:
    llm = scripted(says_finish("ok"))
    await run(react(llm, [python()], reply_tokens=5000), "Q")
    assert "at most 5,000 tokens" in llm.calls[0].messages[0].content


def writing(text: str) -> ScriptedLLM:
    """A model that goes on where its answer ended, and calls `finish` with nothing before."""

    def reply(call: ScriptedCall) -> str:
        if call.grammar is not None:
            return says_finish(" ")
        if call.messages[-1].content.startswith("That reply ended"):
            return text[len(call.messages[-2].content) :]
        return text

    return ScriptedLLM(reply)


async def test_an_answer_that_reaches_its_tokens_is_continued() -> None:
    text = " ".join(f"word{n}" for n in range(300))
    llm = writing(text)
    result = await run(react(llm, [python()], answer_tokens=1000, write_answer=True), "Q")
    assert (result.answer, result.stopped_by) == (text, "finished")
    assert len(llm.calls) == 1 + 3


class Gibberish(ScriptedLLM):
    """Writes text of which each byte is a token; a token of other text has four bytes."""

    async def respond(self, call: Call) -> AsyncGenerator[Delta]:
        said = messages_of(call.messages)
        written = sum(len(one.content.encode()) for one in said if one.role == "assistant")
        others = sum(len(one.content.encode()) for one in said if one.role != "assistant")
        async for delta in super().respond(call):
            if delta.reply is not None:
                usage = replace(delta.reply.usage, prompt=others // 4 + written)
                yield replace(delta, reply=replace(delta.reply, usage=usage))
            else:
                yield delta


@pytest.mark.parametrize("tokens", range(3000, 6000, 250))
async def test_an_answer_of_many_tokens_is_continued_within_the_budget(tokens: int) -> None:
    def reply(call: ScriptedCall) -> str:
        return says_finish(" ") if call.grammar is not None else "\u00bf" * 5000

    agent = react(
        Gibberish(reply), [python()], answer_tokens=1000, write_answer=True,
        budget=Budget(steps=9, tokens=tokens),
    )  # fmt: skip
    result = await run(agent, "Q")
    assert result.usage.prompt + result.usage.completion <= tokens
    assert len(result.answer) > 200


async def test_only_the_answer_that_is_written_streams() -> None:
    llm = scripted(says_finish("A draft."), "The answer.")
    events = [event async for event in stream(react(llm, [python()], write_answer=True), "Q")]
    assert "".join(one.text for one in events if isinstance(one, AnswerText)) == "The answer."


async def test_the_parts_of_an_answer_stream_in_chunks_of_one_message() -> None:
    text = " ".join(f"word{n}" for n in range(300))
    agent: Any = react(writing(text), [python()], answer_tokens=1000, write_answer=True)
    last: dict[str, Any] = {}
    chunks: list[AIMessageChunk] = []
    async for mode, part in agent.astream({"question": "Q"}, stream_mode=["messages", "values"]):
        if mode == "values":
            last = part
        elif isinstance(part[0], AIMessageChunk):
            chunks.append(part[0])
    assert {chunk.id for chunk in chunks} == {last["messages"][-1].id}
    assert "".join(str(chunk.content) for chunk in chunks) == text


async def test_a_short_answer_that_reaches_its_tokens_is_continued_too() -> None:
    text = " ".join(f"word{n}" for n in range(40))
    result = await run(react(writing(text), [python()], answer_tokens=120), "Q")
    assert (result.answer, result.stopped_by) == (text, "finished")


async def test_an_answer_that_still_ends_early_says_so() -> None:
    text = " ".join(f"word{n}" for n in range(900))
    result = await run(react(writing(text), [python()], answer_tokens=1000), "Q")
    assert result.stopped_by == "length"
    assert text.startswith(result.answer)
    assert len(result.answer) > 3500


@pytest.mark.parametrize("make", [rewoo, plan_and_execute])
async def test_no_reply_has_more_tokens_than_decoding_allows(make: Any) -> None:
    text = " ".join(f"word{n}" for n in range(900))
    plain = random_replies(3)
    llm = ScriptedLLM(lambda call: plain(call) if call.grammar else text)
    result = await run(make(llm, [python()], decoding={"max_tokens": 600}), "Q")
    assert all(one.usage.completion <= 600 for one in result.steps if one.usage is not None)


async def test_an_answer_that_reaches_the_tokens_of_decoding_is_not_continued() -> None:
    text = " ".join(f"word{n}" for n in range(900))
    agent = react(writing(text), [python()], decoding={"max_tokens": 600})
    result = await run(agent, "Q")
    assert (result.answer, result.stopped_by) == (text[:600].strip(), "length")
    assert len(result.steps) == 2


@pytest.mark.parametrize(("pattern", "tokens"), [("react", 200), ("rewoo", 300), ("plan", 450)])
@pytest.mark.parametrize("ending", [0.002, 0.3])
async def test_every_call_of_a_random_model_is_valid_though_replies_are_cut(
    pattern: str, tokens: int, ending: float
) -> None:
    def strict(given: Mapping[str, Json]) -> Json:
        assert given.keys() == {"code"}
        assert isinstance(given["code"], str)
        return "ran"

    make: Any = {"react": react, "rewoo": rewoo, "plan": plan_and_execute}[pattern]
    cut = 0
    for seed in range(5):
        tool = RecordingTool(name="python", parameters=CODE, does=strict)
        llm = ScriptedLLM(random_replies(seed, ending=ending))
        budget = Budget(steps=7, tokens=20_000)
        agent = make(llm, [tool], budget=budget, reply_tokens=tokens, count_tokens=count_bytes)
        result = await run(agent, "Sum up.")
        assert result.answer
        assert result.usage.prompt + result.usage.completion <= 20_000
        assert sum(step.kind == "model" for step in result.steps) <= 7
        problems = [step.error for step in result.steps if step.error]
        assert all("cut at its limit" in problem for problem in problems)
        cut += len(problems)
    assert cut > 0 or ending > 0.1 or pattern == "plan"


@pytest.mark.parametrize(
    ("text", "characters", "full"),
    [("a" * 300, 300, True), ("a" * 200, 300, False), ("\n" * 20, 300, True), ("DE", 2, False)],
)
def test_a_text_fills_its_room_escapes_included(text: str, characters: int, full: bool) -> None:
    assert fills(text, characters) == full


def test_a_limit_of_no_calls_is_refused() -> None:
    with pytest.raises(InputError, match="calls must be a whole number from 1"):
        Limits(calls=0)
