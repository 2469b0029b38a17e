"""Fusing the legs: by scores (Bruch et al. 2023) or by reciprocal ranks (Cormack et al. 2009)."""

from collections.abc import Mapping, Sequence

FLOORS: Mapping[str, float] = {"bm25": 0.0}
"""What a leg gives to what it does not find, where that is known."""


def score_fusion(
    legs: Mapping[str, Sequence[tuple[str, float]]], *, weights: Mapping[str, float] | None = None
) -> list[tuple[str, float]]:
    """Fuse scored lists: the weighted mean of an id's scores, each leg's scaled to 0..1.

    A leg's best has 1 there, and an id that it does not have 0, which is where its floor is, or
    its worst where it has none (arXiv:2210.11934).

    Args:
        legs: `(id, score)` of each leg, best first; an id appears at most once in a leg.
        weights: Weight of each leg, 1 where none is given.

    Returns:
        `(id, score)`, best first; equal scores in the order of the first leg that has them.
    """
    given = {name: 1.0 if weights is None else weights.get(name, 1.0) for name in legs}
    total = sum(given.values()) or 1.0
    scores: dict[str, float] = {}
    for name, ranked in legs.items():
        if not ranked:
            continue
        high, low = ranked[0][1], FLOORS.get(name, ranked[-1][1])
        for item, score in ranked:
            scaled = (score - low) / (high - low) if high > low else 1.0
            scores[item] = scores.get(item, 0.0) + given[name] / total * scaled
    return sorted(scores.items(), key=lambda pair: -pair[1])


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
