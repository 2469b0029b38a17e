from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from ragkit.core.errors import InputError
from ragkit.grammar import json_grammar
from ragkit.grammar.ebnf.json_escapes import json_text
from ragkit.grammar.random_decoding import RandomDecoder

BOUNDS = st.fixed_dictionaries(
    {},
    optional={
        "minItems": st.integers(0, 3),
        "maxItems": st.integers(1, 5),
        "prefixItems": st.lists(st.sampled_from([{"const": 1}, {"enum": [1, 2]}]), max_size=2),
    },
)
NOT_COUNTED: dict[str, Any] = {}
COUNTS = st.fixed_dictionaries(
    {"contains": st.just({"const": 2})},
    optional={"minContains": st.integers(0, 3), "maxContains": st.integers(1, 3)},
)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    bounds=BOUNDS,
    counts=st.one_of(st.just(NOT_COUNTED), COUNTS),
    arrays=st.lists(st.lists(st.integers(1, 4), max_size=6), min_size=6, max_size=10),
)
def test_arrays_are_those_that_jsonschema_accepts(
    decoder: RandomDecoder, bounds: dict[str, Any], counts: dict[str, Any], arrays: list[list[int]]
) -> None:
    schema = {"type": "array", "items": {"enum": [1, 2, 3]}, **bounds, **counts}
    validator: Any = Draft202012Validator(schema)
    try:
        grammar = json_grammar(schema)
    except InputError:
        assert not any(validator.is_valid(array) for array in arrays)
        return
    for form in (grammar, grammar.wide()):
        compiled = decoder.compile(form)
        for array in (*arrays, [], [2], [1, 2], [1, 2, 2]):
            assert decoder.accepts(compiled, json_text(array)) == validator.is_valid(array), array


def test_unique_items_of_few_values_come_in_any_order(decoder: RandomDecoder) -> None:
    schema = {
        "type": "array",
        "items": {"enum": [1, 2, 3, 4]},
        "uniqueItems": True,
        "minItems": 2,
        "maxItems": 3,
    }
    compiled = decoder.compile(json_grammar(schema))
    validator: Any = Draft202012Validator(schema)
    for text in ("[4,1]", "[1,2,3]", "[3,2,1]", "[1]", "[1,1]", "[1,2,3,4]", "[2,1,2]"):
        valid = validator.is_valid([int(char) for char in text if char.isdigit()])
        assert decoder.accepts(compiled, text) == valid, text
