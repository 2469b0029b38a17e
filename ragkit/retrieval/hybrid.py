"""Hybrid search: a dense and a BM25 leg in one request, fused, deduplicated, reranked."""

from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Self, Unpack

from ragkit.core.errors import ConfigError
from ragkit.core.operation import Operation
from ragkit.core.protocols import Embedder, Index, LegQuery, Legs, Reranker
from ragkit.core.settings import RetrievalSettings
from ragkit.core.types import Chunk, DuplicatePassage, Hit, StageRank
from ragkit.retrieval.duplicates import ShownPassages, duplicate_of
from ragkit.retrieval.fusion import Fusion
from ragkit.retrieval.query import Query, as_query, query_vector
from ragkit.retrieval.request import SearchOptions, SearchRequest
from ragkit.retrieval.rerank import Reranking, reranking
from ragkit.retrieval.results import Explanation, Hits

_ATTEMPTS = 4
"""Searches at most where documents are replaced between finding and fetching their chunks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HybridRetriever:
    """Searches an index; `rerank_depth` candidates are reranked where there is a reranker."""

    index: Index
    embedder: Embedder | None
    reranker: Reranker | None = None
    settings: RetrievalSettings = field(default_factory=RetrievalSettings)
    rerank_depth: int = 20

    def unreranked(self) -> Self:
        """Return the same without its reranker."""
        return replace(self, reranker=None)

    async def search(self, query: str | Query, **options: Unpack[SearchOptions]) -> Hits:
        """Return the `k` best chunks, each with its rank and score in every stage.

        Args:
            query: A question or some words, or a `Query` with a vector of its own.
            **options: See `SearchOptions`.

        Raises:
            InputError: The query, the filter or another option cannot be used.
            ConfigError: The dense leg was asked for, and the index has no vectors.
        """
        request, asked = SearchRequest.of(options, self.settings), as_query(query)
        run = _HybridSearch(
            index=self.index,
            query=asked,
            request=request,
            settings=self.settings,
            fusion=Fusion.of(
                self.settings, embedder=self.index.identity.embedder, query=asked.text
            ),
            reranking=reranking(self.reranker, self.settings, depth=self.rerank_depth),
        )
        if "dense" in request.legs:
            await run.embed(self.embedder)
        candidates = await run.candidates()
        hits = await run.hits(candidates)
        return Hits(hits, run.explanation(self.embedder) if request.explain else None)


@dataclass(slots=True, kw_only=True)
class _HybridSearch:
    """One search: its request, and the ranks, duplicates and times of its stages so far."""

    index: Index
    query: Query
    request: SearchRequest
    settings: RetrievalSettings
    fusion: Fusion
    reranking: Reranking | None
    stages: dict[str, Sequence[tuple[str, float]]] = field(
        default_factory=dict[str, Sequence[tuple[str, float]]]
    )
    duplicates: dict[str, str] = field(default_factory=dict[str, str])
    left_out: dict[str, list[DuplicatePassage]] = field(
        default_factory=dict[str, list[DuplicatePassage]]
    )
    seconds: dict[str, float] = field(default_factory=dict[str, float])

    @property
    def wanted(self) -> int:
        """Number of candidates with different texts: all hits, and all that are reranked."""
        return max(self.request.k, self.reranking.depth if self.reranking else 0)

    async def embed(self, embedder: Embedder | None) -> None:
        """Set the query's vector."""
        if self.query.vector is not None:
            return
        if embedder is None:
            raise ConfigError(
                "The index has no vectors, and its dense leg was asked for. "
                "Fix: search with legs=['bm25'], or ingest with an embedder."
            )
        with self._timed("embed"):
            vector = await query_vector(self.query, embedder)
        self.query = replace(self.query, vector=vector)

    async def candidates(self) -> list[tuple[Chunk, float]]:
        """Search both legs, fuse them and fetch the first chunks whose texts differ."""
        legs = self.request.legs
        query = LegQuery(
            vector=self.query.vector if "dense" in legs else None,
            text=self.query.text if "bm25" in legs else None,
            depth=max(self.settings.depth, self.wanted),
            where=self.request.where,
            tenant=self.request.tenant,
        )
        candidates, complete = await self._attempt(query)
        for _ in range(_ATTEMPTS - 1):
            if complete:
                break
            candidates, complete = await self._attempt(query)
        return candidates

    async def _attempt(self, query: LegQuery) -> tuple[list[tuple[Chunk, float]], bool]:
        with self._timed("search"):
            found = await self.index.search(query)
        ranked = self._fused(found)
        with self._timed("fetch"):
            return await self._unique(ranked, found)

    def _fused(self, found: Legs) -> list[tuple[str, float]]:
        ranked = {"dense": found.dense, "bm25": found.bm25}
        self.stages = {leg: ranked[leg] for leg in self.request.legs}
        if len(self.stages) == 1:
            return list(ranked[self.request.legs[0]])
        with self._timed("fusion"):
            fused = self.fusion.fuse(ranked)
        self.stages["fusion"] = fused
        return fused

    async def _unique(
        self, ranked: Sequence[tuple[str, float]], found: Legs
    ) -> tuple[list[tuple[Chunk, float]], bool]:
        """Return the first `wanted` chunks without duplicates, and whether all were still there."""
        kept: list[tuple[Chunk, float]] = []
        shown = ShownPassages(
            equal=self.settings.drop_duplicates, near=self.settings.near_duplicates
        )
        self.duplicates, self.left_out = {}, {}
        first, complete = 0, True
        while first < len(ranked) and len(kept) < self.wanted:
            page = dict(ranked[first : first + self.wanted])
            first += self.wanted
            missing = [item for item in page if item not in found.chunks]
            fetched = await self.index.fetch(missing, tenant=self.request.tenant) if missing else []
            complete = complete and len(fetched) == len(missing)
            known = {**found.chunks, **{chunk.id: chunk for chunk in fetched}}
            for chunk in (known[item] for item in page if item in known):
                if (better := shown.repeated(chunk)) is not None:
                    self.duplicates[chunk.id] = better
                    self.left_out.setdefault(better, []).append(duplicate_of(chunk))
                elif len(kept) < self.wanted:
                    kept.append((chunk, page[chunk.id]))
                    shown.keep(chunk)
        return kept, complete

    async def hits(self, candidates: list[tuple[Chunk, float]]) -> list[Hit]:
        """Rerank the candidates where that is set, and return the best with their traces."""
        if self.reranking is not None and candidates:
            with self._timed("rerank"):
                candidates = await self.reranking.order(self.query.text, candidates)
            judged = candidates[: self.reranking.depth]
            self.stages["rerank"] = [(chunk.id, score) for chunk, score in judged]
        best = candidates[: self.request.k]
        traces = self._traces(chunk.id for chunk, _ in best)
        return [
            Hit(
                chunk=chunk,
                score=score,
                trace=traces[chunk.id],
                duplicates=tuple(self.left_out.get(chunk.id, ())),
            )
            for chunk, score in best
        ]

    def _traces(self, ids: Iterable[str]) -> dict[str, dict[str, StageRank]]:
        found: dict[str, dict[str, StageRank]] = {item: {} for item in ids}
        for stage, ranked in self.stages.items():
            for rank, (item, score) in enumerate(ranked, start=1):
                if item in found:
                    found[item][stage] = StageRank(rank, score)
        return found

    def explanation(self, embedder: Embedder | None) -> Explanation:
        """Return everything that the stages noted."""
        prompt = "" if embedder is None else embedder.prompts["query"]
        return Explanation(
            query=self.query.text,
            embedded=self.query.source or prompt + self.query.text,
            where=self.request.where,
            tenant=self.request.tenant,
            stages={
                stage: [(item, rank, score) for rank, (item, score) in enumerate(ranked, start=1)]
                for stage, ranked in self.stages.items()
            },
            duplicates=self.duplicates,
            seconds=self.seconds,
        )

    @contextmanager
    def _timed(self, stage: str) -> Generator[None]:
        with Operation(kind="search stage", name=stage) as timed:
            yield
        self.seconds[stage] = self.seconds.get(stage, 0.0) + timed.seconds
