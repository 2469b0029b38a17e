"""Answers over the example corpus, by each answerer that needs no language model."""

import asyncio
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from ragkit import RAG, Settings
from ragkit.answering.build import build_answerer
from ragkit.core.settings import AnswerSettings
from ragkit.core.types import Answer, Hit
from ragkit.evaluation.answer_metrics import f1
from ragkit.ingest.loaders import loader_for

CORPUS = Path(__file__).parents[2] / "examples" / "corpus"

EVERY = int(os.environ.get("RAGKIT_TEST_EVERY", "3"))
"""One question of so many is asked, and a third of those of the older answerers; 1 asks all."""

_MARKUP = re.compile(r"\*\*|\]\(|^#+ |`|\{ ?#|</?[a-z]+>", re.MULTILINE)

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Question:
    question: str
    answers: tuple[str, ...]
    kind: str


@pytest.fixture(scope="module")
def found(corpus_rag: RAG) -> list[tuple[Question, list[Hit]]]:
    """Every question of the corpus with what search finds."""
    rows = map(
        json.loads, (CORPUS.parent / "questions.jsonl").read_text(encoding="utf-8").splitlines()
    )
    questions = [Question(row["question"], tuple(row["answers"]), row["kind"]) for row in rows]
    taken = questions[::EVERY]
    return [(item, corpus_rag.search(item.question)) for item in taken]


@pytest.fixture(scope="module", params=["snippet", "reader", "extractive"])
def asked(
    request: pytest.FixtureRequest, corpus_rag: RAG, found: list[tuple[Question, list[Hit]]]
) -> list[tuple[Question, Answer]]:
    """Every question with its answer."""
    rag = corpus_rag.asynchronous
    found = found if request.param == "snippet" else found[::3]
    settings = Settings(answer=AnswerSettings(mode=request.param))
    answerer = build_answerer(settings, embedder=rag.embedder)
    return [(item, asyncio.run(answerer.answer(item.question, hits))) for item, hits in found]


def test_every_quote_is_found_at_its_offsets(asked: list[tuple[Question, Answer]]) -> None:
    citations = [citation for _, answer in asked for citation in answer.citations]
    texts: dict[str, str] = {}
    for citation in citations:
        if citation.uri not in texts:
            path = CORPUS.parent / citation.uri
            texts[citation.uri] = loader_for(path.name).load(path.read_bytes(), uri="x").text
        assert texts[citation.uri][citation.start : citation.end] == citation.quote
    assert len(citations) > len(asked) / 2


def test_answers_are_right_more_often_than_not(asked: list[tuple[Question, Answer]]) -> None:
    def of(kind: str) -> list[tuple[Question, Answer]]:
        return [(item, answer) for item, answer in asked if item.kind == kind]

    def right(item: Question, answer: Answer) -> bool:
        holds = any(gold in answer.text for gold in item.answers)
        return holds or f1(answer.text, item.answers) > 0.5

    answered = [pair for pair in of("answerable") if not pair[1].abstained]
    assert sum(right(*pair) for pair in answered) / len(answered) > 0.6
    assert len(answered) / len(of("answerable")) > 0.8
    off_topic = [answer.abstained for _, answer in of("off-topic")]
    assert sum(off_topic) / len(off_topic) > 0.7


def test_no_markup_is_shown_and_spans_divide_no_word(asked: list[tuple[Question, Answer]]) -> None:
    spans = 0
    for _, answer in asked:
        assert not _MARKUP.search(answer.text)
        if answer.span is not None:
            start, end = answer.span.start, answer.span.end
            assert answer.text[start:end] == answer.span.text
            assert not re.match(r"\w\w", answer.text[max(0, start - 1) : start + 1])
            assert not re.match(r"\w\w", answer.text[end - 1 : end + 1])
            spans += 1
    assert spans > len(asked) / 3 or all(answer.span is None for _, answer in asked)
