from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from ragkit.grammar.ebnf import charset
from ragkit.grammar.ebnf.expression import Ranges

SPANS = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 9)).map(lambda pair: (pair[0], sum(pair))),
    max_size=5,
).map(lambda spans: charset.union(tuple(spans)))


def members(ranges: Ranges, *, below: int = 100) -> set[int]:
    return {code for low, high in ranges for code in range(low, min(high, below - 1) + 1)}


@given(SPANS, SPANS)
def test_sets_behave_as_sets_do(left: Ranges, right: Ranges) -> None:
    a, b = members(left), members(right)
    assert members(charset.union(left, right)) == a | b
    assert members(charset.intersection(left, right)) == a & b
    assert members(charset.difference(left, right)) == a - b
    assert members(charset.complement(left)) == set(range(100)) - a


@given(SPANS)
def test_ranges_are_sorted_and_apart(ranges: Ranges) -> None:
    assert all(a[1] + 1 < b[0] for a, b in pairwise(ranges))


def test_no_set_holds_a_surrogate() -> None:
    assert charset.intersection(charset.complement(()), ((0xD800, 0xDFFF),)) == ()


def test_narrow_categories_are_within_the_wide_ones() -> None:
    for name in "dws":
        narrow, wide = charset.category(name, wide=False), charset.category(name, wide=True)
        assert charset.difference(narrow, wide) == ()
    assert charset.intersection(charset.category("w", wide=True), charset.of("é")) != ()


def test_a_coarse_set_keeps_latin_letters_and_long_ranges() -> None:
    letters = charset.unicode_category("L")
    coarse = charset.coarse(letters)
    assert len(coarse) < 200 < len(letters)
    assert charset.difference(coarse, letters) == ()
    assert charset.difference(charset.of("aZéß字한"), coarse) == ()
    assert charset.unicode_category("Klingon") == ()
