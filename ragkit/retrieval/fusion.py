"""Reciprocal rank fusion (Cormack, Clarke & Büttcher, SIGIR 2009), with weights."""

from collections.abc import Mapping, Sequence


def reciprocal_rank_fusion(
    legs: Mapping[str, Sequence[str]], *, k: int = 60, weights: Mapping[str, float] | None = None
) -> list[tuple[str, float]]:
    """Fuse ranked lists of ids: `score(id) = sum over legs of weight / (k + rank)`.

    Args:
        legs: Ids of each leg, best first; an id appears at most once in a leg.
        k: How fast the weight of a rank falls; larger is flatter.
        weights: Weight of each leg, 1 where none is given.

    Returns:
        `(id, score)`, best first; equal scores in the order of the first leg that has them.
    """
    scores: dict[str, float] = {}
    for name, ids in legs.items():
        weight = 1.0 if weights is None else weights.get(name, 1.0)
        for rank, item in enumerate(ids, start=1):
            scores[item] = scores.get(item, 0.0) + weight / (k + rank)
    return sorted(scores.items(), key=lambda pair: -pair[1])
