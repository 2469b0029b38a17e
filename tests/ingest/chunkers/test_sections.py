"""Sections: nothing lost, headings first, small ones joined, long ones divided evenly."""

from collections.abc import Sequence
from itertools import accumulate
from typing import overload

from hypothesis import given
from hypothesis import strategies as st

from ragkit.ingest.chunkers.sections import sections_of, split_section
from ragkit.ingest.chunkers.units import TextUnit


def units_of(shapes: Sequence[tuple[bool, int]]) -> list[TextUnit]:
    """Units of (is a heading, tokens), one after the other."""
    ends = list(accumulate(tokens for _, tokens in shapes))
    return [
        TextUnit(start=end - tokens, end=end, tokens=tokens, is_heading=heading, path=(), page=None)
        for (heading, tokens), end in zip(shapes, ends, strict=True)
    ]


SHAPES = st.lists(st.tuples(st.booleans(), st.integers(1, 20)), max_size=40)


@given(SHAPES, st.integers(20, 60))
def test_sections_hold_every_unit_once_and_begin_with_headings(
    shapes: list[tuple[bool, int]], size: int
) -> None:
    units = units_of(shapes)
    sections = list(sections_of(units, size))
    assert [unit for section in sections for unit in section] == units
    assert all(section[0].is_heading for section in sections[1:])


@given(SHAPES, st.integers(20, 60))
def test_parts_of_a_section_hold_every_unit_once_and_fit(
    shapes: list[tuple[bool, int]], size: int
) -> None:
    units = units_of(shapes)
    parts = list(split_section(units, size)) if units else []
    assert [unit for part in parts for unit in part] == units
    assert all(sum(unit.tokens for unit in part) <= size for part in parts)


def test_a_small_section_is_joined_to_the_next_and_a_full_one_is_not() -> None:
    units = units_of([(True, 2), (False, 3), (True, 2), (False, 30), (True, 2), (False, 3)])
    assert [len(section) for section in sections_of(units, 40)] == [4, 2]


def test_headings_in_a_row_stay_together() -> None:
    units = units_of([(True, 2), (True, 2), (False, 30), (True, 2), (True, 2), (False, 30)])
    assert [len(section) for section in sections_of(units, 40)] == [3, 3]


class CountedUnits(Sequence[TextUnit]):
    """Units that count how often one of them is looked at."""

    def __init__(self, units: Sequence[TextUnit]) -> None:
        self.looked_at = 0
        self._units = units

    def __len__(self) -> int:
        return len(self._units)

    @overload
    def __getitem__(self, index: int) -> TextUnit: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[TextUnit]: ...
    def __getitem__(self, index: int | slice) -> TextUnit | Sequence[TextUnit]:
        found = self._units[index]
        self.looked_at += len(found) if isinstance(found, Sequence) else 1
        return found


def test_the_work_for_many_headings_grows_with_their_number() -> None:
    units = CountedUnits(units_of([(True, 2), (False, 4)] * 2000))
    assert sum(map(len, sections_of(units, 20))) == 4000
    assert units.looked_at < 3 * 4000
