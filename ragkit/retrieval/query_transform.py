"""What all transformations share: several queries searched for, fused, reranked once."""

import asyncio
import time
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from ragkit.core.filters import Filter
from ragkit.core.settings import RetrievalSettings
from ragkit.core.types import DEFAULT_TENANT, Chunk, Hit, StageRank, Usage
from ragkit.retrieval.fusion import reciprocal_rank_fusion
from ragkit.retrieval.hybrid import BOTH, Explanation, Hits, Leg, Transformation
from ragkit.retrieval.protocol import Wrapper
from ragkit.retrieval.query import Query, as_query
from ragkit.retrieval.rerank import reranked, share_of, text_key

NO_DENSE_LEG = "No dense leg was asked for, and this changes no other: the query is as it was."


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewritten:
    """What a query became.

    Attributes:
        queries: What is searched for, the original query (perhaps with a vector) first.
        written: What a model wrote.
        calls: Number of calls of a model.
        usage: Their tokens.
        note: Why the query is searched for as it is, where it is.
    """

    queries: tuple[Query, ...]
    written: tuple[str, ...] = ()
    calls: int = 0
    usage: Usage = field(default_factory=Usage)
    note: str = ""


class Find(Protocol):
    """Searches as was asked, with another query, before any reranking."""

    async def __call__(self, query: Query, *, k: int) -> Hits:
        """The `k` best chunks."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Transformed(Wrapper):
    """A retriever that makes something of each query before the wrapped one searches for it.

    Several queries are searched for at the same time, and their chunks fused by reciprocal ranks.
    Where the wrapped retriever has a reranker, it scores the fused chunks against the original
    query, once.
    """

    @property
    @abstractmethod
    def name(self) -> str:
        """Its stage in traces and explanations."""

    @abstractmethod
    async def rewrite(self, query: Query, *, legs: Sequence[Leg], find: Find) -> Rewritten:
        """What to search for instead of the query."""

    async def search(
        self,
        query: str | Query,
        *,
        k: int | None = None,
        where: Filter | str | None = None,
        tenant: str = DEFAULT_TENANT,
        legs: Sequence[Leg] = BOTH,
        explain: bool = False,
    ) -> Hits:
        """See `HybridRetriever.search`.

        Raises:
            ProviderError: The model that was asked failed: nothing is searched for without it.
        """
        asked, base = as_query(query), self.inner.unreranked()

        async def find(query: Query, *, k: int) -> Hits:
            return await base.search(
                query, k=k, where=where, tenant=tenant, legs=legs, explain=explain
            )

        started = time.perf_counter()
        rewritten = await self.rewrite(asked, legs=legs, find=find)
        seconds = time.perf_counter() - started
        wanted = k or self.settings.k
        depth = max(wanted, self.settings.depth, self.rerank_depth if self.reranker else 0)
        found = await asyncio.gather(*(find(one, k=depth) for one in rewritten.queries))
        run = _Run(name=self.name, query=asked, found=found)
        hits = await self._ranked(run, wanted)
        return Hits(hits, run.explanation(rewritten, seconds) if explain else None)

    async def _ranked(self, run: "_Run", wanted: int) -> list[Hit]:
        ranked = run.fuse(self.settings)
        if self.reranker is not None and ranked:
            started = time.perf_counter()
            ranked = await reranked(
                self.reranker,
                run.query.text,
                ranked[: max(wanted, self.rerank_depth)],
                depth=self.rerank_depth,
                weight=share_of(self.reranker, self.settings),
            )
            run.seconds["rerank"] = time.perf_counter() - started
            run.add("rerank", ranked[: self.rerank_depth])
        return [run.hit(chunk, score) for chunk, score in ranked[:wanted]]


@dataclass(slots=True, kw_only=True)
class _Run:
    """One search as it goes: what each query found, and what was made of that."""

    name: str
    query: Query
    found: Sequence[Hits]
    stages: dict[str, list[tuple[str, int, float]]] = field(
        default_factory=dict[str, list[tuple[str, int, float]]]
    )
    traces: dict[str, dict[str, StageRank]] = field(default_factory=dict[str, dict[str, StageRank]])
    duplicates: dict[str, str] = field(default_factory=dict[str, str])
    seconds: dict[str, float] = field(default_factory=dict[str, float])

    def fuse(self, settings: RetrievalSettings) -> list[tuple[Chunk, float]]:
        """The chunks of all queries, fused; each with the trace of the query that ranks it best.

        With `drop_duplicates`, chunks of equal text count as one.
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
        ranked = [(best[key][1].chunk, score) for key, score in scores]
        self.add(self.name, ranked)
        return ranked

    def add(self, stage: str, ranked: Iterable[tuple[Chunk, float]]) -> None:
        """Enter the ranks that a stage gave."""
        self.stages[stage] = []
        for rank, (chunk, score) in enumerate(ranked, start=1):
            self.stages[stage].append((chunk.id, rank, score))
            self.traces[chunk.id][stage] = StageRank(rank, score)

    def hit(self, chunk: Chunk, score: float) -> Hit:
        """A chunk with its rank in every stage."""
        return Hit(chunk=chunk, score=score, trace=self.traces[chunk.id])

    def explanation(self, rewritten: Rewritten, seconds: float) -> Explanation:
        """All of it, around the search for the original query."""
        searches = tuple(hits.explanation for hits in self.found if hits.explanation is not None)
        own = Transformation(
            name=self.name,
            written=rewritten.written,
            calls=rewritten.calls,
            usage=rewritten.usage,
            seconds=seconds,
            note=rewritten.note,
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
        """Each chunk that was dropped by any search or between them, with the one kept."""
        dropped = dict(self.duplicates)
        for item, kept in (pair for one in searches for pair in one.duplicates.items()):
            dropped.setdefault(item, self.duplicates.get(kept, kept))
        return {item: kept for item, kept in dropped.items() if item not in self.traces}


def _id(chunk: Chunk) -> str:
    return chunk.id
