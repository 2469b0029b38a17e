import pytest
from pydantic import BaseModel

from ragkit.core.errors import ContextExceeded, ProviderError
from ragkit.core.types import Json, ToolCall
from ragkit.grammar import json_grammar, regex_grammar
from ragkit.testing import FailingLLM, ScriptedCall, ScriptedLLM, random_replies


class City(BaseModel):
    name: str


async def test_a_reply_that_its_grammar_forbids_fails_the_test() -> None:
    llm = ScriptedLLM(['{"name": "white space"}'])
    with pytest.raises(AssertionError, match="does not match its grammar"):
        await llm.complete("x", grammar=json_grammar(City))
    with pytest.raises(AssertionError, match="no reply left"):
        await llm.complete("x")


async def test_a_function_sees_the_call() -> None:
    def reply(call: ScriptedCall) -> str:
        return f"{call.prompt} {call.options.get('temperature')}"

    assert (await ScriptedLLM(reply).complete("Hi", temperature=0.5)).text == "user: Hi 0.5"


async def test_the_calls_are_recorded_with_their_fitted_grammar() -> None:
    llm = ScriptedLLM(lambda _: "ab")
    await llm.complete("one", grammar=regex_grammar("[ab]+"), max_tokens=20, strict=True)
    await llm.complete("two")
    assert [call.messages[-1].content for call in llm.calls] == ["one", "two"]
    assert llm.calls[0].grammar is not None
    assert llm.calls[0].grammar.max_tokens <= 20
    assert llm.calls[1].grammar is None
    await llm.complete("three", grammar=regex_grammar("[ab]+"), max_tokens=20)
    assert llm.calls[2].grammar == regex_grammar("[ab]+").wide()
    assert llm.calls[2].max_tokens == 20


async def test_a_token_is_a_byte() -> None:
    llm = ScriptedLLM(lambda _: "héllo", context=20)
    reply = await llm.complete("x" * 10, max_tokens=3)
    assert (reply.text, reply.finish_reason) == ("hé", "length")
    assert reply.usage.prompt == 10
    with pytest.raises(ContextExceeded, match="20 tokens of 20"):
        await llm.complete("x" * 20)


async def test_random_replies_are_the_same_for_the_same_seed() -> None:
    grammar = json_grammar(City)
    texts = [
        (await ScriptedLLM(random_replies(seed)).complete("x", grammar=grammar)).text
        for seed in (1, 1, 2)
    ]
    assert texts[0] == texts[1] != texts[2]
    llm = ScriptedLLM(random_replies(1))
    assert (await llm.complete("x", seed=3)).text == (await llm.complete("y", seed=3)).text


async def test_errors_come_in_turn_and_then_the_replies() -> None:
    llm = FailingLLM(ProviderError("one", provider="test"), ValueError("two"), replies=["said"])
    with pytest.raises(ProviderError, match="one"):
        await llm.complete("x")
    with pytest.raises(ValueError, match="two"):
        await llm.complete("x")
    assert (await llm.complete("x")).text == "said"
    assert llm.attempts == 3


async def test_an_error_may_come_after_a_piece_of_text() -> None:
    llm = FailingLLM(ProviderError("no", provider="test"), after_a_piece=True)
    deltas = llm.stream("x")
    assert (await anext(deltas)).text == "half"
    with pytest.raises(ProviderError):
        await anext(deltas)


async def test_a_double_without_grammars_asks_again_for_a_reply_that_breaks_its_schema() -> None:
    grammar = json_grammar(City)
    replies = ['{"name": 3}', '{ "name": "Rome" }', "no", "no"]
    llm = ScriptedLLM(replies, guarantee="schema")
    assert llm.guarantee == "schema"
    reply = await llm.complete("x", grammar=grammar)
    assert (reply.text, reply.calls, reply.guarantee) == ('{ "name": "Rome" }', 2, "schema")
    assert "This was rejected" in llm.calls[1].prompt
    with pytest.raises(ProviderError, match="gave 2 replies that break their schema"):
        await llm.complete("x", grammar=grammar)


async def test_a_double_may_call_tools() -> None:
    call = ToolCall(id="1", name="add", arguments="{}")
    tool: dict[str, Json] = {"type": "function", "function": {"name": "add"}}
    llm = ScriptedLLM([[call], [call]], guarantee="schema")
    reply = await llm.complete("x", tools=[tool])
    assert (reply.tool_calls, reply.finish_reason) == ((call,), "tool_calls")
    with pytest.raises(AssertionError, match="calls tools, but the call has none"):
        await llm.complete("x")
