import pytest

from ragkit.answering.abstention import ABSTENTION
from ragkit.answering.reader import ReaderAnswerer
from ragkit.core.settings import AnswerSettings, EmbedderSettings
from ragkit.core.types import Chunk, Hit
from ragkit.models.build import build_embedder
from ragkit.models.cross_encoder import packaged_cross_encoder

RIVERS = "Cats sleep a lot. The longest river of Europe is the Volga. Dogs bark."
QUESTION = "What is the longest river of Europe?"


def _hit(text: str, *, uri: str = "doc", start: int = 0) -> Hit:
    chunk = Chunk(
        id=f"{uri}:{start}", uri=uri, title="Rivers", text=text, start=start, end=start + len(text)
    )
    return Hit(chunk=chunk, score=1.0, trace={})


def _reader(*, threshold: float) -> ReaderAnswerer:
    settings = AnswerSettings(threshold=threshold)
    return ReaderAnswerer(
        packaged_cross_encoder(), build_embedder(EmbedderSettings()), settings=settings
    )


@pytest.fixture
def answerer() -> ReaderAnswerer:
    return _reader(threshold=0.0)


async def test_the_answer_is_a_span_and_its_sentence_is_quoted(answerer: ReaderAnswerer) -> None:
    answer = await answerer.answer(QUESTION, [_hit("Dogs bark."), _hit(RIVERS, start=100)])
    assert "Volga" in answer.text
    assert len(answer.text) < 20
    quote = answer.citations[0]
    assert quote.quote == "The longest river of Europe is the Volga."
    assert RIVERS[quote.start - 100 : quote.end - 100] == quote.quote


async def test_other_passages_that_say_the_same_are_cited_too(answerer: ReaderAnswerer) -> None:
    hits = [_hit(RIVERS, uri="one"), _hit(RIVERS, uri="two"), _hit("Dogs bark.", uri="three")]
    answer = await answerer.answer(QUESTION, hits)
    assert {citation.uri for citation in answer.citations} == {"one", "two"}


async def test_what_no_passage_answers_is_not_answered() -> None:
    answerer = _reader(threshold=0.5)
    question = "Who won the chess final of 1972?"
    for hits in ([], [_hit("Cats sleep a lot.")], [_hit("")]):
        answer = await answerer.answer(question, hits)
        assert (answer.text, answer.citations, answer.abstained) == (ABSTENTION, (), True)
        assert answer.confidence < 0.5


async def test_without_hits_it_abstains_whatever_the_threshold(answerer: ReaderAnswerer) -> None:
    assert (await answerer.answer(QUESTION, [])).abstained


async def test_a_table_is_cited_by_its_row(answerer: ReaderAnswerer) -> None:
    table = "| country | capital |\n| --- | --- |\n| Norway | Oslo |\n| Sweden | Stockholm |"
    answer = await answerer.answer("What is the capital of Norway?", [_hit(table)])
    assert answer.text in answer.citations[0].quote
    assert answer.citations[0].quote in table
