"""What is done with candidates: their text as models read it, reranking, equal texts."""

from collections.abc import Sequence

import numpy as np

from ragkit.core.protocols import Reranker
from ragkit.core.types import Chunk, FloatArray


def candidate_text(chunk: Chunk) -> str:
    """A chunk under its title and headings, as a model reads it."""
    return f"{chunk.header}\n\n{chunk.text}".strip()


def text_key(chunk: Chunk) -> str:
    """What chunks of equal text have in common, however their words are set apart."""
    return " ".join(chunk.text.split())


async def reranked(
    reranker: Reranker, query: str, candidates: Sequence[tuple[Chunk, float]], *, weight: float
) -> list[tuple[Chunk, float]]:
    """The candidates by the reranker's scores, best first.

    With a `weight` below 1, the rest goes to the scores that they come with; both are standardised
    over the candidates before they are added.
    """
    chunks = [chunk for chunk, _ in candidates]
    scores = await reranker.rerank(query, [candidate_text(chunk) for chunk in chunks])
    if weight < 1:
        before = np.array([score for _, score in candidates])
        scores = weight * _standard(scores) + (1 - weight) * _standard(before)
    pairs = [(chunk, float(score)) for chunk, score in zip(chunks, scores, strict=True)]
    return sorted(pairs, key=lambda pair: -pair[1])


def _standard(scores: FloatArray) -> FloatArray:
    """Scores with mean 0 and deviation 1, or all 0 where they are equal."""
    spread = float(scores.std())
    standard: FloatArray = (scores - scores.mean()) / (spread if spread > 0 else 1.0)
    return standard
