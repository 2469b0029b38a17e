"""Hybrid search: a dense and a BM25 leg in one round trip, fused, deduplicated, reranked."""

import time
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Literal, Self, TypeAlias

from ragkit.core.errors import ConfigError
from ragkit.core.filters import Filter, parse_filter
from ragkit.core.protocols import Embedder, Index, LegQuery, Legs, Reranker
from ragkit.core.settings import RetrievalSettings
from ragkit.core.types import DEFAULT_TENANT, Chunk, FloatArray, Hit, StageRank, Usage
from ragkit.retrieval.fusion import reciprocal_rank_fusion, score_fusion
from ragkit.retrieval.query import Query, as_query
from ragkit.retrieval.rerank import reranked, share_of, text_key

Leg: TypeAlias = Literal["dense", "bm25"]
BOTH: tuple[Leg, ...] = ("dense", "bm25")


@dataclass(frozen=True, slots=True, kw_only=True)
class Transformation:
    """What was made of a query before it was searched for, and what that took.

    Attributes:
        name: Of the transformation.
        written: What a model wrote: queries, or passages that could answer.
        calls: Number of calls of a model.
        usage: Their tokens.
        seconds: From the query to what was made of it.
        note: Why the query was searched for as it is, where it was.
    """

    name: str
    written: tuple[str, ...] = ()
    calls: int = 0
    usage: Usage = field(default_factory=Usage)
    seconds: float = 0.0
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """All that a search did: every candidate of every stage, what was dropped, and the time taken.

    `stages` maps dense, bm25, fusion, rerank and whatever is wrapped around them to `(chunk id,
    rank, score)` in order of rank; `duplicates` maps each chunk that was dropped to the one kept
    in its place. With transformations, `searches` explains the search for each query, the
    original first: `stages` has its stages, `seconds` the sums of all.
    """

    query: str
    embedded: str
    where: Filter | None
    tenant: str
    stages: Mapping[str, Sequence[tuple[str, int, float]]]
    duplicates: Mapping[str, str]
    seconds: Mapping[str, float]
    transformations: tuple[Transformation, ...] = ()
    searches: tuple["Explanation", ...] = ()

    def followed_by(self, stage: str, hits: Iterable[Hit], seconds: float) -> "Explanation":
        """With one more stage: the hits that have its rank and score in their traces."""
        ranked = [(hit.chunk.id, *hit.trace[stage]) for hit in hits if stage in hit.trace]
        return replace(
            self,
            stages={**self.stages, stage: ranked},
            seconds={**self.seconds, stage: seconds},
        )


class Hits(list[Hit]):
    """Hits, best first; `explanation` is there when it was asked for."""

    def __init__(self, hits: Iterable[Hit], explanation: Explanation | None = None) -> None:
        """A list of hits that may carry how it came about."""
        super().__init__(hits)
        self.explanation = explanation


