"""System: doctor, settings with their origin, the index, latencies and failures."""

import functools
import statistics

import streamlit as st

from ragkit.core.errors import RagkitError
from ragkit.core.secrets import without_credentials
from ragkit.ui.background import Job
from ragkit.ui.charts import latency_chart
from ragkit.ui.doctor import DoctorCheck, index_check, run_doctor, sorted_checks
from ragkit.ui.index_facts import bytes_on_disk, tenant_counts
from ragkit.ui.markup import milliseconds, table_html
from ragkit.ui.session import show_error
from ragkit.ui.settings_view import setting_rows
from ragkit.ui.wording import plain
from ragkit.ui.workspace import Workspace

_REFRESH_S = 0.5
_SIGNS = {
    "ok": "✓\u00a0ok",
    "off": "○\u00a0off",
    "missing": "!\u00a0missing",
    "failed": "✗\u00a0failed",
}


def show(workspace: Workspace) -> None:
    """Draw the page."""
    names = ["Doctor", "Index", "Settings", "Latency", "Failures"]
    doctor, index, settings, latency, failures = st.tabs(names)
    with doctor:
        _show_doctor(workspace)
    with index:
        _show_index(workspace)
    with settings:
        _show_settings(workspace)
    with latency:
        _show_latency(workspace)
    with failures:
        _show_failures(workspace)


def _show_doctor(workspace: Workspace) -> None:
    running = workspace.doctor is not None and workspace.doctor.running
    if st.button("Run doctor", icon=":material/stethoscope:", disabled=running) and not running:
        workspace.doctor = Job(functools.partial(run_doctor, workspace.options.config))
    if workspace.doctor is None:
        st.caption("Looks at what is installed, reachable and missing, and says how to fix it.")
    elif workspace.doctor.running:
        _wait_for_doctor(workspace)
    elif workspace.doctor.result is not None:
        _show_checks([_index(workspace), *workspace.doctor.result])
    else:
        st.error(plain(workspace.doctor.error), icon=":material/error:")


@st.fragment(run_every=_REFRESH_S)
def _wait_for_doctor(workspace: Workspace) -> None:
    if workspace.doctor is None or not workspace.doctor.running:
        st.rerun()
        return
    st.caption(f":material/progress_activity: Looking… {workspace.doctor.seconds:.0f} s")


def _index(workspace: Workspace) -> DoctorCheck:
    if not workspace.models.ended:
        return index_check(workspace.settings, None, "It is being opened.")
    try:
        return index_check(workspace.settings, len(workspace.documents()), "")
    except RagkitError as error:
        return index_check(workspace.settings, None, str(error))


def _show_checks(checks: list[DoctorCheck]) -> None:
    rows = [
        (_SIGNS.get(check.status, check.status), check.name, check.detail, check.fix)
        for check in sorted_checks(checks)
    ]
    st.html(table_html(("", "part", "finding", "fix"), rows))


def _show_index(workspace: Workspace) -> None:
    location = workspace.settings.index.location
    size = bytes_on_disk(location)
    location = without_credentials(location)
    fits = location if len(location) <= 24 else "…" + location[-23:]
    first, second, third = st.columns(3)
    first.metric("Location", plain(fits))
    second.metric("Size on disk", "on a server" if size is None else f"{size / 2**20:.1f} MiB")
    third.metric("Collection", plain(workspace.settings.index.collection))
    if not workspace.models.ended:
        st.info("The index is being opened.", icon=":material/hourglass_empty:")
        return
    try:
        counts = tenant_counts(workspace, everyone=not workspace.options.read_only)
    except RagkitError as error:  # the other tabs are shown all the same
        show_error(workspace, "system", error)
        return
    rows = [(item.tenant, f"{item.documents:,}", f"{item.passages:,}") for item in counts]
    st.html(table_html(("tenant", "documents", "passages"), rows, numbers=2))


def _show_settings(workspace: Workspace) -> None:
    rows = [
        (row.name, row.value, row.origin)
        for row in setting_rows(workspace.settings, file=workspace.options.config)
    ]
    changed = st.toggle("Only what is not a default", key="changed-settings")
    kept = [row for row in rows if row[2] != "default" or not changed]
    st.html(table_html(("setting", "value", "from"), kept))


def _show_latency(workspace: Workspace) -> None:
    times = {stage: taken for stage, taken in workspace.latencies.all().items() if taken}
    if not times:
        st.caption("No question was asked yet since the server started.")
        return
    st.altair_chart(latency_chart(times), width="stretch")
    rows = [
        (
            stage,
            str(len(taken)),
            milliseconds(statistics.median(taken)),
            milliseconds(max(taken)),
        )
        for stage, taken in times.items()
    ]
    st.html(table_html(("stage", "count", "median", "longest"), rows, numbers=3))


def _show_failures(workspace: Workspace) -> None:
    failures = workspace.failures.all()
    if not failures:
        st.caption("Nothing has failed since the server started.")
        return
    rows = [(f"{item.at:%Y-%m-%d %H:%M:%S}", item.part, item.message) for item in failures]
    st.html(table_html(("UTC", "part", "what happened"), rows))
