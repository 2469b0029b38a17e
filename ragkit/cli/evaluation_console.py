"""Evaluations in a terminal, and their JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from ragkit.cli.console import out
from ragkit.evaluation.run_comparison import RunComparison, StageComparison
from ragkit.evaluation.runs import Evaluation, StageResult
from ragkit.evaluation.stats import Estimate

if TYPE_CHECKING:
    from ragkit.evaluation.test_sets import GeneratedSet
    from ragkit.evaluation.tuning import Tuning

_CHANGED = 10
_ACROSS = 4
"""Maximum number of measures that are columns; more are rows."""


def show_evaluation(evaluation: Evaluation) -> None:
    """Show measures of each stage with their intervals, and numbers of failed queries."""
    out.print(
        f"[bold]{escape(evaluation.dataset)}[/]: {evaluation.queries} queries, "
        f"{evaluation.documents} documents, {evaluation.chunks} chunks (95% bootstrap intervals)",
        soft_wrap=True,
    )
    for note in evaluation.notes:
        out.print(f"[yellow]note:[/] {escape(note)}", soft_wrap=True)
    table = Table()
    names = dict.fromkeys(name for result in evaluation.stages.values() for name in result.measures)
    rows = [
        (
            stage,
            *(_cell(result.measures.get(name)) for name in names),
            f"{result.p50_ms:.1f}",
            f"{result.p95_ms:.1f}",
        )
        for stage, result in evaluation.stages.items()
    ]
    heads = ("stage", *names, "p50 ms", "p95 ms")
    lines = [heads, *rows] if len(names) <= _ACROSS else list(zip(heads, *rows, strict=True))
    for column in lines[0]:
        table.add_column(column)
    for line in lines[1:]:
        table.add_row(*line)
    out.print(table)
    _show_failures(evaluation.stages)


def _cell(estimate: Estimate | None) -> str:
    if estimate is None:
        return ""
    return f"{estimate.value:.3f} [dim]{estimate.low:.3f}-{estimate.high:.3f}"


def _show_failures(stages: Mapping[str, StageResult]) -> None:
    for stage, result in stages.items():
        counts = ", ".join(f"{item.count} {kind}" for kind, item in result.failures.items())
        if counts:
            out.print(f"[dim]{stage}: {counts}")
        for query, reason in result.failed.items():
            out.print(f"[red]{stage}: query {escape(query)} failed:[/] {escape(reason)}")


def show_comparison(comparison: RunComparison) -> None:
    """Show each stage's verdicts and the queries that changed most."""
    out.print(f"[bold]{escape(comparison.dataset)}[/]: B against A, {comparison.queries} queries")
    for note in comparison.notes:
        out.print(f"[yellow]note:[/] {escape(note)}")
    for stage in comparison.stages:
        _show_stage(stage)


def _show_stage(stage: StageComparison) -> None:
    same = stage.stage_a == stage.stage_b
    title = stage.stage_a if same else f"{stage.stage_a} (A), {stage.stage_b} (B)"
    table = Table(title=title, title_justify="left")
    for column in ("measure", "A", "B", "higher in B", "lower in B"):
        table.add_column(column)
    for name, item in stage.measures.items():
        table.add_row(name, f"{item.a:.3f}", f"{item.b:.3f}", str(item.higher), str(item.lower))
    out.print(table)
    for name, verdict in stage.verdicts.items():
        out.print(f"[bold]{name}[/]: {verdict}", soft_wrap=True)
    for change in stage.changed[:_CHANGED]:
        question = " ".join(change.question.split())[:80]
        values = f"{change.a:.3f} -> {change.b:.3f}"
        out.print(f"  {values}  {escape(change.query)} [dim]{escape(question)}", soft_wrap=True)


def tuning_json(tuning: "Tuning") -> dict[str, object]:
    """Return the fields of a `Tuning`, with `recommended` and the `settings` to use."""
    values = asdict(tuning)
    return {**values, "recommended": tuning.recommended, "settings": asdict(tuning.settings)}


def show_tuning(tuning: "Tuning") -> None:
    """Show the verdict and the settings to use."""
    out.print(
        f"[bold]{escape(tuning.dataset)}[/]: fitted on {tuning.fitted} queries, checked on "
        f"{tuning.held_out} others, with {escape(tuning.embedder)}",
        soft_wrap=True,
    )
    table = Table()
    for column in ("settings", f"{tuning.measure}, fitted", f"{tuning.measure}, held out"):
        table.add_column(column)
    for name, choice, fit, held_out in (
        ("present", tuning.current, tuning.fitted_current, tuning.comparison.a),
        ("tuned", tuning.tuned, tuning.fitted_tuned, tuning.comparison.b),
    ):
        table.add_row(f"{name}: {choice}", f"{fit:.3f}", f"{held_out:.3f}")
    out.print(table)
    out.print(tuning.verdict, soft_wrap=True, markup=False)
    if tuning.recommended:
        out.print("Put this in ragkit.toml:\n", markup=False)
        out.print(tuning.tuned.toml, soft_wrap=True, markup=False)


def show_generated(
    made: "GeneratedSet", folder: Path, unread: Sequence[str], *, first: int
) -> None:
    """Show the numbers of questions made, dropped and kept."""
    for reason in unread:
        out.print(f"[red]not read[/] {escape(reason)}", soft_wrap=True)
    out.print(
        f"{made.sections} sections, {made.asked} questions: [bold]{made.kept} kept[/], "
        f"{made.lost} not found among the first {first}, {made.repeated} repeated, "
        f"{made.unusable} unusable",
        soft_wrap=True,
    )
    out.print(f"[dim]use it: ragkit eval {escape(str(folder))}", soft_wrap=True)


def generated_json(made: "GeneratedSet", folder: Path, unread: Sequence[str]) -> dict[str, object]:
    """Return the counts of a test set, and its folder."""
    return {
        "folder": str(folder),
        "sections": made.sections,
        "asked": made.asked,
        "kept": made.kept,
        "lost": made.lost,
        "repeated": made.repeated,
        "unusable": made.unusable,
        "unread": list(unread),
    }
