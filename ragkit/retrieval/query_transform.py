"""The common part of query transformations: several queries, fused, reranked once."""

import asyncio
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Unpack

from ragkit.core.operation import Operation
from ragkit.core.settings import RetrievalSettings
from ragkit.core.types import Chunk, DuplicatePassage, Hit, StageRank, Usage
from ragkit.retrieval.duplicates import ShownPassages, duplicate_of
from ragkit.retrieval.fusion import reciprocal_rank_fusion
from ragkit.retrieval.protocol import Retriever
from ragkit.retrieval.query import Query, as_query
from ragkit.retrieval.request import SearchOptions, SearchRequest
from ragkit.retrieval.rerank import Reranking, reranking, text_key
from ragkit.retrieval.results import Explanation, Hits, Transformation
from ragkit.retrieval.wrapper import RetrieverWrapper

NO_DENSE_LEG = "The search has no dense leg, and this changes no other: the query is unchanged."


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformedQuery:
    """The queries that a transformation makes of one.

    Attributes:
        queries: Queries to search for, the original (perhaps with a vector) first.
        written: Texts that a model wrote.
        calls: Number of model calls.
        usage: Tokens of these calls.
        note: Reason why the query is searched for unchanged; empty where it was transformed.
    """

    queries: tuple[Query, ...]
    written: tuple[str, ...] = ()
    calls: int = 0
    usage: Usage = field(default_factory=Usage)
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstSearch:
    """The search that was asked for, without reranking, for transformations that learn from it."""

    retriever: Retriever
    request: SearchRequest

    async def search(self, query: Query, *, k: int) -> Hits:
        """Return the `k` best chunks for another query."""
        with Operation(kind="search stage", name="query"):
            return await self.retriever.search(query, **self.request.options(k=k))


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryTransform(RetrieverWrapper):
    """A retriever that transforms each query before the wrapped retriever searches for it.

    Several queries are searched for at the same time, and their chunks fused by reciprocal ranks.
    Where the wrapped retriever has a reranker, it scores the fused chunks against the original
    query, once.
    """

    @property
    @abstractmethod
    def name(self) -> str:
        """The stage's name in traces and explanations."""

    @abstractmethod
    async def transform(self, query: Query, first: FirstSearch) -> TransformedQuery:
        """Return the queries to search for instead of this one."""

    async def search(self, query: str | Query, **options: Unpack[SearchOptions]) -> Hits:
        """Search as `Retriever.search` does.

        Raises:
            ProviderError: The language model failed; there is no search without it.
        """
        request = SearchRequest.of(options, self.settings)
        asked = as_query(query)
        first = FirstSearch(retriever=self.inner.unreranked(), request=request)
        with Operation(kind="search stage", name=self.name) as timed:
            transformed = await self.transform(asked, first)
        order = reranking(self.reranker, self.settings, depth=self.rerank_depth)
        depth = max(request.k, self.settings.depth, order.depth if order else 0)
        searches = (first.search(one, k=depth) for one in transformed.queries)
        run = _TransformedSearch(name=self.name, query=asked, found=await asyncio.gather(*searches))
        ranked = run.fuse(self.settings)
        if order is not None and ranked:
            ranked = await run.rerank(ranked[: max(request.k, order.depth)], order)
        hits = [run.hit(chunk, score) for chunk, score in ranked[: request.k]]
        return Hits(hits, run.explanation(transformed, timed.seconds) if request.explain else None)


