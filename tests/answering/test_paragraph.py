import pytest

from ragkit.answering.markup import plain_text
from ragkit.answering.paragraph import (
    Sentence,
    asks,
    is_set_off,
    question_before,
    sentences_of,
    without_label,
)


def _sentences(source: str) -> list[Sentence]:
    plain = plain_text(source, 0, len(source))
    return list(sentences_of(plain, (0, len(source)), source, "english"))


@pytest.mark.parametrize(
    ("source", "question", "count"),
    [
        ("**Can it fly?** No.", "Can it fly?", 1),
        ("Q: Can it fly?\nA: No.", "Can it fly?", 1),
        ("Question 12: Can it fly? No.", "Can it fly?", 1),
        ("Can it fly? Can it swim? No.", "Can it fly? Can it swim?", 2),
        ("Can it fly?", "Can it fly?", 1),
        ("飞吗？ 不。", "飞吗？", 1),
        ("It can. Can it fly?", "", 0),
        ("Quick answers help.", "", 0),
    ],
)
def test_the_questions_that_a_paragraph_begins_with_are_one(
    source: str, question: str, count: int
) -> None:
    assert question_before(_sentences(source)) == (question, count)


def test_a_question_is_set_off_in_bold_or_by_its_letter() -> None:
    set_off = (
        "**Why?** So.",
        "__Why?__",
        "<b>Why?</b>",
        "Q: Why?",
        "> **Why?**",
        "Question 1: Why?",
    )
    assert all(map(is_set_off, set_off))
    assert not any(map(is_set_off, ("Why? So.", "*Why?*", "Quality?", "")))


def test_an_answer_is_shown_without_its_letter_and_cited_from_there() -> None:
    source = "A: It is [here](x)."
    (sentence,) = map(without_label, _sentences(source))
    assert sentence.text == "It is here."
    assert source[sentence.start : sentence.end] == "It is [here](x)."
    assert [sentence.text[start:end] for start, end in sentence.plain.units] == ["here"]
    for same in ("A dog runs.", "A:"):
        assert [without_label(one) for one in _sentences(same)] == _sentences(same)


def test_a_question_ends_in_a_question_mark_of_any_script() -> None:
    assert all(map(asks, ("Why?", "为什么？", "لماذا؟")))
    assert not any(map(asks, ("Why", "Why? No.", "")))
