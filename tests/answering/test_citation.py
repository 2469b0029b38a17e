from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.answering.citation import citable, citation
from ragkit.core.types import Chunk


def _chunk(text: str, *, start: int = 0, headings: tuple[str, ...] = ()) -> Chunk:
    return Chunk(
        id="c",
        uri="doc",
        title="Rivers",
        text=text,
        start=start,
        end=start + len(text),
        heading_path=headings,
    )


def _citable(text: str, *, headings: tuple[str, ...] = ()) -> list[str]:
    chunk = _chunk(text, headings=headings)
    return [text[start:end] for start, end in citable(chunk, "english")]


def test_offsets_of_a_citation_are_those_of_the_document() -> None:
    cited = citation(_chunk("Cats sleep. Dogs bark.", start=100), 12, 22)
    assert (cited.quote, cited.start, cited.end) == ("Dogs bark.", 112, 122)


@pytest.mark.parametrize("heading", ["## Lengths", "Lengths\n-------", "Lengths"])
def test_headings_are_not_citable(heading: str) -> None:
    text = f"It is long.\n\n{heading}\n\nIt is the Volga, by far."
    assert _citable(text) == ["It is long.", "It is the Volga, by far."]


def test_a_heading_of_the_path_is_not_citable_even_with_a_full_stop() -> None:
    assert _citable("Read me.\n\nIt is long.", headings=("Read me.",)) == ["It is long."]


def test_a_table_is_citable_row_by_row_without_its_rules() -> None:
    table = "| River | Length |\n| --- | --- |\n| Volga | 3,531 km |"
    assert _citable(table) == ["| River | Length |", "| Volga | 3,531 km |"]


@given(st.text(alphabet="ab. \n#|-*", max_size=80))
def test_citable_spans_are_ordered_apart_and_not_blank(text: str) -> None:
    spans = citable(_chunk(text), "english")
    assert all(a[1] <= b[0] for a, b in pairwise(spans))
    assert all(text[start:end].strip() for start, end in spans)
