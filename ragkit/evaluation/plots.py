"""Plots of an evaluation as data, drawn by the HTML report and by the application alike."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ragkit.evaluation.run_comparison import StageComparison
from ragkit.evaluation.runs import LOWER_IS_BETTER, StageResult
from ragkit.evaluation.stats import Estimate

_BINS = 10
_BARS = 400
_TICKS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """An axis from `low` to `high` with round numbers as ticks."""

    title: str
    low: float
    high: float
    ticks: tuple[float, ...]

    def percent(self, value: float) -> float:
        """Return the place of a value between `low` (0) and `high` (100)."""
        return round(100 * (value - self.low) / (self.high - self.low), 2)

    def label(self, tick: float) -> str:
        """Return a tick as text."""
        return f"{tick:g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class IntervalRow:
    """A mean with its interval."""

    label: str
    value: float
    low: float
    high: float

    @property
    def text(self) -> str:
        """The numbers."""
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


@dataclass(frozen=True, slots=True, kw_only=True)
class IntervalPlot:
    """Means with their intervals on one axis."""

    title: str
    axis: Axis
    rows: tuple[IntervalRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bin:
    """The number of queries with a value from `start` to `end`."""

    start: float
    end: float
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """The spread of the values of a measure over queries."""

    title: str
    axis: Axis
    counts: Axis
    bins: tuple[Bin, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DifferencePlot:
    """The differences of queries in order; of many, evenly spaced ones."""

    title: str
    axis: Axis
    values: tuple[float, ...]


def axis_of(title: str, low: float, high: float) -> Axis:
    """Return an axis that holds both ends, its own ends on ticks."""
    if not high > low:
        low, high = min(0.0, low), max(1.0, high)
    rough = (high - low) / _TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = tuple(round(number * step, 10) for number in range(first, last + 1))
    return Axis(title=title, low=ticks[0], high=ticks[-1], ticks=ticks)


def measure_plots(stages: Mapping[str, StageResult]) -> list[IntervalPlot]:
    """Return a plot of each measure with the stages that have it."""
    names = dict.fromkeys(name for result in stages.values() for name in result.measures)
    return [
        interval_plot(
            name + (", lower is better" if name in LOWER_IS_BETTER else ""),
            {s: result.measures[name] for s, result in stages.items() if name in result.measures},
        )
        for name in names
    ]


def interval_plot(title: str, rows: Mapping[str, Estimate]) -> IntervalPlot:
    """Return means and intervals on an axis with 0, and with 1 where all lie between."""
    least = min(0.0, *(item.low for item in rows.values()))
    most = max(0.0, *(item.high for item in rows.values()))
    if least == 0 and most <= 1:
        most = 1.0
    return IntervalPlot(
        title=title,
        axis=axis_of("mean over queries, 95% interval", least, most),
        rows=tuple(
            IntervalRow(label=label, value=item.value, low=item.low, high=item.high)
            for label, item in rows.items()
        ),
    )


def histograms(stages: Mapping[str, StageResult]) -> list[Histogram]:
    """Return the spread of the first measure of each stage."""
    return [
        histogram(f"{stage}: {name}", list(result.per_query[name].values()), name)
        for stage, result in stages.items()
        for name in list(result.measures)[:1]
    ]


def histogram(title: str, values: Sequence[float], measure: str) -> Histogram:
    """Return how many queries have which value, in ten bins from 0 to 1 or to the highest."""
    most = max([1.0, *values])
    counts = [0] * _BINS
    for value in values:
        counts[max(0, min(_BINS - 1, math.floor(value / most * _BINS)))] += 1
    return Histogram(
        title=title,
        axis=Axis(
            title=measure,
            low=0.0,
            high=most,
            ticks=tuple(round(most * n / _TICKS, 10) for n in range(_TICKS + 1)),
        ),
        counts=axis_of("queries", 0.0, float(max([1, *counts]))),
        bins=tuple(
            Bin(start=n * most / _BINS, end=(n + 1) * most / _BINS, count=count)
            for n, count in enumerate(counts)
        ),
    )


def difference_plot(title: str, differences: Sequence[float]) -> DifferencePlot:
    """Return the differences, in the order given, on an axis with 0 in it."""
    step = max(1, math.ceil(len(differences) / _BARS))
    values = tuple(differences[::step])
    most = max((abs(value) for value in values), default=0.0)
    axis = axis_of("B minus A", -most, most) if most else axis_of("B minus A", -1.0, 1.0)
    return DifferencePlot(title=title, axis=axis, values=values)


def difference_intervals(stage: StageComparison) -> IntervalPlot:
    """Return the differences of all measures of two stages, with intervals."""
    return interval_plot(
        f"{stage.stage_b} (B) minus {stage.stage_a} (A)",
        {name: item.difference for name, item in stage.measures.items()},
    )


def query_differences(stage: StageComparison) -> DifferencePlot:
    """Return the difference of each query in the first measure of two stages."""
    return difference_plot(f"{stage.measure}, each query's difference in order", stage.differences)
