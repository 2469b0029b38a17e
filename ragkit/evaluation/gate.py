"""Quality gates for continuous integration: least values such as `hybrid:ndcg@10=0.45`."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from ragkit.core.errors import ConfigError
from ragkit.evaluation.runs import LOWER_IS_BETTER, StageResult
from ragkit.evaluation.stats import Estimate

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """The least mean of a measure; of the last stage if `stage` is None."""

    stage: str | None
    measure: str
    least: float


def parse_threshold(text: str) -> Threshold:
    """Read `[stage:]measure=value`.

    Raises:
        ConfigError: The text is not of this form, or lower values of the measure are better.
    """
    name, _, value = text.partition("=")
    stage, colon, measure = name.strip().rpartition(":")
    try:
        least = float(value)
    except ValueError:
        least = math.nan
    if not math.isfinite(least):
        raise ConfigError(
            f"{text!r} is not a threshold. Fix: write ndcg@10=0.45, or hybrid:ndcg@10=0.45 for one "
            "stage."
        )
    if measure in LOWER_IS_BETTER:
        raise ConfigError(
            f"Lower values of {measure!r} are better, so it cannot have a least value."
        )
    return Threshold(stage=stage if colon else None, measure=measure, least=least)


def check_thresholds(
    thresholds: Sequence[Threshold], stages: Sequence[str], measures: Sequence[str]
) -> None:
    """Raise `ConfigError` for a threshold of a stage or measure that will not be measured."""
    for item in thresholds:
        stage = item.stage or stages[-1]
        _known(dict.fromkeys(stages), stage, "stage")
        _known(dict.fromkeys(measures), item.measure, f"measure of {stage}")


def shortfall(threshold: Threshold, stages: Mapping[str, StageResult]) -> str | None:
    """Describe a missed threshold; None if it is reached.

    Raises:
        ConfigError: The stage or the measure was not measured.
    """
    stage = threshold.stage or list(stages)[-1]
    measures: Mapping[str, Estimate] = _known(stages, stage, "stage").measures
    found = _known(measures, threshold.measure, f"measure of {stage}")
    if found.value >= threshold.least:
        return None
    return (
        f"{stage}: {threshold.measure} is {found.value:.4f} ({found.low:.4f} to {found.high:.4f}), "
        f"below {threshold.least:g}"
    )


def _known(found: Mapping[str, T], name: str, what: str) -> T:
    if name not in found:
        raise ConfigError(f"There is no {what} {name!r}. Fix: use one of {', '.join(found)}.")
    return found[name]
