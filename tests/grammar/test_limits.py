from typing import Any

import pytest
from pydantic import BaseModel

from ragkit.core.errors import InputError
from ragkit.grammar import Limits, json_grammar
from ragkit.grammar.ebnf.json_escapes import json_text
from ragkit.grammar.random_decoding import RandomDecoder


def test_depth_gives_way_to_the_number_of_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    child = {"anyOf": [{"type": "null"}, {"$ref": "#"}]}
    schema = {"type": "object", "properties": {f"p{n}": child for n in range(4)}}
    monkeypatch.setattr("ragkit.grammar.ebnf.rules._MAX_RULES", 30)
    assert 0 < json_grammar(schema, limits=Limits(depth=6)).limits.depth < 6
    with pytest.raises(InputError, match="too large"):
        json_grammar({"type": "object", "required": [f"p{n}" for n in range(30)]})


def test_limits_bound_what_the_schema_does_not(decoder: RandomDecoder) -> None:
    grammar = json_grammar(
        {"type": "array", "items": {"type": "string"}}, limits=Limits(items=2, string_length=5)
    )
    compiled = decoder.compile(grammar)
    assert decoder.accepts(compiled, '["aaaaa","b"]')
    assert not decoder.accepts(compiled, '["a","b","c"]')
    assert not decoder.accepts(compiled, '["aaaaaa"]')
    assert grammar.max_bytes == len('["",""]') + 2 * 5 * 4


def test_undeclared_properties_need_a_limit(decoder: RandomDecoder) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    text = '{"a":1,"b":2}'
    assert not decoder.accepts(decoder.compile(json_grammar(schema)), text)
    wide = json_grammar(schema, limits=Limits(undeclared=1))
    assert decoder.accepts(decoder.compile(wide), text)
    assert not decoder.accepts(decoder.compile(wide), '{"a":1,"a":"x"}')


def test_fit_tightens_until_the_reply_fits() -> None:
    grammar = json_grammar({"type": "array", "items": {"type": "string"}})
    fitted = grammar.fit(2000)
    assert fitted.max_tokens <= 2000 < grammar.max_tokens
    assert fitted.limits.items >= 3
    assert grammar.fit(10**9) is grammar
    with pytest.raises(InputError, match="only 40 are left"):
        json_grammar({"type": "string", "minLength": 100}).fit(40)


@pytest.mark.parametrize(
    "wrong", [{"items": -1}, {"items": None}, {"depth": 0}, {"integer_digits": 10**9}], ids=str
)
def test_a_limit_beyond_its_range_is_refused_by_its_name(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=rf"Limits\.{next(iter(wrong))} must be a whole number"):
        Limits(**wrong)


def test_arrays_of_one_item_come_last() -> None:
    steps = list(Limits().tightened())
    short = [step for step in steps if step.items == 1 or step.map_entries == 1]
    assert short == steps[-len(short) :]
    assert all(step.string_length == 8 and step.fraction_digits == 4 for step in short)
    grammar = json_grammar({"type": "array", "items": {"type": "string"}})
    assert grammar.fit(150).limits.items > 1
    assert grammar.fit(40).limits.items == 1


def test_wide_grammars_have_no_bounds_but_those_of_the_schema(decoder: RandomDecoder) -> None:
    schema = {
        "type": "object",
        "properties": {
            "a": {"type": "array", "items": {"type": "string"}},
            "b": {"type": "array", "items": {"type": "integer"}, "maxItems": 2},
        },
    }
    wide = json_grammar(schema).wide()
    compiled = decoder.compile(wide)
    assert decoder.accepts(compiled, json_text({"a": ["x" * 5000] * 90, "b": [1, 2], "c": None}))
    assert not decoder.accepts(compiled, '{"b":[1,2,3]}')
    assert wide.max_tokens > 10**8
    assert json_grammar(schema).wide() is not wide
    assert wide.wide() is wide


def test_a_wide_grammar_fits_as_its_bounded_form_does() -> None:
    grammar = json_grammar({"type": "array", "items": {"type": "string"}})
    assert grammar.wide().fit(2000) == grammar.fit(2000)
    assert grammar.wide().fit(10**7).max_tokens <= 10**7


def test_types_and_tools_stay_closed_where_they_are_wide(decoder: RandomDecoder) -> None:
    compiled = decoder.compile(json_grammar(Pair).wide())
    assert decoder.accepts(compiled, '{"left":1,"right":2}')
    assert not decoder.accepts(compiled, '{"left":1,"right":2,"more":3}')


class Pair(BaseModel):
    left: int
    right: int


def test_bytes_of_a_token_widen_the_fit() -> None:
    grammar = json_grammar({"type": "array", "items": {"type": "string"}})
    strict, usual = grammar.fit(2000), grammar.fit(2000, bytes_per_token=3.5)
    assert strict.max_bytes < 2000 < usual.max_bytes <= 2000 * 3.5


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "maxLength": 90},
        {"type": "string", "format": "date-time"},
        {"type": "integer", "minimum": -5, "maximum": 120},
        {"type": "number", "exclusiveMinimum": 0, "maximum": 9.5},
        {"type": "number", "multipleOf": 0.01},
        {"enum": ["a", "é", 1000]},
        {"type": "object", "additionalProperties": {"type": "array"}},
    ],
    ids=str,
)
def test_a_fitted_grammar_is_within_its_room_and_uses_it(schema: Any) -> None:
    grammar = json_grammar(schema)
    fitted = grammar.fit(grammar.max_tokens + 40)
    assert fitted == grammar
    tight = json_grammar({"type": "array", "items": schema})
    for room in (300, 1000, 4000):
        assert room // 40 < tight.fit(room).max_tokens <= room
