import pytest

from ragkit.core.types import Answer, Citation, Timings, Usage
from ragkit.evaluation.lexical_support import lexical_support


def _answer(text: str, *quotes: str) -> Answer:
    citations = tuple(
        Citation(chunk_id="c", uri="u", quote=quote, start=0, end=len(quote)) for quote in quotes
    )
    return Answer(
        text=text,
        citations=citations,
        abstained=False,
        confidence=1.0,
        hits=(),
        usage=Usage(),
        timings=Timings(total_s=0.0),
    )


@pytest.mark.parametrize(
    ("text", "quotes", "expected"),
    [
        ("The zebra has stripes.", ["A zebra is a horse.", "It has stripes."], 1.0),
        ("Zebras run. Lions sleep all day.", ["The zebra ran and runs."], 0.5),
        ("The lion sleeps.", [], 0.0),
        ("It is.", [], 1.0),
        ("", ["The lion sleeps."], 0.0),
    ],
)
def test_sentences_count_whose_words_are_quoted(
    text: str, quotes: list[str], expected: float
) -> None:
    assert lexical_support(_answer(text, *quotes)) == expected


def test_the_share_of_words_that_suffices_can_be_set() -> None:
    answer = _answer("Striped zebras gallop quickly.", "Striped zebras gallop.")
    assert lexical_support(answer) == 0.0
    assert lexical_support(answer, least=0.75) == 1.0