@dataclass(slots=True, kw_only=True)
class _Run:
    """One search as it goes: what each stage ranked, what was dropped, how long it took."""

    query: Query
    stages: dict[str, Sequence[tuple[str, float]]] = field(
        default_factory=dict[str, Sequence[tuple[str, float]]]
    )
    duplicates: dict[str, str] = field(default_factory=dict[str, str])
    seconds: dict[str, float] = field(default_factory=dict[str, float])

    @contextmanager
    def timed(self, stage: str) -> Generator[None]:
        started = time.perf_counter()
        yield
        self.seconds[stage] = time.perf_counter() - started

    def traces(self, ids: Iterable[str]) -> dict[str, dict[str, StageRank]]:
        """For each id, where every stage that saw it put it."""
        found: dict[str, dict[str, StageRank]] = {item: {} for item in ids}
        for stage, ranked in self.stages.items():
            for rank, (item, score) in enumerate(ranked, start=1):
                if item in found:
                    found[item][stage] = StageRank(rank, score)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class HybridRetriever:
    """Searches an index; `rerank_depth` candidates are reranked where there is a reranker."""

    index: Index
    embedder: Embedder | None
    reranker: Reranker | None = None
    settings: RetrievalSettings = field(default_factory=RetrievalSettings)
    rerank_depth: int = 20

    def unreranked(self) -> Self:
        """The same without its reranker."""
        return replace(self, reranker=None)

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
        """The `k` best chunks, each with its rank and score in every stage.

        Args:
            query: A question or some words, or a `Query` with a vector of its own.
            k: How many hits; `settings.k` where None.
            where: A filter, or an expression such as `year >= 2020 and lang == "en"`.
            tenant: Whose chunks are searched; those of others are never seen.
            legs: `dense`, `bm25` or both.
            explain: Attach an `Explanation` with all candidates of all stages.

        Raises:
            InputError: The query or the filter cannot be used.
        """
        run = _Run(query=as_query(query))
        condition = parse_filter(where) if isinstance(where, str) else where
        vector = await self._embed(run) if "dense" in legs else None
        wanted = k or self.settings.k
        request = LegQuery(
            vector=vector,
            text=run.query.text if "bm25" in legs else None,
            depth=max(self.settings.depth, wanted, self.rerank_depth if self.reranker else 0),
            where=condition,
            tenant=tenant,
        )
        with run.timed("search"):
            found = await self.index.search(request)
        ranked = self._fuse(found, legs, run)
        hits = await self._take(ranked, found, tenant, wanted, run)
        return Hits(hits, self._explain(run, condition, tenant) if explain else None)

    async def _embed(self, run: _Run) -> FloatArray:
        if run.query.vector is not None:
            return run.query.vector
        if self.embedder is None:
            raise ConfigError("This index has no vectors, and dense search was asked for.")
        with run.timed("embed"):
            vectors = await self.embedder.embed([run.query.text], task="query")
        vector: FloatArray = vectors[0]
        return vector

    def _fuse(self, found: Legs, legs: Sequence[Leg], run: _Run) -> list[tuple[str, float]]:
        ranked: dict[str, Sequence[tuple[str, float]]] = {"dense": found.dense, "bm25": found.bm25}
        for leg in legs:
            run.stages[leg] = ranked[leg]
        if len(legs) == 1:
            return list(ranked[legs[0]])
        with run.timed("fusion"):
            weights = {"dense": self.settings.dense_weight, "bm25": self.settings.bm25_weight}
            if self.settings.fusion == "scores":
                fused = score_fusion(ranked, weights=weights)
            else:
                ids = {leg: [item for item, _ in pairs] for leg, pairs in ranked.items()}
                fused = reciprocal_rank_fusion(ids, k=self.settings.rrf_k, weights=weights)
        run.stages["fusion"] = fused
        return fused

    async def _take(
        self, ranked: Sequence[tuple[str, float]], found: Legs, tenant: str, k: int, run: _Run
    ) -> list[Hit]:
        wanted = k if self.reranker is None else max(k, self.rerank_depth)
        with run.timed("fetch"):
            candidates = await self._unique(ranked, found, tenant, wanted, run)
        if self.reranker is not None and candidates:
            with run.timed("rerank"):
                candidates = await reranked(
                    self.reranker,
                    run.query.text,
                    candidates,
                    depth=self.rerank_depth,
                    weight=share_of(self.reranker, self.settings),
                )
            judged = candidates[: self.rerank_depth]
            run.stages["rerank"] = [(chunk.id, score) for chunk, score in judged]
        best = candidates[:k]
        traces = run.traces(chunk.id for chunk, _ in best)
        return [Hit(chunk=chunk, score=score, trace=traces[chunk.id]) for chunk, score in best]

    async def _unique(
        self, ranked: Sequence[tuple[str, float]], found: Legs, tenant: str, wanted: int, run: _Run
    ) -> list[tuple[Chunk, float]]:
        """The first `wanted` chunks in rank order whose texts differ."""
        kept: dict[str, tuple[Chunk, float]] = {}
        first = 0
        while first < len(ranked) and len(kept) < wanted:
            page = dict(ranked[first : first + wanted])
            first += wanted
            for chunk in await self._chunks(list(page), found, tenant):
                key = text_key(chunk) if self.settings.drop_duplicates else chunk.id
                if key in kept:
                    run.duplicates[chunk.id] = kept[key][0].id
                elif len(kept) < wanted:
                    kept[key] = (chunk, page[chunk.id])
        return list(kept.values())

    async def _chunks(self, ids: Sequence[str], found: Legs, tenant: str) -> list[Chunk]:
        missing = [item for item in ids if item not in found.chunks]
        fetched = await self.index.fetch(missing, tenant=tenant) if missing else []
        known = {**found.chunks, **{chunk.id: chunk for chunk in fetched}}
        return [known[item] for item in ids if item in known]

    def _explain(self, run: _Run, where: Filter | None, tenant: str) -> Explanation:
        prompt = "" if self.embedder is None else self.embedder.prompts["query"]
        return Explanation(
            query=run.query.text,
            embedded=run.query.source or prompt + run.query.text,
            where=where,
            tenant=tenant,
            stages={
                stage: [(item, rank, score) for rank, (item, score) in enumerate(ranked, start=1)]
                for stage, ranked in run.stages.items()
            },
            duplicates=run.duplicates,
            seconds=run.seconds,
        )
