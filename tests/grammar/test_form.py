"""The forms of grammars as JSON Schema, and what is checked of replies that no grammar held."""

import json
from typing import Any

import jsonschema
import pytest

from ragkit.core.errors import InputError
from ragkit.grammar import ToolSpec, action_grammar, plan_grammar, quote_grammar
from ragkit.grammar.random_decoding import RandomDecoder
from ragkit.grammar.schema.composition import embedded
from ragkit.testing.llm_contract import GRAMMARS

DECODER = RandomDecoder()
NODE: dict[str, Any] = {
    "type": "object",
    "properties": {
        "node": {"$ref": "#/$defs/Node"},
        "self": {"anyOf": [{"$ref": "#"}, {"type": "null"}]},
    },
    "required": ["node", "self"],
    "additionalProperties": False,
    "$defs": {"Node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}}}},
}
ADD = ToolSpec(
    name="add",
    description="",
    parameters={
        "type": "object",
        "properties": {"a": {"type": "integer"}},
        "required": ["a"],
        "additionalProperties": False,
    },
)
WALK = ToolSpec(name="walk", description="", parameters=NODE)
END = ToolSpec(name="finish", description="", parameters={"type": "object", "properties": {}})


@pytest.mark.parametrize("name", GRAMMARS)
def test_what_a_grammar_decodes_is_valid_by_its_form(name: str) -> None:
    grammar = GRAMMARS[name]
    judge: Any = jsonschema.Draft202012Validator(dict(grammar.form.schema))
    compiled = DECODER.compile(grammar.ebnf)
    for seed in range(20):
        said = DECODER.decode(compiled, seed=seed, max_tokens=grammar.max_tokens)
        assert said is not None
        text = said.decode()
        judge.validate(text if grammar.form.plain else json.loads(text))


def test_the_schemas_of_tools_keep_their_references_as_parts_of_a_form() -> None:
    for grammar in (action_grammar([ADD, WALK]), plan_grammar([ADD, WALK], 2)):
        judge: Any = jsonschema.Draft202012Validator(dict(grammar.form.schema))
        compiled = DECODER.compile(grammar.ebnf)
        for seed in range(30):
            said = DECODER.decode(compiled, seed=seed, max_tokens=grammar.max_tokens)
            assert said is not None
            judge.validate(json.loads(said))
        bad = {"tool": "walk", "arguments": {"node": 3, "self": None}}
        reply = {"thought": "", "calls": [bad], "steps": [{"id": "#E1", **bad}]}
        assert not judge.is_valid(reply)


def test_an_embedded_schema_leaves_foreign_references_alone() -> None:
    defs: dict[str, Any] = {}
    made = embedded(
        {"$ref": "https://x/y", "a": [{"$ref": "#/definitions/B"}]}, scope="s", into=defs
    )
    assert made == {"$ref": "https://x/y", "a": [{"$ref": "#/$defs/s.B"}]}
    assert defs == {}


def test_an_embedded_schema_keeps_its_anchors_and_points_into_any_scope() -> None:
    defs: dict[str, Any] = {}
    schema = {"a": {"$ref": "#/$defs/B"}, "b": {"$ref": "#c"}, "d": {"$ref": "#"}}
    made = embedded({**schema, "$defs": {"B": {"$anchor": "c"}}}, scope="x/y~z", into=defs)
    assert [made[name]["$ref"] for name in "abd"] == [
        "#/$defs/x~1y~0z.B",
        "#c",
        "#/$defs/x~1y~0z",
    ]
    assert defs["x/y~z.B"] == {"$anchor": "c"}


def test_an_argument_of_any_value_may_be_written_as_a_boolean_schema() -> None:
    parameters = {"type": "object", "properties": {"x": True}, "required": ["x"]}
    tool = ToolSpec(name="take", description="", parameters=parameters)
    for grammar in (action_grammar([tool]), plan_grammar([tool], 2)):
        jsonschema.Draft202012Validator.check_schema(dict(grammar.form.schema))


def call(tool: str, **arguments: object) -> dict[str, object]:
    return {"tool": tool, "arguments": arguments}


@pytest.mark.parametrize(
    ("calls", "reason"),
    [
        ([], "0 calls"),
        ([call("add", a=1)] * 3, "3 calls"),
        ([call("add", a=1), call("finish")], "2 calls.*finish alone"),
        ([call("add", a="1")], "a"),
        ([call("fly")], "no action of these tools"),
    ],
)
def test_a_turn_that_no_grammar_held_is_checked(calls: list[object], reason: str) -> None:
    grammar = action_grammar([ADD], ending=[END], max_calls=2)
    with pytest.raises(InputError, match=reason):
        grammar.parse(json.dumps({"thought": "", "calls": calls}))
    grammar.parse(json.dumps({"thought": "", "calls": [call("finish")]}))


@pytest.mark.parametrize("thought", [None, 3, ["a"]])
def test_a_thought_that_is_no_text_is_refused(thought: object) -> None:
    with pytest.raises(InputError, match="thought of the reply is no text"):
        action_grammar([ADD]).parse(json.dumps({"thought": thought, "calls": [call("add", a=1)]}))


REFERENCE: dict[str, object] = {"ref": "#E1", "path": []}


@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        ([], "0 steps"),
        ([call("add", a=1)] * 3, "3 steps"),
        ([call("add", a=1), call("add", b=REFERENCE)], "lack \\['a'\\] and may not have \\['b'\\]"),
        ([call("add", a=REFERENCE)], "not before it"),
        ([call("add", a=1), call("add", a={"ref": "#E1", "path": [{"k": 1}]})], "a"),
    ],
)
def test_a_plan_that_no_grammar_held_is_checked(
    steps: list[dict[str, object]], reason: str
) -> None:
    numbered = [{"id": f"#E{place}", **step} for place, step in enumerate(steps, 1)]
    grammar = plan_grammar([ADD], 2)
    with pytest.raises(InputError, match=reason):
        grammar.parse(json.dumps({"steps": numbered}))
    good = [{"id": "#E1", **call("add", a=1)}, {"id": "#E2", **call("add", a=REFERENCE)}]
    assert len(grammar.parse(json.dumps({"steps": good})).steps) == 2


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"citations": []}, "contradictory"),
        ({"answer": ""}, "contradictory"),
        ({"quotes": []}, "contradictory"),
        ({"sufficient": False}, "contradictory"),
        ({"quotes": [{"passage": "p", "quote": "It snowed."}]}, "no sentence of passage"),
        ({"quotes": [{"passage": "p", "quote": "It rained."}] * 4}, "4 quotes, but may have 3"),
        ({"answer": None}, "answer a text"),
        ({"sufficient": "false"}, "must be true or false"),
    ],
)
def test_an_answer_that_no_grammar_held_is_checked(changes: dict[str, object], reason: str) -> None:
    good = {
        "quotes": [{"passage": "p", "quote": "It rained."}],
        "sufficient": True,
        "answer": "Yes.",
        "citations": ["p"],
    }
    grammar = quote_grammar({"p": "It rained. It poured."})
    assert grammar.parse(json.dumps(good)).answer == "Yes."
    with pytest.raises(InputError, match=reason):
        grammar.parse(json.dumps({**good, **changes}))
