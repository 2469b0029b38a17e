"""Character classes as they are written: nothing that an xgrammar reads wrongly."""

from hypothesis import given
from hypothesis import strategies as st

from ragkit.grammar.ebnf.charset import SCALARS
from ragkit.grammar.ebnf.expression import Chars, text, uniform
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
