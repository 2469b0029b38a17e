"""The frame of every page: the list of pages, the sidebar's head, the state of loading."""

import functools
import importlib
from collections.abc import Mapping, Sequence

import streamlit as st
from streamlit.navigation.page import Page

from ragkit.core.errors import RagkitError
from ragkit.core.secrets import without_credentials
from ragkit.ui.readiness import LoadStep
from ragkit.ui.session import show_error
from ragkit.ui.wording import plain
from ragkit.ui.workspace import Workspace

_REFRESH_S = 0.5
_SIGNS: Mapping[str, str] = {
    "waiting": ":material/hourglass_empty:",
    "loading": ":material/progress_activity:",
    "ready": ":material/check:",
    "failed": ":material/error:",
}
_PAGES: tuple[tuple[str, str, str], ...] = (
    ("Ask", "ask", ":material/forum:"),
    ("Documents", "documents", ":material/folder_open:"),
    ("Inspect", "inspect", ":material/compare_arrows:"),
    ("Evaluate", "evaluate", ":material/monitoring:"),
    ("Agents", "agents", ":material/smart_toy:"),
    ("Plan", "plan", ":material/calculate:"),
    ("Costs", "costs", ":material/payments:"),
    ("System", "system", ":material/monitor_heart:"),
)


def pages(workspace: Workspace) -> list[Page]:
    """Return the pages, the first one as the default."""
    return [
        st.Page(
            functools.partial(show_page, workspace, path),
            title=title,
            icon=icon,
            url_path=path,
            default=not number,
        )
        for number, (title, path, icon) in enumerate(_PAGES)
    ]


def show_page(workspace: Workspace, path: str) -> None:
    """Draw a page; ragkit's errors become a sentence. Its module is loaded when first needed."""
    view = importlib.import_module(f"ragkit.ui.views.{path}")
    try:
        view.show(workspace)
    except RagkitError as error:
        show_error(workspace, path, error)


def show_sidebar_head(workspace: Workspace) -> None:
    """Show whose documents are asked, and that nothing can be changed where that is so."""
    with st.sidebar:
        location = without_credentials(workspace.settings.index.location)
        st.caption(plain(f"Index {location} · tenant {workspace.tenant}"))
        if not workspace.writable:
            st.badge("read only", icon=":material/lock:", color="gray")


def show_loading(workspace: Workspace) -> None:
    """Show what is loaded, until all is; then what failed, with a button to try again."""
    with st.container():  # always there, so that what stands below keeps its state
        if not workspace.models.ended:
            _loading(workspace)
        for step in workspace.models.failures:
            with st.container(horizontal=True, vertical_alignment="center"):
                said = f"{step.name.capitalize()}: {step.error}"
                st.error(plain(said), icon=":material/error:")
                st.button("Try again", key=f"retry-{step.name}", on_click=workspace.models.retry)


@st.fragment(run_every=_REFRESH_S)
def _loading(workspace: Workspace) -> None:
    if workspace.models.ended:
        st.rerun()
    st.caption(_steps_text(workspace.models.steps))


def _steps_text(steps: Sequence[LoadStep]) -> str:
    return "Loading  " + "   ".join(map(_step_text, steps))


def _step_text(step: LoadStep) -> str:
    taken = f" {step.seconds:.1f} s" if step.state == "ready" else ""
    return f"{_SIGNS[step.state]} {step.name} {step.state}{taken}"
