"""Character classes as they are written: nothing that an xgrammar reads wrongly."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.grammar.ebnf.charset import DIGITS, SCALARS
from ragkit.grammar.ebnf.expression import Chars, Lit, Rep, Seq, text, uniform
from ragkit.grammar.random_decoding import RandomDecoder


def scalars() -> st.SearchStrategy[int]:
    return st.one_of(st.integers(0, 0xD7FF), st.integers(0xE000, 0x10FFFF), st.integers(0, 0x900))


@given(scalars(), scalars())
def test_each_range_of_a_class_is_one_range_in_every_byte(one: int, other: int) -> None:
    low, high = sorted((one, other))
    within = [(max(low, a), min(high, b)) for a, b in SCALARS if low <= b and high >= a]
    parts = [part for span in within for part in uniform(*span)]
    for start, end in parts:
        first, last = chr(start).encode(), chr(end).encode()
        assert len(first) == len(last)
        count = 1
        for a, b in zip(first, last, strict=True):
            count *= b - a + 1
        assert count == end - start + 1
    covered = [code for part in parts for code in part]
    assert covered == sorted(covered)
    assert sum(end - start + 1 for start, end in parts) == sum(b - a + 1 for a, b in within)


def test_no_byte_of_a_character_is_a_dead_end_and_none_makes_an_invalid_one() -> None:
    decoder = RandomDecoder()
    compiled = decoder.compile(f"root ::= {text(Chars(SCALARS))}{{40,40}}")
    for seed in range(60):
        said = decoder.decode(compiled, seed=seed, max_tokens=161)
        assert said is not None
        assert len(said.decode()) == 40


@pytest.mark.parametrize(
    ("lo", "hi"), [(0, 101), (1, 130), (99, 101), (100, 100), (100, 250), (130, 130), (150, 420)]
)
def test_a_class_repeats_a_hundred_times_at_most_and_as_often_as_is_asked_for(
    decoder: RandomDecoder, lo: int, hi: int
) -> None:
    ebnf = f"root ::= {text(Seq((Rep(Chars(DIGITS), lo, hi), Lit('x'))))}"
    assert all(int(most) <= 100 for most in re.findall(r",(\d+)}", ebnf))
    compiled = decoder.compile(ebnf)
    for length in {0, lo - 1, lo, (lo + hi) // 2, 100, 101, hi, hi + 1}:
        if length >= 0:
            assert decoder.accepts(compiled, "1" * length + "x") == (lo <= length <= hi), length
