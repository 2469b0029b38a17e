import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from ragkit import RAG
from ragkit.core.protocols import Embedder
from ragkit.core.settings import AnswerSettings
from ragkit.core.types import Chunk, Hit
from ragkit.ingest.loaders import loader_for
from ragkit.rag.extractive import ABSTENTION, ExtractiveAnswerer

CORPUS = Path(__file__).parents[2] / "examples" / "corpus"


@dataclass(frozen=True)
class Question:
    question: str
    answers: tuple[str, ...]
    kind: str


def _questions() -> list[Question]:
    lines = (CORPUS / "questions.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    return [Question(row["question"], tuple(row["answers"]), row["kind"]) for row in rows]


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


async def test_headings_are_not_quoted(answerer: ExtractiveAnswerer) -> None:
    text = "# Longest river of Europe\n\nIt is the Volga, by far."
    hit = _hit(text)
    candidates = await answerer.candidates("What is the longest river of Europe?", [hit])
    assert "# Longest river of Europe" in [item.quote for item in candidates] or candidates
    assert all(item.quote.strip() for item in candidates)


async def test_the_threshold_decides(minilm: Embedder) -> None:
    hit = _hit("The longest river of Europe is the Volga.")
    strict = ExtractiveAnswerer(minilm, settings=AnswerSettings(threshold=1.0))
    assert (await strict.answer("What is the longest river of Europe?", [hit])).abstained


@pytest.mark.slow
def test_every_quote_over_the_corpus_is_found_at_its_offsets(corpus_rag: RAG) -> None:
    texts: dict[str, str] = {}
    quotes = 0
    for item in _questions():
        for citation in corpus_rag.ask(item.question).citations:
            if citation.uri not in texts:
                path = Path(citation.uri)
                loader = loader_for(path.name)
                texts[citation.uri] = loader.load(path.read_bytes(), uri=citation.uri).text
            assert texts[citation.uri][citation.start : citation.end] == citation.quote
            quotes += 1
    assert quotes >= 60


@pytest.mark.slow
def test_answers_over_the_corpus_are_right_more_often_than_not(corpus_rag: RAG) -> None:
    right = answered = 0
    abstained = {"off-topic": 0, "answerable": 0, "adversarial": 0}
    counts = dict.fromkeys(abstained, 0)
    for item in _questions():
        answer = corpus_rag.ask(item.question)
        counts[item.kind] += 1
        abstained[item.kind] += answer.abstained
        if item.kind == "answerable" and not answer.abstained:
            answered += 1
            right += any(gold in answer.text for gold in item.answers)
    assert right / answered > 0.6
    assert abstained["off-topic"] / counts["off-topic"] > 0.7
    assert abstained["answerable"] / counts["answerable"] < 0.2
