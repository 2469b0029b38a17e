"""Measuring retrieval on a judged data set: each stage of the default pipeline, or a retriever."""

import functools
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import astuple, dataclass, replace
from typing import Literal, TypeAlias

from pydantic import TypeAdapter

from ragkit.core.errors import ConfigError, InputError
from ragkit.core.progress import OnProgress, Progress
from ragkit.core.protocols import Embedder, Reranker
from ragkit.core.settings import Settings
from ragkit.evaluation.checkpoint import Checkpoint
from ragkit.evaluation.datasets import RetrievalDataset
from ragkit.evaluation.failures import READ, retrieval_failures
from ragkit.evaluation.fingerprint import digest, settings_digest
from ragkit.evaluation.folder import EvaluationFolder, check_indexed
from ragkit.evaluation.metrics import per_query
from ragkit.evaluation.runs import Evaluation, StageResult, stage_result
from ragkit.index.build import build_index, identity_for
from ragkit.ingest.build import build_chunker
from ragkit.ingest.pipeline import Pipeline
from ragkit.ingest.sources import SourceStream
from ragkit.llm.build import build_llm
from ragkit.models.build import build_embedder, build_reranker
from ragkit.retrieval.build import build_transform
from ragkit.retrieval.hybrid import HybridRetriever
from ragkit.retrieval.protocol import Retriever
from ragkit.retrieval.request import BOTH, Leg

Stage: TypeAlias = Literal["bm25", "dense", "hybrid", "rerank"]
STAGES: Mapping[Stage, tuple[Leg, ...]] = {
    "bm25": ("bm25",),
    "dense": ("dense",),
    "hybrid": BOTH,
    "rerank": BOTH,
}
DEPTH = 100
"""Documents that are ranked for every query, enough for recall@100."""

Wrap: TypeAlias = Callable[[Retriever], Retriever]
"""Puts a transformation around a retriever."""
_FOLDER = EvaluationFolder()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """The ranking of a query: document ids, best first, and the time it took."""

    documents: list[str]
    seconds: float


_RANKING = TypeAdapter(Ranking)


def default_stages(settings: Settings) -> tuple[Stage, ...]:
    """Return every stage that the settings have the parts for."""
    return ("bm25", "dense", "hybrid", *(("rerank",) if settings.reranker.model else ()))


def check_stages(stages: Sequence[Stage], reranker: Reranker | None) -> None:
    """Raise `ConfigError` if a stage lacks its part."""
    if "rerank" in stages and reranker is None:
        raise ConfigError(
            "The stage 'rerank' needs a reranker, and none is set. Fix: set reranker.model "
            "(RAGKIT_RERANKER__MODEL) to 'packaged:minilm-reader' or "
            "'cross-encoder:<folder or hub name>'."
        )


def stage_retrievers(
    hybrid: HybridRetriever, stages: Sequence[Stage], *, transform: Wrap | None = None
) -> dict[Stage, Retriever]:
    """Return the retriever of each stage, with legs deep enough for rankings of 100 documents.

    Twice as many chunks as documents are taken from each leg, so that long documents leave room
    for others. `transform` is put around the retrievers of the stages `hybrid` and `rerank`.

    Raises:
        ConfigError: A stage lacks its part.
    """
    check_stages(stages, hybrid.reranker)
    settings = hybrid.settings.model_copy(
        update={
            "depth": max(2 * DEPTH, hybrid.settings.depth),
            "drop_duplicates": False,
            "near_duplicates": None,
        }
    )
    deep = replace(hybrid, settings=settings)
    retrievers: dict[Stage, Retriever] = {}
    for stage in stages:
        staged: Retriever = deep if stage == "rerank" else replace(deep, reranker=None)
        wrapped = transform is not None and STAGES[stage] == BOTH
        retrievers[stage] = transform(staged) if transform and wrapped else staged
    return retrievers


async def evaluate_stages(
    retrievers: Mapping[Stage, Retriever],
    dataset: RetrievalDataset,
    *,
    seed: int = 0,
    checkpoint: Checkpoint | None = None,
    on_progress: OnProgress | None = None,
) -> dict[Stage, StageResult]:
    """Measure each stage over all judged queries, one query at a time.

    Chunks count for their document, which is ranked where its best chunk is. Queries that
    `checkpoint` holds are not run again. A query that cannot be searched for scores 0.
    """
    kept = checkpoint or Checkpoint.in_memory()
    results: dict[Stage, StageResult] = {}
    for stage, retriever in retrievers.items():
        run = _StageRun(retriever=retriever, stage=stage, checkpoint=kept)
        ranked: dict[str, Ranking] = {}
        failed: dict[str, str] = {}
        for done, (query, text) in enumerate(dataset.queries.items()):
            if on_progress is not None:
                on_progress(Progress(phase=stage, done=done, total=len(dataset.queries)))
            try:
                ranked[query] = await run.ranking(text)
            except InputError as error:
                failed[query] = str(error)
        rankings = {query: item.documents for query, item in ranked.items()}
        results[stage] = stage_result(
            per_query(dataset.qrels, rankings),
            [item.seconds for item in ranked.values()],
            failed=failed,
            failures=retrieval_failures(dataset.qrels, rankings, dataset.queries),
            outputs={query: ranking[:READ] for query, ranking in rankings.items()},
            seed=seed,
        )
    return results


