"""Retrieval metrics by ir-measures (trec_eval), with bootstrap intervals by SciPy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ragkit.core.errors import MissingExtraError

MEASURES: Mapping[str, str] = {"ndcg@10": "nDCG@10", "recall@100": "R@100", "mrr@10": "RR@10"}
"""ragkit's name of each measure and ir-measures' own; nDCG has linear gain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A mean over queries with its 95% bootstrap interval."""

    value: float
    low: float
    high: float


def per_query(
    qrels: Mapping[str, Mapping[str, int]], rankings: Mapping[str, Sequence[str]]
) -> dict[str, dict[str, float]]:
    """`{measure: {query id: value}}`; a judged query without a ranking scores 0."""
    try:
        import ir_measures
    except ImportError as error:
        raise MissingExtraError("ir-measures", extra="local") from error
    judged = {query: dict(judgements) for query, judgements in qrels.items()}
    # Ranks as scores: trec_eval would break ties of scores by document id.
    run = {
        query: {document: -float(rank) for rank, document in enumerate(ranking)}
        for query, ranking in rankings.items()
    }
    names = {ir_measures.parse_measure(name): ours for ours, name in MEASURES.items()}
    values = {ours: dict.fromkeys(judged, 0.0) for ours in MEASURES}
    for item in ir_measures.iter_calc(list(names), judged, run):
        values[names[item.measure]][item.query_id] = float(item.value)
    return values


def estimate(values: Sequence[float], *, seed: int = 0, resamples: int = 2000) -> Estimate:
    """Mean and 95% percentile-bootstrap interval of per-query values (Efron 1979)."""
    data: npt.NDArray[np.float64] = np.asarray(values, dtype=np.float64)
    mean = float(data.mean())
    if len(data) < 2 or np.ptp(data) == 0:
        return Estimate(value=mean, low=mean, high=mean)
    try:
        from scipy.stats import bootstrap
    except ImportError as error:
        raise MissingExtraError("scipy", extra="local") from error
    result = bootstrap(
        (data,),
        np.mean,
        n_resamples=resamples,
        method="percentile",
        rng=np.random.default_rng(seed),
        batch=100,
    )
    interval = result.confidence_interval
    return Estimate(value=mean, low=float(interval.low), high=float(interval.high))
