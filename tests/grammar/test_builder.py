"""Random decoding never fails: neither for synthetic schemas nor for whatever bytes are allowed.

RAGKIT_TEST_GRAMMAR_SCHEMAS=1000 runs as many schemas.
"""

import json
import os
from typing import Any

import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from ragkit.core.errors import InputError
from ragkit.grammar import Limits, json_grammar
from ragkit.grammar.random_decoding import RandomDecoder
from ragkit.grammar.schema.check import format_checker
from ragkit.grammar.schema.formats import FORMATS

COUNT = int(os.environ.get("RAGKIT_TEST_GRAMMAR_SCHEMAS", "120"))
LIMITS = Limits(string_length=24, items=3, map_entries=2, undeclared=1, key_length=8)
CHECKER = format_checker()
NAMES = st.sampled_from(["a", "b", "name", "é", "x y", 'q"', ""])
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-99, 99), st.text(max_size=4)),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(NAMES, inner, max_size=2)),
    max_leaves=4,
)


def strings() -> st.SearchStrategy[dict[str, Any]]:
    lengths = st.tuples(st.integers(0, 6), st.integers(0, 30)).map(
        lambda pair: {"minLength": pair[0], "maxLength": pair[0] + pair[1]}
    )
    patterns = st.sampled_from(
        ["^[a-z]+$", "b", "^a|b$", r"^\d{2,4}-\w+$", "^[^x]*$", r"\s", "^(ab?)+$"]
    )
    formats = st.sampled_from(sorted(FORMATS))
    return st.one_of(
        lengths.map(lambda found: {"type": "string", **found}),
        patterns.map(lambda found: {"type": "string", "pattern": found}),
        st.tuples(patterns, lengths).map(
            lambda found: {"type": "string", "pattern": found[0], **found[1]}
        ),
        formats.map(lambda found: {"type": "string", "format": found}),
    )


@st.composite
def numbers(draw: st.DrawFn) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": draw(st.sampled_from(["integer", "number"]))}
    low = draw(st.integers(-5000, 5000)) / draw(st.sampled_from([1, 4, 10]))
    if draw(st.booleans()):
        schema[draw(st.sampled_from(["minimum", "exclusiveMinimum"]))] = low
    if draw(st.booleans()):
        width = draw(st.integers(2, 3000))
        schema[draw(st.sampled_from(["maximum", "exclusiveMaximum"]))] = low + width
    if draw(st.booleans()):
        steps = [1, 2, 3, 5, 10, 7] if schema["type"] == "integer" else [1, 0.5, 0.25, 2.5, 3]
        schema["multipleOf"] = draw(st.sampled_from(steps))
    return schema


def leaves() -> st.SearchStrategy[Any]:
    enums = st.lists(JSON, min_size=1, max_size=4)
    fixed = st.sampled_from(
        [
            {},
            {"type": "null"},
            {"type": "boolean"},
            {"type": ["string", "null"]},
            {"type": "object"},
            {"$ref": "#"},
            {"$ref": "#/$defs/tree"},
            {"type": "string", "minLength": 70, "maxLength": 110},
        ]
    )
    return st.one_of(
        strings(),
        numbers(),
        fixed,
        enums.map(lambda values: {"enum": values}),
        JSON.map(lambda value: {"const": value}),
    )


@st.composite
def objects(draw: st.DrawFn, children: st.SearchStrategy[Any]) -> dict[str, Any]:
    properties = draw(st.dictionaries(NAMES, children, max_size=4))
    names = sorted(properties)
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    if names:
        schema["required"] = draw(st.lists(st.sampled_from(names), unique=True))
    if draw(st.booleans()):
        schema["additionalProperties"] = draw(st.one_of(st.booleans(), children))
    if draw(st.booleans()):
        schema["minProperties"] = draw(st.integers(0, 2))
    if draw(st.integers(0, 3)) == 0:
        schema["maxProperties"] = draw(st.integers(1, 3))
    if draw(st.integers(0, 3)) == 0:
        schema["propertyNames"] = draw(
            st.sampled_from([{"maxLength": 4}, {"pattern": "^[a-z]"}, {"enum": ["a", "b", "é"]}])
        )
    dependent: bool = draw(st.booleans())
    if names and draw(st.integers(0, 3)) == 0:
        schema["dependentSchemas"] = {draw(st.sampled_from(names)): draw(children)}
    if names and dependent:
        schema["dependentRequired"] = {draw(st.sampled_from(names)): [draw(st.sampled_from(names))]}
    if draw(st.integers(0, 4)) == 0:
        schema["patternProperties"] = {draw(st.sampled_from(["^x", "a", "[0-9]"])): draw(children)}
    return schema


