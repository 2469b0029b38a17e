"""Measuring the default pipeline on a judged data set: index it once, run the stages."""

import hashlib
from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path

from ragkit.core.errors import InputError
from ragkit.core.protocols import OnProgress
from ragkit.core.settings import Settings
from ragkit.evaluation.datasets import RetrievalDataset
from ragkit.evaluation.finished import Finished, setup_digest
from ragkit.evaluation.results import Evaluation
from ragkit.evaluation.retrieval import Stage, check_stages, evaluate
from ragkit.index.open import identity_for, open_index
from ragkit.ingest.chunkers.recursive import chunker_for
from ragkit.ingest.pipeline import Pipeline
from ragkit.ingest.report import IngestReport
from ragkit.ingest.sources import from_documents
from ragkit.llm.cache import FileReplies
from ragkit.models.embedding import embedder as embedder_for
from ragkit.models.reranking import reranker as reranker_for
from ragkit.retrieval.hybrid import HybridRetriever

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
    """
    reranker = reranker_for(settings.reranker) if "rerank" in stages else None
    check_stages(stages, reranker)
    lexical = set(stages) == {"bm25"}
    embedder = embedder_for(settings.embedder)
    indexed = None if lexical else embedder
    chunker = chunker_for(settings, embedder.tokenizer)
    identity = identity_for(indexed, settings.index)
    digest = hashlib.sha256(repr((astuple(identity), chunker.identity)).encode()).hexdigest()
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
        _check(await pipeline.run(from_documents(dataset.documents), sync=True), dataset)
        retriever = HybridRetriever(
            index=index,
            embedder=indexed,
            reranker=reranker,
            settings=settings.retrieval,
            rerank_depth=settings.reranker.depth,
        )
        decided = f"{setup_digest(settings)} {digest} {corpus}"
        finished = Finished(store, identity=decided, fresh=fresh)
        results = await evaluate(
            retriever, dataset, stages, seed=seed, finished=finished, on_progress=on_progress
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
    )


def _check(report: IngestReport, dataset: RetrievalDataset) -> None:
    if report.failed:
        first = report.failed[0]
        raise InputError(
            f"{len(report.failed)} documents of {dataset.name!r} were not indexed; the first is "
            f"{first.uri!r}: {first.reason}"
        )
