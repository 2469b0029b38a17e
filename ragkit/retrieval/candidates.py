"""What is done with candidates: their text as models read it, reranking, equal texts."""

from collections.abc import Sequence

from ragkit.core.protocols import Reranker
from ragkit.core.types import Chunk


def candidate_text(chunk: Chunk) -> str:
    """A chunk under its title and headings, as a model reads it."""
    return f"{chunk.header}\n\n{chunk.text}".strip()


def text_key(chunk: Chunk) -> str:
    """What chunks of equal text have in common, however their words are set apart."""
    return " ".join(chunk.text.split())


async def reranked(
    reranker: Reranker, query: str, chunks: Sequence[Chunk]
) -> list[tuple[Chunk, float]]:
    """The chunks by the reranker's scores, best first."""
    scores = await reranker.rerank(query, [candidate_text(chunk) for chunk in chunks])
    pairs = [(chunk, float(score)) for chunk, score in zip(chunks, scores, strict=True)]
    return sorted(pairs, key=lambda pair: -pair[1])
