"""Reranking of candidates, and the texts by which candidates are compared."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ragkit.core.protocols import Reranker
from ragkit.core.settings import RetrievalSettings
from ragkit.core.types import Chunk, FloatArray


def candidate_text(chunk: Chunk) -> str:
    """Return a chunk under its title and headings, as a model reads it."""
    return f"{chunk.header}\n\n{chunk.text}".strip()


def text_key(chunk: Chunk) -> str:
    """Return the key that chunks of equal text share, whatever the white space between words."""
    return " ".join(chunk.text.split())


@dataclass(frozen=True, slots=True, kw_only=True)
class Reranking:
    """The reranking of the first `depth` candidates.

    With a `weight` below 1 the rest of the weight goes to the scores that the candidates come with;
    both are standardised over these candidates before they are added.
    """

    reranker: Reranker
    depth: int
    weight: float

    async def order(
        self, query: str, candidates: Sequence[tuple[Chunk, float]]
    ) -> list[tuple[Chunk, float]]:
        """Return the first `depth` candidates by the reranker's scores, then the others.

        The others keep their order and distances, with scores that start at the lowest of the
        reranked.
        """
        first, others = candidates[: self.depth], candidates[self.depth :]
        if not first:
            return []
        chunks = [chunk for chunk, _ in first]
        scores = await self.reranker.rerank(query, [candidate_text(chunk) for chunk in chunks])
        if self.weight < 1:
            before = np.array([score for _, score in first])
            scores = self.weight * standardised(scores) + (1 - self.weight) * standardised(before)
        pairs = [(chunk, float(score)) for chunk, score in zip(chunks, scores, strict=True)]
        best = sorted(pairs, key=lambda pair: -pair[1])
        return best + [(chunk, best[-1][1] - (others[0][1] - score)) for chunk, score in others]


def reranking(
    reranker: Reranker | None, settings: RetrievalSettings, *, depth: int
) -> Reranking | None:
    """Return the reranking with the weight that is set, or the reranker's own, or 1."""
    if reranker is None:
        return None
    own: float = getattr(reranker, "weight", 1.0)
    weight = own if settings.rerank_weight is None else settings.rerank_weight
    return Reranking(reranker=reranker, depth=depth, weight=weight)


def standardised(scores: FloatArray) -> FloatArray:
    """Return scores with mean 0 and deviation 1, or all 0 where they are equal."""
    spread = float(scores.std())
    standard: FloatArray = (scores - scores.mean()) / (spread if spread > 0 else 1.0)
    return standard
