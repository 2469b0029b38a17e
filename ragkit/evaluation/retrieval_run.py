"""Measuring the default pipeline on a judged data set: index it once, run the stages."""

import hashlib
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import astuple
from pathlib import Path

from ragkit.core.errors import InputError
from ragkit.core.protocols import Embedder, OnProgress
from ragkit.core.settings import Settings
from ragkit.evaluation.checkpoint import Finished, setup_digest
from ragkit.evaluation.datasets import RetrievalDataset
from ragkit.evaluation.retrieval import Stage, check_stages, evaluate
from ragkit.evaluation.runs import Evaluation
from ragkit.index.open import identity_for, open_index
from ragkit.ingest.build import build_chunker
from ragkit.ingest.pipeline import Pipeline
from ragkit.ingest.report import IngestReport
from ragkit.ingest.sources import from_documents
from ragkit.llm.build import build_llm
from ragkit.llm.wrappers.cache import FileReplies
from ragkit.models.build import build_embedder, build_reranker
from ragkit.retrieval.build import transformed
from ragkit.retrieval.hybrid import HybridRetriever
from ragkit.retrieval.protocol import Retriever

EVALUATION_FOLDER = Path(".ragkit/eval")
FINISHED_FILE = EVALUATION_FOLDER / "finished.sqlite"
REPLIES_FILE = EVALUATION_FOLDER / "replies.sqlite"


def default_stages(settings: Settings) -> tuple[Stage, ...]:
    """Every stage that the settings have the parts for."""
    return ("bm25", "dense", "hybrid", *(("rerank",) if settings.reranker.model else ()))


async def evaluate_dataset(
    settings: Settings,
    dataset: RetrievalDataset,
    stages: Sequence[Stage],
    *,
    seed: int = 0,
    fresh: bool = False,
    on_progress: OnProgress | None = None,
) -> Evaluation:
    """Index a data set as `RAG.ingest` would, and measure the stages on its queries.

    The index stays under `.ragkit/eval`, so a second run only searches. Vectors are made only if
    a stage uses them. Finished queries are kept there too, by all that decides them (documents,
    settings, models, code), so that a killed run goes on where it was; `fresh` runs them anew.
    The stages `hybrid` and `rerank` have the transformation of the settings. What chooses among a
    few hits, maximal marginal relevance and neighbours, has no part in rankings of 100 documents.
    """
    reranker = build_reranker(settings.reranker) if "rerank" in stages else None
    check_stages(stages, reranker)
    lexical = set(stages) == {"bm25"}
    embedder = build_embedder(settings.embedder)
    indexed = None if lexical else embedder
    chunker = build_chunker(settings, embedder.tokenizer)
    identity = identity_for(indexed, settings.index)
    built = (astuple(identity), chunker.identity, settings.index.quantization)
    digest = hashlib.sha256(repr(built).encode()).hexdigest()
    location = str(EVALUATION_FOLDER / f"{dataset.name}-{digest[:12]}")
    corpus = dataset.corpus_digest
    index = await open_index(settings.index.model_copy(update={"location": location}), identity)
    store = FileReplies(FINISHED_FILE)
    try:
        pipeline = Pipeline(
            index=index,
            chunker=chunker,
            embedder=indexed,
            batch_chunks=settings.ingest.batch_chunks,
            on_progress=on_progress,
        )
        await index_dataset(pipeline, dataset)
        retriever = HybridRetriever(
            index=index,
            embedder=indexed,
            reranker=reranker,
            settings=settings.retrieval,
            rerank_depth=settings.reranker.depth,
        )
        decided = f"{setup_digest(settings)} {digest} {corpus}"
        finished = Finished(store, identity=decided, fresh=fresh)
        async with _transforming(settings, embedder) as transform:
            results = await evaluate(
                retriever,
                dataset,
                stages,
                transform=transform,
                seed=seed,
                finished=finished,
                on_progress=on_progress,
            )
        chunks = sum(record.chunks for record in await index.records())
    finally:
        store.close()
        await index.close()
    return Evaluation(
        dataset=dataset.name,
        corpus=corpus,
        documents=len(dataset.documents),
        chunks=chunks,
        queries=len(dataset.queries),
        stages={stage: results[stage] for stage in stages},
        questions=dataset.queries,
        fingerprints=dataset.fingerprints,
        seed=seed,
        notes=dataset.notes,
    )


@asynccontextmanager
async def _transforming(
    settings: Settings, embedder: Embedder
) -> AsyncGenerator[Callable[[Retriever], Retriever] | None]:
    """What puts the settings' transformation around a retriever, if there is one."""
    name = settings.retrieval.transform
    if name is None:
        yield None
        return
    llm = build_llm(settings.llm) if settings.llm.model else None
    try:
        yield lambda inner: transformed(name, inner, llm=llm, embedder=embedder)
    finally:
        if llm is not None:
            await llm.close()


async def index_dataset(pipeline: Pipeline, dataset: RetrievalDataset) -> None:
    """Have the index hold the documents of a data set, and no others.

    Raises:
        InputError: A document could not be ingested.
    """
    check_indexed(await pipeline.run(from_documents(dataset.documents)), dataset.name)
    known = {record.uri for record in await pipeline.index.records(tenant=pipeline.tenant)}
    gone = known - {document.uri for document in dataset.documents}
    if gone:
        await pipeline.index.delete(sorted(gone), tenant=pipeline.tenant)


def check_indexed(report: IngestReport, dataset: str) -> None:
    """Raise `InputError` if a document of a data set could not be ingested."""
    if report.failed:
        first = report.failed[0]
        raise InputError(
            f"{len(report.failed)} documents of {dataset!r} were not indexed; the first is "
            f"{first.uri!r}: {first.reason}"
        )
