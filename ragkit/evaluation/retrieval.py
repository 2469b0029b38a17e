"""Running the stages of retrieval over a judged data set."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np

from ragkit.core.errors import ConfigError, InputError
from ragkit.core.protocols import OnProgress, Progress, Reranker
from ragkit.evaluation.datasets import RetrievalDataset
from ragkit.evaluation.metrics import Estimate, estimate, per_query
from ragkit.retrieval.hybrid import BOTH, HybridRetriever, Leg

Stage: TypeAlias = Literal["bm25", "dense", "hybrid", "rerank"]
STAGES: Mapping[Stage, tuple[Leg, ...]] = {
    "bm25": ("bm25",),
    "dense": ("dense",),
    "hybrid": BOTH,
    "rerank": BOTH,
}
DEPTH = 100
"""Documents that are ranked for every query, enough for recall@100."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageResult:
    """A stage's measures with intervals, and its latency from query to ranked hits."""

    measures: Mapping[str, Estimate]
    p50_ms: float
    p95_ms: float
    failed: Mapping[str, str]
    """Query id and reason for each query that could not be run; it scores 0."""


def check_stages(stages: Sequence[Stage], reranker: Reranker | None) -> None:
    """Raise `ConfigError` where a stage lacks its part."""
    if "rerank" in stages and reranker is None:
        raise ConfigError(
            "No reranker is set for the stage 'rerank': set reranker.model to "
            "'cross-encoder:<folder or hub name>' (RAGKIT_RERANKER__MODEL)."
        )


async def evaluate(
    retriever: HybridRetriever,
    dataset: RetrievalDataset,
    stages: Sequence[Stage],
    *,
    seed: int = 0,
    on_progress: OnProgress | None = None,
) -> dict[Stage, StageResult]:
    """Measure each stage over all judged queries, one query at a time.

    Chunks count for their document, which is ranked where its best chunk is. Twice as many chunks
    as documents are taken from each leg, so that long documents leave room for others.
    """
    check_stages(stages, retriever.reranker)
    settings = retriever.settings.model_copy(
        update={"depth": max(2 * DEPTH, retriever.settings.depth), "drop_duplicates": False}
    )
    deep = replace(retriever, settings=settings)
    results: dict[Stage, StageResult] = {}
    for stage in stages:
        staged = deep if stage == "rerank" else replace(deep, reranker=None)
        results[stage] = await _run(staged, dataset, stage, seed, on_progress)
    return results


async def _run(
    retriever: HybridRetriever,
    dataset: RetrievalDataset,
    stage: Stage,
    seed: int,
    on_progress: OnProgress | None,
) -> StageResult:
    rankings: dict[str, list[str]] = {}
    failed: dict[str, str] = {}
    seconds: list[float] = []
    for done, (query_id, text) in enumerate(dataset.queries.items()):
        if on_progress is not None:
            on_progress(Progress(phase=stage, done=done, total=len(dataset.queries)))
        started = time.perf_counter()
        try:
            hits = await retriever.search(text, k=2 * DEPTH, legs=STAGES[stage])
        except InputError as error:
            failed[query_id] = str(error)
            continue
        seconds.append(time.perf_counter() - started)
        rankings[query_id] = list(dict.fromkeys(hit.chunk.uri for hit in hits))[:DEPTH]
    values = per_query(dataset.qrels, rankings)
    p50, p95 = np.percentile(seconds, [50, 95]) * 1000 if seconds else (0.0, 0.0)
    return StageResult(
        measures={
            name: estimate(list(scores.values()), seed=seed) for name, scores in values.items()
        },
        p50_ms=float(p50),
        p95_ms=float(p95),
        failed=failed,
    )
