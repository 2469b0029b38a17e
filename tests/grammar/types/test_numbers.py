import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragkit.core.errors import InputError
from ragkit.grammar import Limits, json_grammar
from ragkit.grammar.random_decoding import PIECES, RandomDecoder


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    low=st.integers(-2000, 2000),
    width=st.integers(0, 900),
    step=st.integers(1, 60),
    values=st.lists(st.integers(-3000, 3000), min_size=4, max_size=8),
)
def test_integers_are_those_within_the_bounds(
    decoder: RandomDecoder, low: int, width: int, step: int, values: list[int]
) -> None:
    schema = {"type": "integer", "minimum": low, "maximum": low + width, "multipleOf": step}
    try:
        compiled = decoder.compile(json_grammar(schema))
    except InputError:
        assert not any(value % step == 0 for value in range(low, low + width + 1))
        return
    for value in (*values, low, low + width, 0, low // step * step):
        wanted = low <= value <= low + width and value % step == 0
        assert decoder.accepts(compiled, str(value)) == wanted, value


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    low=st.decimals(-50, 50, places=2),
    width=st.decimals(1, 40, places=2),
    is_open=st.booleans(),
    values=st.lists(st.decimals(-99, 99, places=3), min_size=4, max_size=8),
)
def test_decimals_are_those_within_the_bounds(
    decoder: RandomDecoder, low: Any, width: Any, is_open: bool, values: list[Any]
) -> None:
    keywords = ("exclusiveMinimum", "exclusiveMaximum") if is_open else ("minimum", "maximum")
    bounds = dict(zip(keywords, (float(low), float(low + width)), strict=True))
    compiled = decoder.compile(json_grammar({"type": "number", **bounds}))
    for value in (*values, low, low + width):
        text = json.dumps(float(value))
        within = low < value < low + width if is_open else low <= value <= low + width
        if "e" not in text and not text.startswith("-0.0") and text != "-0.0":
            short = text.removesuffix(".0")
            assert decoder.accepts(compiled, short) == within, short


def test_the_smallest_multiples_of_a_long_step_are_decoded(decoder: RandomDecoder) -> None:
    compiled = decoder.compile(json_grammar({"type": "integer", "multipleOf": 7919, "minimum": 1}))
    assert decoder.accepts(compiled, "7919")
    assert decoder.accepts(compiled, str(7919 * 900))
    assert not decoder.accepts(compiled, "0")
    assert not decoder.accepts(compiled, "7920")


@pytest.mark.parametrize("kind", ["integer", "number"])
def test_numbers_of_very_many_digits_have_right_masks(kind: str) -> None:
    decoder = RandomDecoder([*PIECES, b"1\xf0"])
    limits = Limits(integer_digits=260, fraction_digits=260)
    compiled = decoder.compile(json_grammar({"type": kind}, limits=limits))
    for length in (1, 100, 101, 129, 200, 201, 260):
        assert decoder.accepts(compiled, "1" * length)
    assert not decoder.accepts(compiled, "1" * 261)
    for seed in range(4):
        assert decoder.refused(compiled, seed=seed, max_tokens=300, sample=300) == []