@st.composite
def arrays(draw: st.DrawFn, children: st.SearchStrategy[Any]) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "array", "items": draw(children)}
    if draw(st.booleans()):
        schema["minItems"] = draw(st.integers(0, 2))
        schema["maxItems"] = schema["minItems"] + draw(st.integers(0, 2))
    if draw(st.booleans()):
        schema["prefixItems"] = draw(st.lists(children, min_size=1, max_size=2))
    if draw(st.integers(0, 3)) == 0:
        schema["contains"] = draw(children)
        if draw(st.booleans()):
            schema["minContains"] = draw(st.integers(0, 2))
            schema["maxContains"] = schema["minContains"] + draw(st.integers(0, 1))
    if draw(st.integers(0, 3)) == 0:
        schema["uniqueItems"] = True
    return schema


def combined(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    several = st.lists(children, min_size=1, max_size=3)
    return st.one_of(
        objects(children),
        arrays(children),
        several.map(lambda found: {"anyOf": found}),
        several.map(lambda found: {"oneOf": found}),
        st.lists(children, min_size=1, max_size=2).map(lambda found: {"allOf": found}),
        st.tuples(objects(children), several).map(lambda t: {**t[0], "anyOf": t[1]}),
        st.tuples(children, children).map(lambda t: {"allOf": [t[0]], "not": t[1]}),
        children.map(lambda found: {"not": found}),
        st.tuples(children, children, children).map(
            lambda t: {"if": t[0], "then": t[1], "else": t[2]}
        ),
    )


TREE = {
    "type": "object",
    "properties": {"é": {"type": "integer"}, "next": {"$ref": "#/$defs/tree"}},
    "additionalProperties": False,
}
SCHEMAS = st.recursive(leaves(), combined, max_leaves=6).map(
    lambda schema: {**schema, "$defs": {"tree": TREE}}
)


@settings(
    max_examples=COUNT,
    deadline=None,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.filter_too_much,
        HealthCheck.data_too_large,
    ],
    derandomize=COUNT < 1000,
)
@given(schema=SCHEMAS, seed=st.integers(0, 1 << 30))
def test_random_decoding_gives_valid_instances(
    decoder: RandomDecoder, schema: Any, seed: int
) -> None:
    try:
        grammar = json_grammar(schema, limits=LIMITS)
    except InputError:
        reject()  # contradictory or refused; only accepted schemas count
    compiled = decoder.compile(grammar)
    validator: Any = Draft202012Validator(schema, format_checker=CHECKER)
    for offset in range(2):
        reply = decoder.decode(
            compiled, seed=seed + offset, max_tokens=grammar.max_tokens, ending=0.02
        )
        assert reply is not None
        assert len(reply) <= grammar.max_bytes
        value = json.loads(reply.decode())
        if not grammar.checked:
            validator.validate(value)
            grammar.parse(reply.decode())


@pytest.mark.parametrize("length", [8, 64, 65, 300, 1024])
def test_free_strings_are_utf8_whatever_the_pieces(decoder: RandomDecoder, length: int) -> None:
    compiled = decoder.compile(json_grammar({"type": "string", "maxLength": length}))
    for seed in range(20):
        reply = decoder.decode(compiled, seed=seed, max_tokens=4 * length + 3)
        assert reply is not None
        text = json.loads(reply.decode())
        assert len(text) <= length
        assert not any(
            "\ud800" <= char <= "\udfff" or (char < " " and char not in "\b\f\n\r\t")
            for char in text
        )