@dataclass(slots=True, kw_only=True)
class _TransformedSearch:
    """One search: the hits of each query, and the ranks, duplicates and times of its stages."""

    name: str
    query: Query
    found: Sequence[Hits]
    stages: dict[str, list[tuple[str, int, float]]] = field(
        default_factory=dict[str, list[tuple[str, int, float]]]
    )
    traces: dict[str, dict[str, StageRank]] = field(default_factory=dict[str, dict[str, StageRank]])
    duplicates: dict[str, str] = field(default_factory=dict[str, str])
    left_out: dict[str, dict[str, DuplicatePassage]] = field(
        default_factory=dict[str, dict[str, DuplicatePassage]]
    )
    seconds: dict[str, float] = field(default_factory=dict[str, float])

    def fuse(self, settings: RetrievalSettings) -> list[tuple[Chunk, float]]:
        """Fuse the chunks of all queries; each keeps the trace of the query that ranks it best.

        With `drop_duplicates`, chunks of equal text count as one; with `near_duplicates`, chunks
        that repeat better ones are left out.
        """
        alike = text_key if settings.drop_duplicates else _id
        best: dict[str, tuple[int, Hit]] = {}
        for hits in self.found:
            for rank, hit in enumerate(hits):
                key = alike(hit.chunk)
                if key not in best or rank < best[key][0]:
                    best[key] = rank, hit
        for hit in (hit for hits in self.found for hit in hits):
            shown = best[alike(hit.chunk)][1].chunk.id
            if hit.chunk.id != shown:
                self.duplicates[hit.chunk.id] = shown
        self.traces = {hit.chunk.id: dict(hit.trace) for _, hit in best.values()}
        orders = [[*dict.fromkeys(alike(hit.chunk) for hit in hits)] for hits in self.found]
        if len(orders) == 1:
            scores = [(key, best[key][1].score) for key in orders[0]]
        else:
            legs = {str(number): order for number, order in enumerate(orders)}
            scores = reciprocal_rank_fusion(legs, k=settings.rrf_k)
        ranked = self._without_repeated(
            [(best[key][1].chunk, score) for key, score in scores], settings
        )
        self._enter(self.name, ranked)
        return ranked

    def _without_repeated(
        self, ranked: Sequence[tuple[Chunk, float]], settings: RetrievalSettings
    ) -> list[tuple[Chunk, float]]:
        """Leave out near-duplicates, and note what each chunk that is left stands for."""
        shown = ShownPassages(equal=False, near=settings.near_duplicates)
        kept: list[tuple[Chunk, float]] = []
        for chunk, score in ranked:
            if (better := shown.repeated(chunk)) is not None:
                self.duplicates[chunk.id] = better
            else:
                kept.append((chunk, score))
                shown.keep(chunk)
        for hit in (hit for hits in self.found for hit in hits):
            item = hit.chunk.id
            while item in self.duplicates:
                item = self.duplicates[item]
            others = self.left_out.setdefault(item, {})
            others.update({one.chunk_id: one for one in hit.duplicates})
            if item != hit.chunk.id:
                others[hit.chunk.id] = duplicate_of(hit.chunk)
        return kept

    async def rerank(
        self, ranked: Sequence[tuple[Chunk, float]], order: Reranking
    ) -> list[tuple[Chunk, float]]:
        """Rerank the fused chunks against the original query."""
        with Operation(kind="search stage", name="rerank") as timed:
            reordered = await order.order(self.query.text, ranked)
        self.seconds["rerank"] = timed.seconds
        self._enter("rerank", reordered[: order.depth])
        return reordered

    def _enter(self, stage: str, ranked: Iterable[tuple[Chunk, float]]) -> None:
        self.stages[stage] = []
        for rank, (chunk, score) in enumerate(ranked, start=1):
            self.stages[stage].append((chunk.id, rank, score))
            self.traces[chunk.id][stage] = StageRank(rank, score)

    def hit(self, chunk: Chunk, score: float) -> Hit:
        """Return a chunk with its rank in every stage."""
        others = (one for one in self.left_out[chunk.id].values() if one.chunk_id != chunk.id)
        trace = self.traces[chunk.id]
        return Hit(chunk=chunk, score=score, trace=trace, duplicates=tuple(others))

    def explanation(self, transformed: TransformedQuery, seconds: float) -> Explanation:
        """Return the explanation of all searches, around that for the original query."""
        searches = tuple(hits.explanation for hits in self.found if hits.explanation is not None)
        own = Transformation(
            name=self.name,
            written=transformed.written,
            calls=transformed.calls,
            usage=transformed.usage,
            seconds=seconds,
            note=transformed.note,
        )
        times = {self.name: seconds}
        for stage, taken in (pair for one in searches for pair in one.seconds.items()):
            times[stage] = times.get(stage, 0.0) + taken
        return replace(
            searches[0],
            stages={**searches[0].stages, **self.stages},
            duplicates=self._all_duplicates(searches),
            seconds=times | self.seconds,
            transformations=(own, *(part for one in searches for part in one.transformations)),
            searches=searches,
        )

    def _all_duplicates(self, searches: Iterable[Explanation]) -> dict[str, str]:
        """Return each chunk that a search or the fusion dropped, with the one kept for it."""
        dropped = dict(self.duplicates)
        for item, kept in (pair for one in searches for pair in one.duplicates.items()):
            dropped.setdefault(item, self.duplicates.get(kept, kept))
        return {item: kept for item, kept in dropped.items() if item not in self.traces}


def _id(chunk: Chunk) -> str:
    return chunk.id
