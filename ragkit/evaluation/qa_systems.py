"""The question-answering systems that are measured: end to end, reader only, and judged."""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from ragkit.core.types import Answer, Chunk, Document, Hit, stable_id
from ragkit.evaluation.judge import Judge, judged
from ragkit.evaluation.questions import GoldQuestion, QuestionSet
from ragkit.sdk import AsyncRAG

Evidence: TypeAlias = Literal["given", "low", "missing"]
"""The passage with the answer was given to the answerer, was ranked too low for that, or was not
retrieved."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredAnswer:
    """The answer to a question with the time it took, its evidence and a judge's measures."""

    answer: Answer
    seconds: float
    evidence: Evidence
    judged: Mapping[str, float] = field(default_factory=dict[str, float])


AnswerQuestion: TypeAlias = Callable[[GoldQuestion], Awaitable[MeasuredAnswer]]
"""A question-answering system."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndToEnd:
    """Answers from a search over all paragraphs, as `RAG.ask` does."""

    rag: AsyncRAG

    async def __call__(self, item: GoldQuestion) -> MeasuredAnswer:
        """Answer a question."""
        started = time.perf_counter()
        answer = await self.rag.ask(item.question)
        seconds = time.perf_counter() - started
        shown = [hit for hit in answer.hits if hit.chunk.id not in answer.left_out]
        return MeasuredAnswer(
            answer=answer, seconds=seconds, evidence=await self._evidence(item, shown)
        )

    async def _evidence(self, item: GoldQuestion, hits: Sequence[Hit]) -> Evidence:
        if not item.gold or any(_has_answer(hit.chunk, item) for hit in hits):
            return "given"
        explanation = (await self.rag.search(item.question, explain=True)).explanation
        stages = () if explanation is None else tuple(explanation.stages.values())
        candidates = list(dict.fromkeys(chunk for ranked in stages for chunk, _, _ in ranked))
        index = await self.rag.index()
        chunks = await index.fetch(candidates, tenant=self.rag.settings.tenant)
        return "low" if any(_has_answer(chunk, item) for chunk in chunks) else "missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderOnly:
    """Answers from the question's own paragraph, so that only reading is measured."""

    rag: AsyncRAG
    dataset: QuestionSet

    async def __call__(self, item: GoldQuestion) -> MeasuredAnswer:
        """Answer a question."""
        hit = whole_hit(self.dataset.paragraphs[item.paragraph])
        started = time.perf_counter()
        answer = await self.rag.answerer.answer(item.question, [hit])
        seconds = time.perf_counter() - started
        return MeasuredAnswer(answer=answer, seconds=seconds, evidence="given")


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """Another system, whose answers a language model judges."""

    system: AnswerQuestion
    judge: Judge
    language: str = "english"

    async def __call__(self, item: GoldQuestion) -> MeasuredAnswer:
        """Answer a question and judge the answer."""
        measured = await self.system(item)
        judgement = await judged(measured.answer, self.judge, language=self.language)
        return replace(measured, judged={} if judgement is None else judgement.measures)


def whole_hit(document: Document) -> Hit:
    """Return a document as one hit, as if a search had found just that."""
    chunk = Chunk(
        id=stable_id("whole", document.uri, document.content_hash),
        uri=document.uri,
        title=document.title,
        text=document.text,
        start=0,
        end=len(document.text),
    )
    return Hit(chunk=chunk, score=1.0, trace={})


def _has_answer(chunk: Chunk, item: GoldQuestion) -> bool:
    return chunk.uri == item.paragraph and any(text in chunk.text for text in item.gold)
