"""Evaluate: measure retrieval and answers, look at runs, compare two."""

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import get_args
from urllib.parse import quote

import altair as alt
import streamlit as st

from ragkit.core.errors import InputError, RagkitError
from ragkit.evaluation.plots import (
    difference_intervals,
    histograms,
    measure_plots,
    query_differences,
)
from ragkit.evaluation.retrieval import Stage, default_stages
from ragkit.evaluation.run_comparison import StageComparison, compare_runs
from ragkit.evaluation.runs import SavedRun
from ragkit.ui.charts import difference_chart, histogram_chart, interval_chart
from ragkit.ui.evaluation_runs import (
    EvaluationChoices,
    EvaluationRun,
    KeptEvaluation,
    Measured,
    kept_runs,
    load_runs,
    lowest,
    measure_table,
    stage_results,
)
from ragkit.ui.machine_path import checked_path
from ragkit.ui.markup import table_html
from ragkit.ui.session import show_error
from ragkit.ui.wording import plain
from ragkit.ui.workspace import Workspace

_REFRESH_S = 0.5
_MEASURED: dict[Measured, str] = {
    "retrieval": "Retrieval, on a folder in BEIR's layout",
    "answers": "Answers, on a file in SQuAD's layout",
    "made": "Retrieval, on questions made from documents",
}
_HINTS: dict[Measured, str] = {
    "retrieval": "/data/beir/scifact",
    "answers": "/data/squad-dev.json",
    "made": "docs",
}


def show(workspace: Workspace) -> None:
    """Draw the page."""
    names = ["Results", "Compare"]
    if workspace.options.read_only:
        results, compare = st.tabs(names)
    else:
        measure, results, compare = st.tabs(["Measure", *names])
        with measure:
            _show_measuring(workspace)
    runs = kept_runs(workspace.evaluations)
    with results:
        _show_results(runs)
    with compare:
        _show_comparison(runs)


def _show_measuring(workspace: Workspace) -> None:
    kinds: list[Measured] = list(_MEASURED)
    measured = st.radio("What to measure", kinds, format_func=_MEASURED.__getitem__, key="measured")
    path = st.text_input("Folder or file", key="set-path", placeholder=_HINTS[measured])
    stages: Sequence[Stage] = ()
    if measured != "answers":
        known: list[Stage] = list(get_args(Stage))
        stages = st.multiselect(
            "Stages", known, default=list(default_stages(workspace.settings)), key="stages"
        )
    sample = st.slider("Queries at most (0 for all)", 0, 1000, 100, 10, key="sample")
    seed = st.number_input("Seed", 0, 2**31, 0, key="seed")
    running = workspace.evaluation is not None and workspace.evaluation.job.running
    if st.button("Measure", type="primary", icon=":material/play_arrow:", disabled=running):
        try:
            if measured != "answers" and not stages:
                raise InputError("No stage is chosen. Fix: choose at least one.")
            choices = EvaluationChoices(
                measured=measured,
                path=checked_path(path),
                stages=tuple(stages),
                limit=sample or None,
                seed=int(seed),
            )
            workspace.evaluation = EvaluationRun(workspace.settings, choices, workspace.evaluations)
        except RagkitError as error:
            show_error(workspace, "evaluate", error)
    if workspace.evaluation is not None:
        _show_state(workspace, workspace.evaluation)


def _show_state(workspace: Workspace, run: EvaluationRun) -> None:
    if run.job.running:
        _follow(workspace)
    elif run.job.state == "failed":
        st.error(plain(run.job.error), icon=":material/error:")
    elif run.job.state == "cancelled":
        st.warning("Cancelled; finished queries are kept and need not run again.")
    elif run.job.result is not None:
        st.success(f"Done in {run.job.seconds:.1f} s: {plain(run.job.result.stem)}, under Results.")
    for note in run.notes:
        st.caption(plain(note))


@st.fragment(run_every=_REFRESH_S)
def _follow(workspace: Workspace) -> None:
    run = workspace.evaluation
    if run is None or not run.job.running:
        st.rerun()
        return
    step = run.progress
    share = min(1.0, step.done / step.total) if step.total else 0.0
    st.progress(
        share, text=f"{plain(step.phase)} {step.done:,} of {step.total:,} · {run.job.seconds:.0f} s"
    )
    st.button(
        "Cancel", icon=":material/stop_circle:", key="cancel-evaluation", on_click=run.job.cancel
    )


