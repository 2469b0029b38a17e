"""Reports as one HTML file with its style and plots inside."""

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ragkit.evaluation.run_comparison import RunComparison
from ragkit.evaluation.runs import LOWER_IS_BETTER, Evaluation, StageResult
from ragkit.evaluation.stats import Estimate

if TYPE_CHECKING:
    from jinja2 import Environment

_WIDTH = 420
_BINS = 10
_WORST = 20
_BARS = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A row of an interval plot, in pixels from the left."""

    label: str
    text: str
    at: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class IntervalPlot:
    """Means with their intervals on one axis; `zero` is the place of 0."""

    title: str
    rows: tuple[Interval, ...]
    zero: float
    least: str
    most: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A bar of a plot, in pixels from the top left."""

    x: float
    y: float
    width: float
    height: float
    text: str
    rising: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class WorstQuery:
    """A query with a low value, and its output."""

    query: str
    question: str
    value: float
    output: str


def evaluation_html(evaluation: Evaluation) -> str:
    """Render a run: measures with intervals, their distribution, failures, worst queries."""
    stages = evaluation.stages
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            run=evaluation,
            plots=_measure_plots(stages),
            histograms=[
                (stage, name, _histogram(list(result.per_query[name].values())))
                for stage, result in stages.items()
                for name in list(result.measures)[:1]
            ],
            worst={stage: _worst(evaluation, result) for stage, result in stages.items()},
        )
    )


def comparison_html(comparison: RunComparison, *, a: str, b: str) -> str:
    """Render two runs: differences with intervals, verdicts, the queries that changed most."""
    plots = [
        _interval_plot(
            f"{stage.stage_b} (B) minus {stage.stage_a} (A)",
            {name: item.difference for name, item in stage.measures.items()},
        )
        for stage in comparison.stages
    ]
    bars = [_difference_bars(stage.differences) for stage in comparison.stages]
    page = _environment().get_template("comparison.html.j2")
    return page.render(
        comparison=comparison,
        a=a,
        b=b,
        stages=list(zip(comparison.stages, plots, bars, strict=True)),
    )


@functools.cache
def _environment() -> "Environment":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _measure_plots(stages: Mapping[str, StageResult]) -> list[IntervalPlot]:
    names = dict.fromkeys(name for result in stages.values() for name in result.measures)
    plots: list[IntervalPlot] = []
    for name in names:
        rows = {
            stage: found.measures[name] for stage, found in stages.items() if name in found.measures
        }
        title = f"{name}, lower is better" if name in LOWER_IS_BETTER else name
        plots.append(_interval_plot(title, rows))
    return plots


def _interval_plot(title: str, rows: Mapping[str, Estimate]) -> IntervalPlot:
    least = min(0.0, *(item.low for item in rows.values()))
    most = max(0.0, *(item.high for item in rows.values()))
    if least == 0 and most <= 1:
        most = 1.0
    span = (most - least) or 1.0

    def place(value: float) -> float:
        return round((value - least) / span * _WIDTH, 1)

    return IntervalPlot(
        title=title,
        rows=tuple(
            Interval(
                label=label,
                text=f"{item.value:.3f} ({item.low:.3f} to {item.high:.3f})",
                at=place(item.value),
                low=place(item.low),
                high=place(item.high),
            )
            for label, item in rows.items()
        ),
        zero=place(0),
        least=f"{least:.3g}",
        most=f"{most:.3g}",
    )


def _histogram(values: Sequence[float]) -> list[Bar]:
    """Count queries by value, in ten bins from 0 to 1 or to the highest value."""
    most = max(1.0, *values) if values else 1.0
    counts = [0] * _BINS
    for value in values:
        counts[min(_BINS - 1, math.floor(value / most * _BINS))] += 1
    tallest, width = max(*counts, 1), _WIDTH / _BINS
    return [
        Bar(
            x=round(number * width, 1),
            y=round(100 - 100 * count / tallest, 1),
            width=round(width - 2, 1),
            height=round(100 * count / tallest, 1),
            text=f"{number * most / _BINS:.2g} to {(number + 1) * most / _BINS:.2g}: {count}",
        )
        for number, count in enumerate(counts)
    ]


def _difference_bars(differences: Sequence[float]) -> list[Bar]:
    """Draw sorted differences as bars up and down; of many queries, evenly spaced ones."""
    step = max(1, math.ceil(len(differences) / _BARS))
    shown = list(differences)[::step]
    most = max((abs(value) for value in shown), default=0.0) or 1.0
    width = _WIDTH / max(1, len(shown))
    return [
        Bar(
            x=round(number * width, 2),
            y=round(50 - 50 * max(value, 0) / most, 1),
            width=round(width, 2),
            height=round(50 * abs(value) / most, 1),
            text=f"{value:+.3f}",
            rising=value > 0,
        )
        for number, value in enumerate(shown)
    ]


def _worst(evaluation: Evaluation, result: StageResult) -> list[WorstQuery]:
    """Return the queries with the lowest values of the first measure, below its mean."""
    if not result.measures:
        return []
    name = next(iter(result.measures))
    mean = result.measures[name].value
    values = sorted(result.per_query[name].items(), key=lambda item: item[1])
    return [
        WorstQuery(
            query=query,
            question=evaluation.questions.get(query, ""),
            value=value,
            output=", ".join(result.outputs.get(query, ())[:3]),
        )
        for query, value in values[:_WORST]
        if value < mean
    ]
