"""Exact dense rankings over a matrix of vectors, the reference for an index's results."""

from collections.abc import Sequence

import numpy as np

from ragkit.core.errors import InputError
from ragkit.core.types import FloatArray
from ragkit.core.vectors import unit

_BLOCK = 256
"""Number of queries whose scores are in memory at the same time."""


def exact_rankings(
    vectors: FloatArray,
    query_vectors: FloatArray,
    ids: Sequence[str],
    *,
    dimensions: int | None = None,
    rescore: int | None = None,
    depth: int = 100,
) -> list[list[str]]:
    """Rank documents for each query by the cosine of their vectors, exactly.

    Args:
        vectors: float32 `[n, d]`, one row for each passage.
        query_vectors: float32 `[q, d]`.
        ids: The document of each of the `n` passages; a document has the rank of its best passage.
        dimensions: Compare this prefix of the vectors (Kusupati et al. 2022, arXiv:2205.13147).
        rescore: Passages taken by the prefix and then ranked by whole vectors, as the index's
            dense leg does with twice its depth.
        depth: Maximum number of documents in each ranking.

    Returns:
        Document ids for each of the `q` queries, best first.

    Raises:
        InputError: The shapes do not fit together.
    """
    _check(vectors, query_vectors, ids, dimensions)
    passages, queries = unit(vectors[:, :dimensions]), unit(query_vectors[:, :dimensions])
    whole = (unit(vectors), unit(query_vectors)) if rescore else None
    rankings: list[list[str]] = []
    for first in range(0, len(queries), _BLOCK):
        scores = queries[first : first + _BLOCK] @ passages.T
        for row, values in enumerate(scores, start=first):
            if whole is None or rescore is None:
                order = np.argsort(-values, kind="stable")
            else:
                taken = np.argsort(-values, kind="stable")[:rescore]
                order = taken[np.argsort(-(whole[0][taken] @ whole[1][row]), kind="stable")]
            rankings.append(_documents(order.tolist(), ids, depth))
    return rankings


def _check(
    vectors: FloatArray, query_vectors: FloatArray, ids: Sequence[str], dimensions: int | None
) -> None:
    if len(ids) != len(vectors):
        raise InputError(
            f"Got {len(vectors)} vectors but {len(ids)} ids. Fix: pass one id a vector."
        )
    width = vectors.shape[1]
    if query_vectors.shape[1] != width:
        raise InputError(
            f"Documents have {width} dimensions and queries {query_vectors.shape[1]}. Fix: embed "
            "both with one model."
        )
    if dimensions is not None and not 0 < dimensions <= width:
        raise InputError(f"dimensions is {dimensions!r}. Fix: use 1 to {width}.")


def _documents(order: Sequence[int], ids: Sequence[str], depth: int) -> list[str]:
    kept: dict[str, None] = {}
    for position in order:
        kept.setdefault(ids[position])
        if len(kept) == depth:
            break
    return list(kept)
