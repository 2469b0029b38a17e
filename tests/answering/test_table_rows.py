import pytest

from ragkit.answering.table_rows import cells_of, is_row, is_rule, joined


def _cells(row: str, *, literal: bool = False) -> list[str]:
    return [cell.text for cell in cells_of(row, 0, len(row), literal=literal)]


@pytest.mark.parametrize(
    ("row", "cells"),
    [
        ("| a | **b** |", ["a", "b"]),
        ("a | b", ["a", "b"]),
        ("| `x | y` | z |", ["x | y", "z"]),
        (r"| a \| b | c |", ["a | b", "c"]),
        ("| a | | c |", ["a", "", "c"]),
    ],
)
def test_cells_are_divided_by_bars_outside_of_code(row: str, cells: list[str]) -> None:
    assert _cells(row) == cells


def test_cells_of_a_literal_row_keep_their_marks() -> None:
    assert _cells("2**3 | 8", literal=True) == ["2**3", "8"]


def test_rows_and_rules_are_told_apart() -> None:
    assert [is_row(line, literal=False) for line in ("| a |", "--- | ---", "a | b", "-")] == [
        True,
        True,
        False,
        False,
    ]
    assert is_row("a | b", literal=True)
    assert [is_rule(line) for line in ("|---|:-:|", "| - a | b |", "+---+---+")] == [
        True,
        False,
        True,
    ]
    assert is_rule("| - | :-: |")
    assert not is_rule("- a | b")


def test_cells_are_joined_after_the_names_of_their_columns() -> None:
    row = "| Volga | | [3,531](x) km |"
    plain = joined(cells_of(row, 0, len(row), literal=False), ["River", "Sea", "Length"])
    assert plain.text == "River: Volga; Length: 3,531 km"
    assert len(plain.offsets) == len(plain.text)
    assert [plain.text[start:end] for start, end in plain.units] == ["3,531"]
    assert [plain.text[start:end] for start, end in plain.parts] == ["Volga", "3,531 km"]
    at = plain.text.index("3,531")
    assert row[plain.offsets[at]] == "3"
