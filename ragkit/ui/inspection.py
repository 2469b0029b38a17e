"""One query under chosen settings, with every candidate of every stage."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal, TypeAlias

from ragkit.core.settings import Settings
from ragkit.core.sync import run_sync
from ragkit.core.types import Chunk, DocumentRecord, TransformName
from ragkit.models.cross_encoder import PACKAGED_READER
from ragkit.retrieval.results import Explanation
from ragkit.ui.workspace import Workspace

Fusion: TypeAlias = Literal["scores", "rrf"]
LEAST_ROWS = 5
_KEPT = 64
_DEEPEST = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchChoices:
    """Everything that decides a search, as its controls say.

    `dimensions` ranks the dense candidates by that prefix of their vectors; `reranker` names a
    model, or is empty; `mmr_lambda` is None where diversity is not wanted, and
    weights are None where those that were fitted with the embedder are.
    """

    k: int = 5
    depth: int = 100
    fusion: Fusion = "scores"
    rrf_k: int = 60
    dense_weight: float | None = None
    bm25_weight: float | None = None
    dimensions: int | None = None
    reranker: str = ""
    rerank_depth: int = 20
    rerank_weight: float | None = None
    mmr_lambda: float | None = None
    transform: TransformName | None = None
    where: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspected:
    """A search as it went.

    Attributes:
        ids: The hits, best first.
        explanation: Every candidate of every stage.
        chunks: The chunks that can be shown, by id.
        repeated_in: Uris of the passages that a hit stands for, by its id.
    """

    ids: tuple[str, ...]
    explanation: Explanation
    chunks: dict[str, Chunk]
    repeated_in: dict[str, tuple[str, ...]]


def default_choices(settings: Settings) -> SearchChoices:
    """Return the choices of the settings in force."""
    config = settings.retrieval
    return SearchChoices(
        k=config.k,
        depth=config.depth,
        fusion=config.fusion,
        rrf_k=config.rrf_k,
        dense_weight=config.dense_weight,
        bm25_weight=config.bm25_weight,
        reranker=settings.reranker.model or "",
        rerank_depth=settings.reranker.depth,
        rerank_weight=config.rerank_weight,
        mmr_lambda=config.mmr_lambda,
        transform=config.transform,
    )


def rerankers(settings: Settings) -> list[str]:
    """Return the names of the rerankers to choose from."""
    return list(dict.fromkeys([PACKAGED_READER, settings.reranker.model or PACKAGED_READER]))


def search_settings(settings: Settings, choices: SearchChoices) -> Settings:
    """Return the settings with the choices in force."""
    retrieval = settings.retrieval.model_copy(
        update={
            "k": choices.k,
            "depth": choices.depth,
            "fusion": choices.fusion,
            "rrf_k": choices.rrf_k,
            "dense_weight": choices.dense_weight,
            "bm25_weight": choices.bm25_weight,
            "rerank_weight": choices.rerank_weight,
            "mmr_lambda": choices.mmr_lambda,
            "transform": choices.transform,
        }
    )
    reranker = settings.reranker.model_copy(
        update={"model": choices.reranker or None, "depth": choices.rerank_depth}
    )
    return settings.model_copy(update={"retrieval": retrieval, "reranker": reranker})


def rows_of(choices: SearchChoices) -> int:
    """Return how many candidates of each stage are shown."""
    return max(choices.k, LEAST_ROWS)


class Inspector:
    """Searches with explanations; the same search is not run twice on the same documents.

    The records of the documents say if they are the same: other processes may write to the index.
    """

    def __init__(self, workspace: Workspace) -> None:
        """Search the index of this workspace."""
        self._workspace = workspace
        self._kept: dict[str, Inspected] = {}

    def search(
        self, query: str, choices: SearchChoices, *, records: Sequence[DocumentRecord]
    ) -> Inspected:
        """Return the search with the chunks of the rows that are shown of each stage.

        Args:
            query: A question or some words.
            choices: Everything that decides the search.
            records: All documents of the index as they are now.

        Raises:
            InputError: The query or the filter cannot be used.
            ConfigError: A choice needs a language model, and none is set.
        """
        documents = hash(frozenset((record.generation, record.version) for record in records))
        key = json.dumps([query, asdict(choices), documents])
        if key not in self._kept:
            found = run_sync(lambda: self._search(query, choices))
            self._workspace.latencies.add(found.explanation.seconds)
            while len(self._kept) >= _KEPT:
                self._kept.pop(next(iter(self._kept)))
            self._kept[key] = found
        return self._kept[key]

    def deep(
        self, query: str, choices: SearchChoices, *, records: Sequence[DocumentRecord]
    ) -> Inspected:
        """Return the same search with legs so deep that every chunk has a rank where it can."""
        chunks = sum(record.chunks for record in records)
        depth = min(max(chunks, choices.depth), _DEEPEST)
        return self.search(query, replace(choices, depth=depth), records=records)

    async def _search(self, query: str, choices: SearchChoices) -> Inspected:
        shown = rows_of(choices)
        settings = search_settings(self._workspace.settings, choices)
        rag = self._workspace.variant(settings, dimensions=choices.dimensions)
        hits = await rag.search(query, where=choices.where.strip() or None, explain=True)
        explanation = hits.explanation
        if explanation is None:
            raise AssertionError("a search with explain=True has an explanation")
        chunks = {hit.chunk.id: hit.chunk for hit in hits}
        wanted = {
            item
            for ranked in explanation.stages.values()
            for item, rank, _ in ranked
            if rank <= shown
        }
        missing = sorted(wanted - set(chunks))
        index = await rag.index()
        fetched = await index.fetch(missing, tenant=self._workspace.tenant) if missing else []
        chunks |= {chunk.id: chunk for chunk in fetched}
        ids = tuple(hit.chunk.id for hit in hits)
        repeated = {
            hit.chunk.id: tuple(dict.fromkeys(o.uri for o in hit.duplicates)) for hit in hits
        }
        return Inspected(ids=ids, explanation=explanation, chunks=chunks, repeated_in=repeated)
