"""Measuring the SDK's answers on questions with gold answers: on given paragraphs or end to end."""

import dataclasses
import json
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from ragkit.core.protocols import OnProgress
from ragkit.core.settings import Settings
from ragkit.core.types import Chunk, Document, Hit, stable_id
from ragkit.evaluation.answers import Ask, Asked, Evidence, Given, evaluate_qa
from ragkit.evaluation.checkpoint import Finished, digest, setup_digest
from ragkit.evaluation.judge import Judge, judged
from ragkit.evaluation.questions import Item, QuestionSet
from ragkit.evaluation.retrieval_run import (
    EVALUATION_FOLDER,
    FINISHED_FILE,
    REPLIES_FILE,
    check_indexed,
)
from ragkit.evaluation.runs import Evaluation
from ragkit.index.open import identity_for
from ragkit.llm.open import open_llm
from ragkit.llm.wrappers.cache import Cache, FileReplies
from ragkit.sdk import AsyncRAG

STAGE = "answers"


async def measure_answers(  # noqa: PLR0913  # one argument for each choice of a run
    settings: Settings,
    dataset: QuestionSet,
    *,
    given: Given = "search",
    seed: int = 0,
    fresh: bool = False,
    concurrency: int = 1,
    judge: str | None = None,
    on_progress: OnProgress | None = None,
) -> Evaluation:
    """Ask the SDK's answerer every question.

    With `given="search"` all paragraphs are ingested under `.ragkit/eval` and `RAG.ask` is
    measured. Finished questions are kept there by all that decides them; `fresh` asks them anew.
    `judge` names a language model that judges faithfulness and citations, as `llm.model` does;
    its verdicts are kept too.
    """
    corpus = dataset.corpus_digest
    rag = _rag(settings, dataset, corpus, on_progress)
    store = FileReplies(FINISHED_FILE)
    judging = settings.llm.model_copy(update={"model": judge})
    judged_by = setup_digest(settings.model_copy(update={"llm": judging})) if judge else ""
    identity = digest(setup_digest(settings), STAGE, given, corpus, judged_by)
    ask = _from_search(rag) if given == "search" else _from_paragraph(rag, dataset)
    try:
        chunks = 0
        if given == "search":
            await _ingest(rag, dataset)
            chunks = sum(record.chunks for record in await rag.documents())
        async with _judging(ask, settings, judge) as judged_ask:
            result = await evaluate_qa(
                dataset,
                judged_ask,
                seed=seed,
                finished=Finished(store, identity=identity, fresh=fresh),
                concurrency=concurrency,
                on_progress=on_progress,
            )
    finally:
        store.close()
        await rag.close()
    return Evaluation(
        kind="qa",
        dataset=dataset.name,
        corpus=corpus,
        documents=len(dataset.paragraphs),
        chunks=chunks,
        queries=len(dataset.items),
        stages={STAGE: result},
        questions={item.id: item.question for item in dataset.items},
        fingerprints=dataset.fingerprints,
        seed=seed,
    )


@asynccontextmanager
async def _judging(ask: Ask, settings: Settings, model: str | None) -> AsyncGenerator[Ask]:
    """Have each answer judged by this model, if one is named."""
    if model is None:
        yield ask
        return
    llm = open_llm(settings.llm.model_copy(update={"model": model}))
    replies = FileReplies(REPLIES_FILE)
    judge = Judge(Cache(llm, replies))

    async def judging(item: Item) -> Asked:
        asked = await ask(item)
        judgement = await judged(asked.answer, judge, language=settings.index.language)
        measures = {} if judgement is None else judgement.measures
        return dataclasses.replace(asked, judged=measures)

    try:
        yield judging
    finally:
        replies.close()
        await llm.close()


def _rag(
    settings: Settings, dataset: QuestionSet, corpus: str, on_progress: OnProgress | None
) -> AsyncRAG:
    embedder = AsyncRAG(settings).embedder
    identity = dataclasses.asdict(identity_for(embedder, settings.index))
    stored = (settings.ingest.model_dump_json(), settings.index.quantization, corpus)
    built = digest(json.dumps(identity), *stored)
    location = EVALUATION_FOLDER / f"{dataset.name}-{built[:12]}"
    return AsyncRAG(settings, index=location, embedder=embedder, on_progress=on_progress)


async def _ingest(rag: AsyncRAG, dataset: QuestionSet) -> None:
    check_indexed(await rag.ingest(*dataset.paragraphs.values()), dataset.name)


def _from_paragraph(rag: AsyncRAG, dataset: QuestionSet) -> Ask:
    async def ask(item: Item) -> Asked:
        hit = whole_hit(dataset.paragraphs[item.paragraph])
        started = time.perf_counter()
        answer = await rag.answerer.answer(item.question, [hit])
        return Asked(answer=answer, seconds=time.perf_counter() - started, evidence="given")

    return ask


def whole_hit(document: Document) -> Hit:
    """A document as one hit, as if a search had found just that."""
    chunk = Chunk(
        id=stable_id("whole", document.uri, document.content_hash),
        uri=document.uri,
        title=document.title,
        text=document.text,
        start=0,
        end=len(document.text),
    )
    return Hit(chunk=chunk, score=1.0, trace={})


def _from_search(rag: AsyncRAG) -> Ask:
    async def ask(item: Item) -> Asked:
        started = time.perf_counter()
        answer = await rag.ask(item.question)
        seconds = time.perf_counter() - started
        shown = [hit for hit in answer.hits if hit.chunk.id not in answer.left_out]
        evidence = await _evidence(rag, item, shown)
        return Asked(answer=answer, seconds=seconds, evidence=evidence)

    return ask


async def _evidence(rag: AsyncRAG, item: Item, hits: Sequence[Hit]) -> Evidence:
    if not item.gold or any(_has_answer(hit.chunk, item) for hit in hits):
        return "given"
    explanation = (await rag.search(item.question, explain=True)).explanation
    stages = () if explanation is None else tuple(explanation.stages.values())
    candidates = list(dict.fromkeys(chunk for ranked in stages for chunk, _, _ in ranked))
    chunks = await (await rag.index()).fetch(candidates, tenant=rag.settings.tenant)
    return "low" if any(_has_answer(chunk, item) for chunk in chunks) else "missing"


def _has_answer(chunk: Chunk, item: Item) -> bool:
    return chunk.uri == item.paragraph and any(text in chunk.text for text in item.gold)
