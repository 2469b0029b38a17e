"""Maximal marginal relevance: hits that differ from each other (Carbonell & Goldstein 1998)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Unpack

import numpy as np

from ragkit.core.operation import Operation
from ragkit.core.protocols import Embedder
from ragkit.core.types import FloatArray, Hit, StageRank
from ragkit.retrieval.query import Query
from ragkit.retrieval.request import SearchOptions, SearchRequest
from ragkit.retrieval.rerank import candidate_text
from ragkit.retrieval.results import Hits
from ragkit.retrieval.wrapper import RetrieverWrapper

STAGE = "mmr"


@dataclass(frozen=True, slots=True, kw_only=True)
class Diverse(RetrieverWrapper):
    """Chooses among the first `candidates` hits those that are relevant and unlike each other.

    Each next hit is the one with the most `relevance_weight * relevance - (1 - relevance_weight) *
    similarity`. Relevance is the hit's score, scaled to 0 for the worst candidate and 1 for the
    best; similarity is the greatest cosine to a hit that was chosen before, 0 at least.

    Attributes:
        embedder: Measures similarity; the candidates are embedded again for every search.
        relevance_weight: Lambda, 0 to 1; at 1 nothing changes.
        candidates: Number of hits to choose from.
    """

    embedder: Embedder
    relevance_weight: float = 0.7
    candidates: int = 20

    async def search(self, query: str | Query, **options: Unpack[SearchOptions]) -> Hits:
        """Search as `Retriever.search` does; the stage `mmr` has the chosen hits."""
        request = SearchRequest.of(options, self.settings)
        wider = request.options(k=max(request.k, self.candidates))
        found = await self.inner.search(query, **wider)
        with Operation(kind="search stage", name=STAGE) as timed:
            hits = await self._chosen(found, request.k)
        before = found.explanation
        return Hits(hits, before and before.followed_by(STAGE, hits, timed.seconds))

    async def _chosen(self, found: Sequence[Hit], wanted: int) -> list[Hit]:
        if not found:
            return []
        vectors = await self.embedder.embed([candidate_text(hit.chunk) for hit in found])
        scores = np.array([hit.score for hit in found], dtype=np.float32)
        order = maximal_marginal_relevance(
            scaled(scores), vectors @ vectors.T, weight=self.relevance_weight, k=wanted
        )
        return [
            replace(
                found[place],
                score=score,
                trace={**found[place].trace, STAGE: StageRank(rank, score)},
            )
            for rank, (place, score) in enumerate(order, start=1)
        ]


def scaled(scores: FloatArray) -> FloatArray:
    """Return scores between 0 for the least and 1 for the greatest; all 1 where they are equal."""
    low, high = scores.min(), scores.max()
    if high <= low:
        return np.ones_like(scores)
    result: FloatArray = (scores - low) / (high - low)
    return result


def maximal_marginal_relevance(
    relevance: FloatArray, similarity: FloatArray, *, weight: float, k: int
) -> list[tuple[int, float]]:
    """Choose `k` items greedily.

    Args:
        relevance: Of each item, `[n]`.
        similarity: Of each pair, `[n, n]`.
        weight: Lambda, of relevance against dissimilarity.
        k: Number of items to choose.

    Returns:
        `(item, marginal relevance)` in the order of choice; the second never rises.
    """
    nearest = np.zeros_like(relevance)
    left = list(range(len(relevance)))
    chosen: list[tuple[int, float]] = []
    while left and len(chosen) < k:
        values = weight * relevance[left] - (1 - weight) * nearest[left]
        best = int(np.argmax(values))
        item = left.pop(best)
        chosen.append((item, float(values[best])))
        nearest = np.maximum(nearest, similarity[item])
    return chosen
