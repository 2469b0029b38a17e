"""Statistics over queries: means with bootstrap intervals, paired comparison of two systems."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from ragkit.core.errors import InputError, MissingExtraError

SIGNIFICANT = 0.05
"""The p-value below which a difference is significant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A mean over queries with its 95% bootstrap interval."""

    value: float
    low: float
    high: float


def estimate(values: Sequence[float], *, seed: int = 0, resamples: int = 2000) -> Estimate:
    """Return mean and 95% percentile-bootstrap interval of per-query values (Efron 1979)."""
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A against B on the same queries.

    Attributes:
        queries: Number of queries.
        a: Mean of A.
        b: Mean of B.
        difference: Mean of B minus A over the queries, with its 95% bootstrap interval.
        p_value: Of the two-sided paired randomisation test.
        better: The better system, None without a significant difference.
        higher: Queries with a higher value in B.
        lower: Queries with a lower value in B.
    """

    queries: int
    a: float
    b: float
    difference: Estimate
    p_value: float
    better: Literal["A", "B"] | None
    higher: int
    lower: int

    @property
    def verdict(self) -> str:
        """The result as a sentence."""
        found = self.difference
        numbers = (
            f"{found.value:+.3f} ({found.low:.3f} to {found.high:.3f}), p = {self.p_value:.2g}"
        )
        if self.better is None:
            return f"no difference can be seen in these {self.queries} queries: {numbers}"
        return f"{self.better} is better: {numbers}"


def compare(
    a: Mapping[str, float],
    b: Mapping[str, float],
    *,
    seed: int = 0,
    resamples: int = 9999,
    lower_is_better: bool = False,
) -> Comparison:
    """Compare per-query values of two systems, paired by query id.

    The test is Fisher's randomisation test, as Smucker et al. (2007) recommend for retrieval:
    exact for few queries, else with `resamples` random assignments of the signs.

    Raises:
        InputError: No query has a value in both.
    """
    common = [query for query in a if query in b]
    if not common:
        raise InputError("The two runs have no query in common.")
    first = np.asarray([a[query] for query in common], dtype=np.float64)
    second = np.asarray([b[query] for query in common], dtype=np.float64)
    differences = second - first
    p_value = _randomisation_test(differences, seed, resamples)
    mean = float(differences.mean())
    seen = p_value < SIGNIFICANT and mean != 0
    return Comparison(
        queries=len(common),
        a=float(first.mean()),
        b=float(second.mean()),
        difference=estimate(differences.tolist(), seed=seed),
        p_value=p_value,
        better=("B" if (mean > 0) != lower_is_better else "A") if seen else None,
        higher=int((differences > 0).sum()),
        lower=int((differences < 0).sum()),
    )


def _randomisation_test(differences: npt.NDArray[np.float64], seed: int, resamples: int) -> float:
    changed = differences[differences != 0]  # zeros do not change the statistic
    if len(changed) < 2:
        return 1.0
    from scipy.stats import permutation_test

    result = permutation_test(
        (changed,),
        np.mean,
        permutation_type="samples",
        n_resamples=resamples,
        batch=500,
        rng=np.random.default_rng(seed),
    )
    return float(result.pvalue)
