"""Replies by tool calls: the functions that are asked for, the text that calls stand for."""

import json

import pytest

from ragkit.core.errors import InputError
from ragkit.core.types import Reply, Timings, ToolCall, Usage
from ragkit.grammar import json_grammar
from ragkit.llm.openai.native_calls import called_text, native_tools
from ragkit.testing.llm_contract import GRAMMARS


def reply(*arguments: str, text: str = "", name: str = "add") -> Reply:
    calls = (ToolCall(id="c", name=name, arguments=given) for given in arguments)
    return Reply(
        text=text,
        finish_reason="tool_calls",
        usage=Usage(prompt=1, completion=1),
        timings=Timings(total_s=0.0),
        tool_calls=tuple(calls),
    )


def test_an_agent_s_tools_are_the_functions_and_calls_become_a_turn() -> None:
    grammar = GRAMMARS["action"]
    (tool,) = native_tools(grammar.form)
    assert tool["function"] == {
        "name": "add",
        "description": "Adds.",
        "parameters": grammar.form.functions[0].parameters,
    }
    said = reply('{"a":1,"b":2}', '{"a":3,"b":4}', text="Hm — 🐺")
    turn = json.loads(called_text(said, grammar.form))
    assert turn["thought"] == "Hm — 🐺"
    assert [call["arguments"] for call in turn["calls"]] == [{"a": 1, "b": 2}, {"a": 3, "b": 4}]
    grammar.parse(called_text(said, grammar.form))


@pytest.mark.parametrize("given", ["", "{", "null", "[1]", '"x"', '{"a":"1","b":2}', "[" * 9000])
def test_arguments_that_are_none_fail_the_check(given: str) -> None:
    grammar = GRAMMARS["action"]
    with pytest.raises(InputError):
        grammar.parse(called_text(reply(given), grammar.form))


def test_a_call_of_an_unknown_tool_fails_the_check() -> None:
    grammar = GRAMMARS["action"]
    with pytest.raises(InputError, match="no action of these tools"):
        grammar.parse(called_text(reply('{"a":1,"b":2}', name="delete"), grammar.form))


def test_any_other_reply_is_the_arguments_of_one_function() -> None:
    numbers = json_grammar({"type": "array", "items": {"type": "integer"}})
    (tool,) = native_tools(numbers.form)
    assert isinstance(tool["function"], dict)
    assert tool["function"]["name"] == "reply"
    assert called_text(reply('{"reply": [1, 2]}'), numbers.form) == "[1,2]"
    assert called_text(reply('{"reply": "yes"}'), GRAMMARS["choice"].form) == "yes"
    assert called_text(reply(text="[3]"), numbers.form) == "[3]"
