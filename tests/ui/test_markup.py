import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.ui.document_text import Segment
from ragkit.ui.markup import (
    answer_html,
    citation_line,
    confidence_html,
    live_html,
    meta_html,
    milliseconds,
    passage_html,
    prose,
    table_html,
)
from ragkit.ui.stored_answer import StoredAnswer, StoredCitation

EVIL = '<script>alert(1)</script><img src=x onerror="alert(2)">'


@given(st.text())
def test_text_is_shown_as_it_is(text: str) -> None:
    shown = prose(text)
    assert set(re.findall(r"</?[^>]*>", shown)) <= {"<pre>", "</pre>"}


@pytest.mark.parametrize(
    "html",
    [
        prose(EVIL),
        prose(EVIL, span=(0, 5)),
        live_html(EVIL),
        passage_html([Segment(text=EVIL), Segment(text=EVIL, marked=True)]),
        table_html((EVIL,), [(EVIL,)]),
        answer_html(StoredAnswer(outcome="answered", text=EVIL)),
        meta_html(StoredAnswer(outcome="answered", text="", by=EVIL, seconds={EVIL: 1.0})),
    ],
)
def test_markup_of_documents_and_models_does_nothing(html: str) -> None:
    assert "<script" not in html
    assert "<img" not in html


def test_the_short_answer_is_marked_in_its_sentence() -> None:
    answer = StoredAnswer(outcome="answered", text="It takes 5 days.", span=(9, 15))
    assert "It takes <mark>5 days</mark>." in answer_html(answer)


def test_fenced_code_is_shown_as_code() -> None:
    assert prose("Do:\n```py\na < b\n```\nDone") == "Do:\n<pre>a &lt; b\n</pre>\nDone"


def test_confidence_is_said_in_words_not_by_colour_alone() -> None:
    assert 'aria-label="Confidence 0.90, high"' in confidence_html(0.9)
    assert "low confidence, 0.10" in confidence_html(0.1)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.0001, "<1 ms"), (0.0123, "12 ms"), (0.9, "900 ms"), (2.34, "2.3 s")]
)
def test_times_are_in_the_unit_that_is_read_best(seconds: float, text: str) -> None:
    assert milliseconds(seconds) == text


def test_a_source_is_named_with_headings_and_page() -> None:
    cited = StoredCitation(
        number=1, uri="u", title="T", quote="q", start=0, end=1, page=3, headings=("T", "A", "B")
    )
    assert citation_line(cited) == "T > A > B > page 3"
