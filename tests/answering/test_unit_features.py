import pytest

from ragkit.answering.unit_features import MOST_SPAN, UnitCandidate, UnitReader
from ragkit.core.types import Chunk, Hit
from ragkit.models.cross_encoder import packaged_cross_encoder
from ragkit.testing.embedder import HashEmbedder

CLIENT = "## Redirects\n\nCats sleep. Set follow_redirects or maxRetries to 5 in the client.\n"
OTHER = "Dogs bark in the night.\n\n- an item\n\n```\nx = f(1)\n```\n"


def _hit(text: str, uri: str) -> Hit:
    chunk = Chunk(id=uri, uri=uri, title="Manual", text=text, start=0, end=len(text))
    return Hit(chunk=chunk, score=1.0, trace={})


async def _read(question: str, *texts: str) -> list[list[UnitCandidate]]:
    reader = UnitReader(model=packaged_cross_encoder(), embedder=HashEmbedder())
    return await reader.read(question, [_hit(text, f"{at}.md") for at, text in enumerate(texts)])


async def test_every_unit_of_every_hit_is_rated_in_reading_order() -> None:
    found = await _read("How many retries?", CLIENT, "", OTHER)
    assert [[one.unit.text for one in units] for units in found] == [
        ["Cats sleep.", "Set follow_redirects or maxRetries to 5 in the client."],
        ["Dogs bark in the night.", "an item", "x = f(1)"],
    ]
    assert [units[0].features.rank for units in found] == [1.0, pytest.approx(1 / 3)]
    assert [one.form.code for one in found[1]] == [0.0, 0.0, 1.0]


async def test_no_hits_have_no_units() -> None:
    assert await _read("Who?") == []
    assert await _read("Who?", "", "---") == []


async def test_words_of_a_question_are_found_inside_names_and_headings() -> None:
    (units,) = await _read("retries when redirects", CLIENT)
    cats, names = units
    assert names.features.context_coverage == pytest.approx(1.0)
    assert 0.0 < cats.features.context_coverage < 1.0
    assert cats.features.heading_coverage == cats.features.context_coverage


async def test_the_short_answer_of_a_unit_lies_in_it() -> None:
    (units,) = await _read("To how many is maxRetries set?", CLIENT)
    for one in units:
        assert one.span is not None
        assert 0 <= one.span.start < one.span.end <= len(one.unit.text)
        assert one.features.span == min(one.span.score, MOST_SPAN)
    assert units[1].span is not None
    assert "5" in units[1].unit.text[units[1].span.start : units[1].span.end]


async def test_code_costs_less_where_instructions_are_asked_for() -> None:
    costs = {
        question: (await _read(question, OTHER))[0][2].form.code
        for question in ("How do I call f?", "What is f?")
    }
    assert costs == {"How do I call f?": pytest.approx(1 / 3), "What is f?": 1.0}


async def test_texts_that_were_rated_before_are_not_embedded_again() -> None:
    embedder = HashEmbedder()
    reader = UnitReader(model=packaged_cross_encoder(), embedder=embedder)
    first = await reader.read("How many retries?", [_hit(CLIENT, "a.md")])
    kept = dict(reader.vectors)
    again = await reader.read("How many retries?", [_hit(CLIENT, "a.md")])
    assert [one.features for one in first[0]] == [one.features for one in again[0]]
    assert all(reader.vectors[text] is vector for text, vector in kept.items())
    assert len(reader.vectors) == len(kept)