@dataclass(frozen=True, slots=True, kw_only=True)
class _StageRun:
    retriever: Retriever
    stage: Stage
    checkpoint: Checkpoint

    async def ranking(self, text: str) -> Ranking:
        """Return the ranking of a query, from the checkpoint if it is there."""

        async def searched() -> Ranking:
            started = time.perf_counter()
            hits = await self.retriever.search(text, k=2 * DEPTH, legs=STAGES[self.stage])
            seconds = time.perf_counter() - started
            documents = list(dict.fromkeys(hit.chunk.uri for hit in hits))[:DEPTH]
            return Ranking(documents=documents, seconds=seconds)

        return await self.checkpoint.once(_RANKING, searched, self.stage, text)


async def measure_retrieval(
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
    settings, models, code), so that a killed run can be resumed; `fresh` runs them again.
    The stages `hybrid` and `rerank` have the transformation of the settings. The choices among a
    few hits, maximal marginal relevance and neighbours, have no part in rankings of 100 documents.
    """
    async with indexed_dataset(settings, dataset, stages, on_progress) as indexed:
        decided = f"{settings_digest(settings)} {indexed.built} {dataset.corpus_digest}"
        with _FOLDER.checkpoint(decided, fresh=fresh) as checkpoint:
            async with _transformation(settings, indexed.embedder) as transform:
                results = await evaluate_stages(
                    stage_retrievers(indexed.retriever, stages, transform=transform),
                    dataset,
                    seed=seed,
                    checkpoint=checkpoint,
                    on_progress=on_progress,
                )
    return Evaluation(
        dataset=dataset.name,
        corpus=dataset.corpus_digest,
        documents=len(dataset.documents),
        chunks=indexed.chunks,
        queries=len(dataset.queries),
        stages={stage: results[stage] for stage in stages},
        questions=dataset.queries,
        fingerprints=dataset.fingerprints,
        seed=seed,
        notes=dataset.notes,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexedDataset:
    """A data set in its index; `built` is a digest of all that shapes the index."""

    retriever: HybridRetriever
    embedder: Embedder
    built: str
    chunks: int


@asynccontextmanager
async def indexed_dataset(
    settings: Settings,
    dataset: RetrievalDataset,
    stages: Sequence[Stage],
    on_progress: OnProgress | None,
) -> AsyncGenerator[IndexedDataset]:
    """Index a data set as `RAG.ingest` would, under `.ragkit/eval`, and open it for searches.

    Raises:
        ConfigError: A stage lacks its part.
        InputError: A document could not be ingested.
    """
    reranker = build_reranker(settings.reranker) if "rerank" in stages else None
    check_stages(stages, reranker)
    embedder = build_embedder(settings.embedder)
    indexed = None if set(stages) == {"bm25"} else embedder
    chunker = build_chunker(settings, embedder.tokenizer, embedder=embedder)
    identity = identity_for(indexed, settings.index)
    context = settings.ingest.context
    if context == "model":
        raise ConfigError(
            "An evaluation writes no context lines, and ingest.context is 'model'. Fix: evaluate "
            "with 'headings' or 'none', or an index of your own documents."
        )
    shaped = (astuple(identity), chunker.identity, settings.index.quantization)
    built = digest(repr(shaped if context == "headings" else (*shaped, context)))
    location = str(_FOLDER.index_location(dataset.name, built))
    index = await build_index(settings.index.model_copy(update={"location": location}), identity)
    try:
        pipeline = Pipeline(
            index=index,
            chunker=chunker,
            embedder=indexed,
            context=context,
            batch_chunks=settings.ingest.batch_chunks,
            on_progress=on_progress,
        )
        await index_dataset(pipeline, dataset)
        yield IndexedDataset(
            retriever=HybridRetriever(
                index=index,
                embedder=indexed,
                reranker=reranker,
                settings=settings.retrieval,
                rerank_depth=settings.reranker.depth,
            ),
            embedder=embedder,
            built=built,
            chunks=sum(record.chunks for record in await index.records()),
        )
    finally:
        await index.close()


@asynccontextmanager
async def _transformation(settings: Settings, embedder: Embedder) -> AsyncGenerator[Wrap | None]:
    """Open the settings' transformation of queries, if there is one."""
    name = settings.retrieval.transform
    if name is None:
        yield None
        return
    llm = build_llm(settings.llm) if settings.llm.model else None
    try:
        yield functools.partial(build_transform, name, llm=llm, embedder=embedder)
    finally:
        if llm is not None:
            await llm.close()


async def index_dataset(pipeline: Pipeline, dataset: RetrievalDataset) -> None:
    """Make the index hold the documents of a data set, and no others.

    Raises:
        InputError: A document could not be ingested.
    """
    check_indexed(await pipeline.run(SourceStream(dataset.documents)), dataset.name)
    known = {record.uri for record in await pipeline.index.records(tenant=pipeline.tenant)}
    gone = known - {document.uri for document in dataset.documents}
    if gone:
        await pipeline.index.delete(sorted(gone), tenant=pipeline.tenant)
