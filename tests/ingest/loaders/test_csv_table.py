"""Delimiters and quotes of CSV files."""

import pytest

from ragkit import InputError
from ragkit.ingest.loaders import loader_for


def text(source: str) -> str:
    return loader_for(".csv").load(source.encode(), uri="a.csv").text


def test_an_apostrophe_is_not_a_quote() -> None:
    source = (
        "title,review\nA,'90s music is great\nB,nothing to see\nC,good 'ol days\n"
        "D,the kids', they said\nE,tail\n"
    )
    assert text(source).split("\n") == [
        "title | review",
        "A | '90s music is great",
        "B | nothing to see",
        "C | good 'ol days",
        "D | the kids' | they said",
        "E | tail",
    ]


def test_an_apostrophe_beside_another_delimiter_decides_nothing() -> None:
    assert text("a;b\n1;x ,'y', z\n2;w\n3;v\n") == "a | b\n1 | x ,'y', z\n2 | w\n3 | v"


def test_a_quoted_field_after_a_space_is_one_field() -> None:
    assert text('id, text\n1, "a, b"\n2, "c, d"\n') == "id | text\n1 | a, b\n2 | c, d"


@pytest.mark.parametrize("delimiter", [";", ",", "\t", "|", "^"])
def test_the_line_that_names_the_delimiter_is_not_the_header(delimiter: str) -> None:
    source = f"sep={delimiter}\na{delimiter}b\n1{delimiter}2\n"
    assert text(source) == text(f"\ufeff{source}") == "a | b\n1 | 2"


@pytest.mark.parametrize("source", [",,\n,,", "sep=;\n", ";\n", '""\n""'])
def test_a_table_without_text_is_empty(source: str) -> None:
    with pytest.raises(InputError, match=r"'a.csv' is empty: .* Fix:"):
        text(source)
