"""Reports as one HTML file with its style and plots inside."""

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ragkit.evaluation.plots import (
    difference_intervals,
    histograms,
    measure_plots,
    query_differences,
)
from ragkit.evaluation.run_comparison import RunComparison
from ragkit.evaluation.runs import Evaluation, StageResult

if TYPE_CHECKING:
    from jinja2 import Environment

_WORST = 20


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
            plots=measure_plots(stages),
            histograms=histograms(stages),
            worst={stage: _worst(evaluation, result) for stage, result in stages.items()},
        )
    )


def comparison_html(comparison: RunComparison, *, a: str, b: str) -> str:
    """Render two runs: differences with intervals, verdicts, the queries that changed most."""
    stages = [
        (stage, difference_intervals(stage), query_differences(stage))
        for stage in comparison.stages
    ]
    page = _environment().get_template("comparison.html.j2")
    return page.render(comparison=comparison, a=a, b=b, stages=stages)


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
