from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from ragkit import AsyncRAG, Document, Settings
from ragkit.core.settings import AnswerSettings, RetrievalSettings
from ragkit.evaluation.judge import Judge
from ragkit.evaluation.qa_systems import EndToEnd, Judged, ReaderOnly, whole_hit
from ragkit.evaluation.questions import GoldQuestion, QuestionSet
from ragkit.testing.embedder import HashEmbedder
from ragkit.testing.llm import ScriptedLLM

TEXTS = {
    "volga": "The longest river of Europe is the Volga.",
    "alps": "The highest mountain of the Alps is Mont Blanc.",
    "lake": "Lake Victoria is the largest lake of Africa.",
}
PARAGRAPHS = {
    uri: Document(uri=uri, title=uri.title(), text=text, content_hash=uri)
    for uri, text in TEXTS.items()
}
LAKE = GoldQuestion(
    id="lake",
    question="Which lake is the largest lake of Africa?",
    gold=("Victoria",),
    paragraph="lake",
)
SET = QuestionSet(name="places", paragraphs=PARAGRAPHS, items=(LAKE,))


@pytest_asyncio.fixture(name="rag")
async def _rag() -> AsyncIterator[AsyncRAG]:
    settings = Settings(
        answer=AnswerSettings(mode="extractive", threshold=0.0), retrieval=RetrievalSettings(k=1)
    )
    async with AsyncRAG(settings, index=":memory:", embedder=HashEmbedder()) as rag:
        await rag.ingest(*PARAGRAPHS.values())
        yield rag


async def test_end_to_end_answers_from_the_passages_that_a_search_finds(rag: AsyncRAG) -> None:
    measured = await EndToEnd(rag=rag)(LAKE)
    assert "Victoria" in measured.answer.text
    assert measured.evidence == "given"
    assert measured.seconds > 0


@pytest.mark.parametrize(
    ("paragraph", "gold", "evidence"),
    [("alps", "Mont Blanc", "low"), ("alps", "Everest", "missing"), ("gone", "x", "missing")],
)
async def test_the_evidence_says_how_far_the_right_passage_came(
    rag: AsyncRAG, paragraph: str, gold: str, evidence: str
) -> None:
    item = GoldQuestion(
        id="x", question="largest lake of Africa", gold=(gold,), paragraph=paragraph
    )
    assert (await EndToEnd(rag=rag)(item)).evidence == evidence


async def test_a_question_without_an_answer_needs_no_evidence(rag: AsyncRAG) -> None:
    item = GoldQuestion(id="x", question="largest lake of Africa", gold=(), paragraph="alps")
    assert (await EndToEnd(rag=rag)(item)).evidence == "given"


async def test_a_reader_is_given_the_whole_paragraph_of_the_question(rag: AsyncRAG) -> None:
    item = GoldQuestion(
        id="x", question="largest lake of Africa", gold=("Volga",), paragraph="volga"
    )
    measured = await ReaderOnly(rag=rag, dataset=SET)(item)
    assert [hit.chunk.uri for hit in measured.answer.hits] == ["volga"]
    assert {citation.uri for citation in measured.answer.citations} <= {"volga"}


async def test_a_judge_adds_its_measures(rag: AsyncRAG) -> None:
    system = ReaderOnly(rag=rag, dataset=SET)
    judge = Judge(ScriptedLLM(lambda _: "supported"))
    plain = await system(LAKE)
    measured = await Judged(system=system, judge=judge)(LAKE)
    assert (plain.judged, measured.answer.text) == ({}, plain.answer.text)
    assert measured.judged == {
        "faithfulness": 1.0, "citation_recall": 1.0, "citation_precision": 1.0, "undecided": 0.0
    }  # fmt: skip


def test_a_document_becomes_one_hit_with_all_of_its_text() -> None:
    chunk = whole_hit(PARAGRAPHS["volga"]).chunk
    assert (chunk.text, chunk.start, chunk.end) == (TEXTS["volga"], 0, len(TEXTS["volga"]))
