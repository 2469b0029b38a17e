"""Fusion of the legs: by scores (Bruch et al. 2023) or reciprocal ranks (Cormack et al. 2009)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from ragkit.core.settings import RetrievalSettings
from ragkit.core.text import is_mostly_latin

FusionKind: TypeAlias = Literal["scores", "rrf"]

FLOORS: Mapping[str, float] = {"bm25": 0.0}
"""The score of what a leg does not find, for legs where that is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LegWeights:
    """Weights of the two legs; only their ratio matters."""

    dense: float
    bm25: float


EVEN = LegWeights(dense=1.0, bm25=1.0)
FITTED: Mapping[tuple[str, FusionKind], LegWeights] = {
    ("all-minilm-l6-v2", "scores"): LegWeights(dense=1.0, bm25=2.0),
}
"""Weights by the embedder and the fusion that they were fitted with; all others start `EVEN`."""
OTHER_SCRIPTS: Mapping[tuple[str, FusionKind], LegWeights] = {
    ("all-minilm-l6-v2", "scores"): LegWeights(dense=1.0, bm25=5.0),
}
"""Weights of embedders of one script, for queries whose letters are mostly of others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fusion:
    """One way to join the legs, with its weights."""

    kind: FusionKind
    weights: LegWeights
    rrf_k: int = 60

    @classmethod
    def of(cls, settings: RetrievalSettings, *, embedder: str, query: str = "") -> "Fusion":
        """Return the fusion that is set, with the weights that are set or that fit the embedder.

        Args:
            settings: Fusion, `rrf_k` and the weights.
            embedder: Name of the model that embedded the chunks.
            query: The question.
        """
        key = embedder, settings.fusion
        fitted = FITTED.get(key, EVEN)
        if key in OTHER_SCRIPTS and not is_mostly_latin(query):
            fitted = OTHER_SCRIPTS[key]
        dense, bm25 = settings.dense_weight, settings.bm25_weight
        return cls(
            kind=settings.fusion,
            weights=LegWeights(
                dense=fitted.dense if dense is None else dense,
                bm25=fitted.bm25 if bm25 is None else bm25,
            ),
            rrf_k=settings.rrf_k,
        )

    def fuse(self, legs: Mapping[str, Sequence[tuple[str, float]]]) -> list[tuple[str, float]]:
        """Return `(id, score)` of everything that a leg found, best first."""
        weights = {"dense": self.weights.dense, "bm25": self.weights.bm25}
        if self.kind == "scores":
            return score_fusion(legs, weights=weights)
        ids = {leg: [item for item, _ in pairs] for leg, pairs in legs.items()}
        return reciprocal_rank_fusion(ids, k=self.rrf_k, weights=weights)


def score_fusion(
    legs: Mapping[str, Sequence[tuple[str, float]]], *, weights: Mapping[str, float] | None = None
) -> list[tuple[str, float]]:
    """Fuse scored lists: the weighted mean of an id's scores, each leg's scaled to 0..1.

    The best of a leg has 1 there. An id that a leg does not have gets 0, which stands for the leg's
    floor, or for its worst score where the floor is unknown (arXiv:2210.11934).

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
        k: Offset of the ranks: the larger it is, the less the first ranks stand out.
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
