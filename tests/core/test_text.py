from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit import ConfigError
from ragkit.core.text import sentences, terms


def test_sentences_end_at_full_stops_but_not_in_abbreviations() -> None:
    text = "Dr. Smith measured 3.5 km. He went home.\n\nA new paragraph"
    assert [text[a:b] for a, b in sentences(text)] == [
        "Dr. Smith measured 3.5 km.",
        "He went home.",
        "A new paragraph",
    ]


@given(st.text())
def test_sentences_are_ordered_and_hold_all_that_is_not_white_space(text: str) -> None:
    spans = sentences(text)
    assert all(a < b for a, b in spans)
    assert all(first[1] <= second[0] for first, second in pairwise(spans))
    assert sum(len("".join(text[a:b].split())) for a, b in spans) == len("".join(text.split()))


def test_terms_are_stems_without_stop_words() -> None:
    assert terms("The Engines were RUNNING, and the engine ran") == ["engin", "run", "engin", "ran"]


def test_an_unknown_language_is_named_with_those_known() -> None:
    with pytest.raises(ConfigError, match=r"'klingon'.*english"):
        terms("x", language="klingon")
