import json
from enum import Enum
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field

from ragkit.core.reply_grammar import JsonForm
from ragkit.core.types import Json
from ragkit.grammar import choice_grammar, json_grammar
from ragkit.llm.openai.json_mode import (
    NotStrictError,
    is_wrapped,
    response_format,
    strict_schema,
    unwrapped,
)
from ragkit.testing.llm_contract import GRAMMARS
from tests.llm.openai.emulation import outside_strict


class Colour(Enum):
    RED = "red"


class Leaf(BaseModel):
    kind: Literal["leaf"]
    size: int = Field(default=3, ge=0)
    note: str | None = None


class Tree(BaseModel):
    name: str = Field(min_length=1, max_length=9)
    colour: Colour
    children: list["Tree | Leaf"] = Field(default=[], max_length=4)


@pytest.mark.parametrize("of", [Tree, list[Tree], Colour, Leaf | None, bool])
def test_the_strict_form_of_a_type_is_in_openai_s_subset(of: Any) -> None:
    asked: Any = response_format(json_grammar(of).form, strict=True)
    assert asked["json_schema"]["strict"] is True
    assert outside_strict(asked["json_schema"]["schema"], root=True) is None


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({"type": "object", "properties": {"a": {"type": "string"}}}, "'a' may be left out"),
        ({"type": "object", "additionalProperties": {"type": "string"}}, "further properties"),
        ({"type": "array"}, "items of an array"),
        ({"allOf": [{"type": "string"}]}, "'allOf' has no strict form"),
        ({"properties": {}}, "need not be an object"),
        ({"type": "array", "items": True}, "no schema that describes"),
        ({"enum": ["a", None]}, "a value is not described"),
        ({}, "a value is not described"),
    ],
)
def test_a_schema_outside_the_subset_is_sent_as_it_is(schema: dict[str, Json], reason: str) -> None:
    with pytest.raises(NotStrictError, match=reason):
        strict_schema(schema)
    whole: dict[str, Json] = {"type": "object", "properties": {"x": schema}, "required": ["x"]}
    asked: Any = response_format(JsonForm(schema=whole), strict=True)
    assert asked["json_schema"] == {"name": "reply", "schema": whole, "strict": False}


def test_what_is_no_object_is_asked_for_as_the_property_of_one() -> None:
    choice = choice_grammar(["é", 'a "b"']).form
    assert is_wrapped(choice)
    assert unwrapped('{ "reply": "\\u00e9" }', choice) == "é"
    numbers = json_grammar(list[int]).form
    assert unwrapped('{"reply": [1, 2]}', numbers) == "[1,2]"
    for text in ("Sure!", "[1]", '{"answer": 1}', '{"reply": 1', '{"reply": 3}', "[" * 99_999):
        assert unwrapped(text, choice) == text
    decision = GRAMMARS["decision"].form
    assert not is_wrapped(decision)
    assert unwrapped('{"reply": 1}', decision) == '{"reply": 1}'


def test_a_wrapped_schema_keeps_its_references() -> None:
    asked: Any = response_format(json_grammar(list[Tree]).form, strict=False)
    schema = asked["json_schema"]["schema"]
    assert schema["properties"]["reply"]["items"] == {"$ref": "#/$defs/reply.Tree"}
    assert schema["$defs"].keys() == {"reply.Tree", "reply.Leaf", "reply.Colour"}
    assert "strict" not in asked["json_schema"]
    assert "#/$defs/Tree" not in json.dumps(schema)
