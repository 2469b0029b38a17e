import pytest

from ragkit.answering.abstention import ABSTENTION
from ragkit.answering.extractive import ExtractiveAnswerer
from ragkit.core.protocols import Embedder
from ragkit.core.settings import AnswerSettings
from ragkit.core.types import Chunk, Hit


def _hit(text: str, *, uri: str = "doc", start: int = 0) -> Hit:
    chunk = Chunk(
        id=f"{uri}:{start}", uri=uri, title="Rivers", text=text, start=start, end=start + len(text)
    )
    return Hit(chunk=chunk, score=1.0, trace={})


@pytest.fixture
def answerer(minilm: Embedder) -> ExtractiveAnswerer:
    return ExtractiveAnswerer(minilm, settings=AnswerSettings())


async def test_the_sentence_that_answers_is_quoted_with_its_place(
    answerer: ExtractiveAnswerer,
) -> None:
    text = "Cats sleep a lot. The longest river of Europe is the Volga. Dogs bark."
    answer = await answerer.answer("What is the longest river of Europe?", [_hit(text, start=100)])
    assert not answer.abstained
    quote = answer.citations[0]
    assert quote.quote == "The longest river of Europe is the Volga."
    assert text[quote.start - 100 : quote.end - 100] == quote.quote
    assert answer.text.startswith(quote.quote)


async def test_what_no_passage_answers_is_not_answered(answerer: ExtractiveAnswerer) -> None:
    answer = await answerer.answer("Who won the chess final of 1972?", [_hit("Cats sleep a lot.")])
    assert answer.abstained
    assert (answer.text, answer.citations) == (ABSTENTION, ())
    assert answer.confidence < 0.5


async def test_without_hits_it_abstains(answerer: ExtractiveAnswerer) -> None:
    answer = await answerer.answer("Who?", [])
    assert answer.abstained
    assert answer.confidence == 0.0


@pytest.mark.parametrize("heading", ["# Longest river of Europe", "Longest river of Europe"])
async def test_headings_are_not_quoted(answerer: ExtractiveAnswerer, heading: str) -> None:
    text = f"Cats sleep.\n\n{heading}\n\nIt is the Volga, by far.\n\n- an item without a full stop"
    candidates = await answerer.candidates("What is the longest river of Europe?", [_hit(text)])
    quotes = {item.quote for item in candidates}
    assert quotes == {"Cats sleep.", "It is the Volga, by far.", "- an item without a full stop"}


async def test_a_table_is_quoted_row_by_row(answerer: ExtractiveAnswerer) -> None:
    text = "| River | Length |\n| --- | --- |\n| Volga | 3,531 km |\n| Danube | 2,850 km |"
    candidates = await answerer.candidates("How long is the Danube?", [_hit(text)])
    assert candidates[0].quote == "| Danube | 2,850 km |"
    assert [item.unit.text for item in candidates] == [
        "River: Danube; Length: 2,850 km",
        "River: Volga; Length: 3,531 km",
    ]


async def test_the_threshold_decides(minilm: Embedder) -> None:
    hit = _hit("The longest river of Europe is the Volga.")
    strict = ExtractiveAnswerer(minilm, settings=AnswerSettings(threshold=1.0))
    assert (await strict.answer("What is the longest river of Europe?", [hit])).abstained