def _chosen(runs: Sequence[KeptEvaluation], label: str, key: str, *, place: int = 0) -> Path | None:
    labels = {run.label: run.path for run in runs}
    index = min(place, len(runs) - 1) if runs else None
    chosen = st.selectbox(plain(label), list(labels), index=index, key=key)
    return None if chosen is None else labels[chosen]


def _show_results(runs: Sequence[KeptEvaluation]) -> None:
    if not runs:
        st.caption("No run is kept yet.")
        return
    path = _chosen(runs, "Run", "shown-run")
    if path is None:
        return
    run = load_runs([path])[0]
    stages = stage_results(run)
    head, rows = measure_table(stages)
    st.markdown(f"#### {plain(run.dataset)}, {len(run.questions)} queries")
    st.html(table_html(head, rows))
    _show_charts([interval_chart(plot) for plot in measure_plots(stages)])
    st.markdown("##### How values are spread over queries")
    _show_charts([histogram_chart(plot) for plot in histograms(stages)])
    st.markdown("##### Lowest values")
    stage = st.selectbox("Stage", list(stages), index=len(stages) - 1, key="low-stage")
    _show_lowest(run, stage)


def _show_charts(charts: Sequence[alt.Chart | alt.LayerChart | alt.FacetChart]) -> None:
    columns = st.columns(2)
    for place, chart in enumerate(charts):
        columns[place % 2].altair_chart(chart, width="stretch")


def _show_lowest(run: SavedRun, stage: str) -> None:
    rows = [
        f"<tr><td>{escape(low.query)}</td><td>{inspect_link(low.question)}</td>"
        f"<td class=rk-number>{low.value:.3f}</td><td>{escape(low.output)}</td></tr>"
        for low in lowest(run, stage)
    ]
    if not rows:
        st.caption("Every query has the highest value.")
        return
    st.html(
        '<div class="rk-wide"><table class="rk-table"><thead><tr><th>query</th><th>question '
        "(opens Inspect)</th><th class=rk-number>value</th><th>given</th></tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def inspect_link(question: str) -> str:
    """Return a link that searches for a question on the page Inspect."""
    return f'<a href="inspect?q={quote(question, safe="")}">{escape(question)}</a>'


def _show_comparison(runs: Sequence[KeptEvaluation]) -> None:
    if len(runs) < 2:  # two to compare
        st.caption("Two kept runs on the same data can be compared; there are fewer.")
        return
    left, right = st.columns(2)
    with left:
        a = _chosen(runs, "A, before", "run-a", place=1)
    with right:
        b = _chosen(runs, "B, after", "run-b")
    if a is None or b is None:
        return
    first, second = load_runs([a, b])
    try:
        comparison = compare_runs(first, second)
    except InputError as error:
        st.warning(plain(str(error)), icon=":material/compare_arrows:")
        return
    for note in comparison.notes:
        st.caption(plain(note))
    names = [stage.stage_a for stage in comparison.stages]
    chosen = st.selectbox("Stage", names, index=len(names) - 1, key="compared-stage")
    _show_stage(comparison.stages[names.index(chosen)])


def _show_stage(stage: StageComparison) -> None:
    rows = [
        (
            name,
            f"{item.a:.3f}",
            f"{item.b:.3f}",
            str(item.higher),
            str(item.lower),
            stage.verdicts[name],
        )
        for name, item in stage.measures.items()
    ]
    st.markdown(f"**{plain(stage.measure)}: {plain(stage.verdicts[stage.measure])}**")
    st.html(table_html(("measure", "A", "B", "higher in B", "lower in B", "verdict"), rows))
    _show_charts(
        [
            interval_chart(difference_intervals(stage)),
            difference_chart(query_differences(stage)),
        ]
    )
    if not stage.changed:
        return
    st.markdown("##### Queries that changed most")
    changed = [
        f"<tr><td>{inspect_link(item.question)}</td><td class=rk-number>{item.a:.3f}</td>"
        f"<td class=rk-number>{item.b:.3f}</td><td>{escape(', '.join(item.output_a[:3]))}</td>"
        f"<td>{escape(', '.join(item.output_b[:3]))}</td></tr>"
        for item in stage.changed
    ]
    st.html(
        '<div class="rk-wide"><table class="rk-table"><thead><tr><th>question (opens Inspect)</th>'
        "<th class=rk-number>A</th><th class=rk-number>B</th><th>A gave</th><th>B gave</th></tr>"
        f"</thead><tbody>{''.join(changed)}</tbody></table></div>"
    )
