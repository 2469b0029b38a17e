from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from ragkit.core.errors import InputError
from ragkit.grammar import Limits, json_grammar
from ragkit.grammar.ebnf.json_escapes import json_text
from ragkit.grammar.random_decoding import RandomDecoder

NAMES = "abc"


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    required=st.lists(st.sampled_from(NAMES), unique=True),
    bounds=st.fixed_dictionaries(
        {}, optional={"minProperties": st.integers(0, 4), "maxProperties": st.integers(1, 4)}
    ),
    free=st.booleans(),
    chosen=st.lists(st.sets(st.sampled_from([*NAMES, "y", "z"])), min_size=5, max_size=9),
)
def test_objects_are_those_that_jsonschema_accepts(
    decoder: RandomDecoder,
    required: list[str],
    bounds: dict[str, int],
    free: bool,
    chosen: list[set[str]],
) -> None:
    schema = {
        "type": "object",
        "properties": {name: {"const": 1} for name in NAMES},
        "required": required,
        "additionalProperties": {"const": 1} if free else False,
        **bounds,
    }
    validator: Any = Draft202012Validator(schema)
    try:
        grammar = json_grammar(schema, limits=Limits(map_entries=4))
    except InputError:
        assert not any(validator.is_valid(dict.fromkeys(sorted(names), 1)) for names in chosen)
        return
    for form in (grammar, grammar.wide()):
        compiled = decoder.compile(form)
        for names in (*chosen, set[str](), set(NAMES)):
            value = dict.fromkeys(sorted(names), 1)
            assert decoder.accepts(compiled, json_text(value)) == validator.is_valid(value), value


def test_a_free_key_never_repeats_a_declared_one(decoder: RandomDecoder) -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"const": 1}},
        "additionalProperties": {"type": "string"},
    }
    compiled = decoder.compile(json_grammar(schema))
    assert decoder.accepts(compiled, '{"a":1,"ab":"x","":"y"}')
    assert not decoder.accepts(compiled, '{"a":1,"a":"x"}')
