"""Running the stages of retrieval over a judged data set."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from pydantic import TypeAdapter

from ragkit.core.errors import ConfigError, InputError
from ragkit.core.protocols import OnProgress, Progress, Reranker
from ragkit.evaluation.checkpoint import Finished, nothing_finished
from ragkit.evaluation.datasets import RetrievalDataset
from ragkit.evaluation.failures import READ, retrieval_failures
from ragkit.evaluation.metrics import per_query
from ragkit.evaluation.runs import StageResult, stage_result
from ragkit.retrieval.hybrid import BOTH, HybridRetriever, Leg
from ragkit.retrieval.protocol import Retriever

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
class _Ranked:
    """What a query gave: document ids, best first, and the time it took."""

    documents: list[str]
    seconds: float


_RANKED = TypeAdapter(_Ranked)


def check_stages(stages: Sequence[Stage], reranker: Reranker | None) -> None:
    """Raise `ConfigError` where a stage lacks its part."""
    if "rerank" in stages and reranker is None:
        raise ConfigError(
            "No reranker is set for the stage 'rerank': set reranker.model to "
            "'packaged:minilm-reader' or 'cross-encoder:<folder or hub name>' "
            "(RAGKIT_RERANKER__MODEL)."
        )


async def evaluate(  # noqa: PLR0913  # one argument for each choice of a run
    retriever: HybridRetriever,
    dataset: RetrievalDataset,
    stages: Sequence[Stage],
    *,
    transform: Callable[[Retriever], Retriever] | None = None,
    seed: int = 0,
    finished: Finished | None = None,
    on_progress: OnProgress | None = None,
) -> dict[Stage, StageResult]:
    """Measure each stage over all judged queries, one query at a time.

    `transform` puts something around the retriever of the stages `hybrid` and `rerank`.

    Chunks count for their document, which is ranked where its best chunk is. Twice as many chunks
    as documents are taken from each leg, so that long documents leave room for others. Queries
    that `finished` holds are not run again.
    """
    check_stages(stages, retriever.reranker)
    settings = retriever.settings.model_copy(
        update={"depth": max(2 * DEPTH, retriever.settings.depth), "drop_duplicates": False}
    )
    deep = replace(retriever, settings=settings)
    results: dict[Stage, StageResult] = {}
    for stage in stages:
        staged: Retriever = deep if stage == "rerank" else replace(deep, reranker=None)
        if transform is not None and STAGES[stage] == BOTH:
            staged = transform(staged)
        run = _Run(retriever=staged, stage=stage, finished=finished or nothing_finished())
        ranked, failed = await run.all(dataset.queries, on_progress)
        results[stage] = _result(dataset, ranked, failed, seed)
    return results


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """One stage over the queries."""

    retriever: Retriever
    stage: Stage
    finished: Finished

    async def all(
        self, queries: Mapping[str, str], on_progress: OnProgress | None
    ) -> tuple[dict[str, _Ranked], dict[str, str]]:
        ranked: dict[str, _Ranked] = {}
        failed: dict[str, str] = {}
        for done, (query_id, text) in enumerate(queries.items()):
            if on_progress is not None:
                on_progress(Progress(phase=self.stage, done=done, total=len(queries)))
            try:
                ranked[query_id] = await self.one(text)
            except InputError as error:
                failed[query_id] = str(error)
        return ranked, failed

    async def one(self, text: str) -> _Ranked:
        async def found() -> _Ranked:
            started = time.perf_counter()
            hits = await self.retriever.search(text, k=2 * DEPTH, legs=STAGES[self.stage])
            seconds = time.perf_counter() - started
            documents = list(dict.fromkeys(hit.chunk.uri for hit in hits))[:DEPTH]
            return _Ranked(documents=documents, seconds=seconds)

        return await self.finished.once(_RANKED, found, self.stage, text)


def _result(
    dataset: RetrievalDataset, ranked: Mapping[str, _Ranked], failed: Mapping[str, str], seed: int
) -> StageResult:
    rankings = {query: item.documents for query, item in ranked.items()}
    values = per_query(dataset.qrels, rankings)
    return stage_result(
        values,
        [item.seconds for item in ranked.values()],
        failed=failed,
        failures=retrieval_failures(dataset.qrels, rankings, dataset.queries),
        outputs={query: ranking[:READ] for query, ranking in rankings.items()},
        seed=seed,
    )
