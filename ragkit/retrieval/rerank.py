"""What is done with candidates: their text as models read it, reranking, equal texts."""

from collections.abc import Sequence

import numpy as np

from ragkit.core.protocols import Reranker
from ragkit.core.settings import RetrievalSettings
from ragkit.core.types import Chunk, FloatArray


def candidate_text(chunk: Chunk) -> str:
    """A chunk under its title and headings, as a model reads it."""
    return f"{chunk.header}\n\n{chunk.text}".strip()


def text_key(chunk: Chunk) -> str:
    """What chunks of equal text have in common, however their words are set apart."""
    return " ".join(chunk.text.split())


async def reranked(
    reranker: Reranker,
    query: str,
    candidates: Sequence[tuple[Chunk, float]],
    *,
    depth: int,
    weight: float,
) -> list[tuple[Chunk, float]]:
    """The first `depth` candidates by the reranker's scores, best first, then the others.

    With a `weight` below 1, the rest goes to the scores that they come with; both are standardised
    over these candidates before they are added. The others keep their order and distances, with
    scores that start at the lowest of the reranked.
    """
    first, others = candidates[:depth], candidates[depth:]
    chunks = [chunk for chunk, _ in first]
    scores = await reranker.rerank(query, [candidate_text(chunk) for chunk in chunks])
    if weight < 1:
        before = np.array([score for _, score in first])
        scores = weight * standardised(scores) + (1 - weight) * standardised(before)
    pairs = [(chunk, float(score)) for chunk, score in zip(chunks, scores, strict=True)]
    best = sorted(pairs, key=lambda pair: -pair[1])
    return best + [(chunk, best[-1][1] - (others[0][1] - score)) for chunk, score in others]


def share_of(reranker: Reranker, settings: RetrievalSettings) -> float:
    """The reranker's share in the final order: as set, or its own `weight`, or all of it."""
    own: float = getattr(reranker, "weight", 1.0)
    return own if settings.rerank_weight is None else settings.rerank_weight


def standardised(scores: FloatArray) -> FloatArray:
    """Scores with mean 0 and deviation 1, or all 0 where they are equal."""
    spread = float(scores.std())
    standard: FloatArray = (scores - scores.mean()) / (spread if spread > 0 else 1.0)
    return standard
