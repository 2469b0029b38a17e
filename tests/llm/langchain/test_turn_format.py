import json
import re
from typing import Any

import pytest

from ragkit import InputError
from ragkit.grammar import Limits
from ragkit.llm.langchain.turn_format import TurnFormat
from ragkit.testing.agents import says_action


def _tool(name: str, **properties: object) -> dict[str, Any]:
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    function = {"name": name, "description": f"Do {name}.", "parameters": parameters}
    return {"type": "function", "function": function}


ADD = _tool("add", a={"type": "integer"}, b={"type": "integer"})
LOOK = _tool("look", at={"type": "string"})
SCHEMA = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}


def _format(*tools: dict[str, Any], choice: object = None, schema: Any = None) -> TurnFormat:
    return TurnFormat.of(tools, choice, schema, max_calls=2, limits=Limits())


def test_without_tools_and_schema_a_reply_is_free_text() -> None:
    free = _format()
    assert (free.grammar, free.instructions) == (None, "")
    assert free.message("Hi {").content == "Hi {"


def test_without_tools_a_schema_is_decoded_and_checked() -> None:
    form = _format(schema=SCHEMA)
    assert json.dumps(SCHEMA) in form.instructions
    assert form.message('{"x":3}').content == '{"x":3}'
    with pytest.raises(InputError):
        form.message('{"x":"three"}')


@pytest.mark.parametrize(
    ("choice", "names", "forced"),
    [
        (None, ["add", "look"], False),
        ("auto", ["add", "look"], False),
        ("any", ["add", "look"], True),
        ("required", ["add", "look"], True),
        (True, ["add", "look"], True),
        ("look", ["look"], True),
        ({"type": "function", "function": {"name": "look"}}, ["look"], True),
        ({"type": "function", "name": "look"}, ["look"], True),
        ({"type": "tool", "name": "look"}, ["look"], True),
        ({"name": "look"}, ["look"], True),
        ({"type": "auto"}, ["add", "look"], False),
        ({"type": "any"}, ["add", "look"], True),
        ({"type": "none"}, [], False),
        ("none", [], False),
        (False, [], False),
    ],
)
def test_a_tool_choice_is_read_in_every_form(
    choice: object, names: list[str], forced: bool
) -> None:
    form = _format(ADD, LOOK, choice=choice)
    assert [tool.name for tool in form.tools] == names
    assert form.forced == forced
    assert ("final_answer" in form.instructions) == (bool(names) and not forced)


@pytest.mark.parametrize(
    "choice", [{}, {"type": "web_search"}, {"type": "function", "function": "look"}, 3]
)
def test_a_tool_choice_of_another_form_is_refused_with_its_value(choice: object) -> None:
    match = rf"tool_choice is {re.escape(repr(choice))}\. Fix: use 'auto', .* or one of add, look"
    with pytest.raises(InputError, match=match):
        _format(ADD, LOOK, choice=choice)


def test_a_function_is_read_in_the_forms_of_openai_and_anthropic() -> None:
    flat = {"type": "function", **ADD["function"]}
    schema = ADD["function"]["parameters"]
    anthropic = {"name": "add", "description": "Do add.", "input_schema": schema}
    assert _format(flat).tools == _format(anthropic).tools == _format(ADD).tools


@pytest.mark.parametrize(
    "tool", [{"type": "web_search_preview"}, {"type": "mcp", "name": "x"}, {"function": "look"}]
)
def test_a_tool_of_a_provider_is_refused_with_its_value(tool: dict[str, Any]) -> None:
    match = rf"The tool {re.escape(repr(tool))} is no function .* Fix: bind a function"
    with pytest.raises(InputError, match=match):
        _format(tool)


def test_a_reply_is_calls_or_an_answer() -> None:
    form = _format(ADD)
    called = form.message(says_action("Sum.", ("add", {"a": 1, "b": 2})))
    assert [(call["name"], call["args"]) for call in called.tool_calls] == [
        ("add", {"a": 1, "b": 2})
    ]
    assert len({call["id"] for call in called.tool_calls}) == 1
    answered = form.message(says_action("", ("final_answer", {"answer": "3"})))
    assert (answered.content, answered.tool_calls) == ("3", [])


def test_an_answer_follows_the_schema_beside_tools() -> None:
    form = _format(ADD, schema=SCHEMA)
    answered = form.message(says_action("", ("final_answer", {"x": 3})))
    assert json.loads(str(answered.content)) == {"x": 3}


def test_the_answer_has_a_name_that_no_tool_has() -> None:
    form = _format(_tool("final_answer"), _tool("final_answer_"))
    assert form.answer_name == "final_answer__"


def test_a_tool_that_is_bound_twice_is_one_and_two_of_one_name_are_refused() -> None:
    assert len(_format(ADD, ADD).tools) == 1
    other = _tool("add", a={"type": "string"})
    with pytest.raises(InputError, match="unique names"):
        _ = _format(ADD, other).grammar


def test_a_schema_that_no_grammar_holds_is_refused() -> None:
    with pytest.raises(InputError):
        _format(
            _tool("bad", x={"type": "string", "contentEncoding": "base64", "not": {}})
        ).check_schemas()


def test_equal_forms_share_one_grammar() -> None:
    assert _format(ADD, LOOK).grammar is _format(ADD, LOOK).grammar
