"""What stands around every page: the list of pages, the sidebar's head, the state of loading."""

import functools
from collections.abc import Callable, Mapping

import streamlit as st
from streamlit.navigation.page import Page

from ragkit.core.errors import RagkitError
from ragkit.ui.readiness import LoadStep
from ragkit.ui.session import show_error
from ragkit.ui.views import ask, documents, inspect, system
from ragkit.ui.workspace import Workspace

_REFRESH_S = 0.5
_SIGNS: Mapping[str, str] = {
    "waiting": ":material/hourglass_empty:",
    "loading": ":material/progress_activity:",
    "ready": ":material/check:",
    "failed": ":material/error:",
}
Show = Callable[[Workspace], None]
_PAGES: tuple[tuple[str, str, str, Show], ...] = (
    ("Ask", "ask", ":material/forum:", ask.show),
    ("Documents", "documents", ":material/folder_open:", documents.show),
    ("Inspect", "inspect", ":material/compare_arrows:", inspect.show),
    ("System", "system", ":material/monitor_heart:", system.show),
)


def pages(workspace: Workspace) -> list[Page]:
    """Return the pages, the first one as the default."""
    return [
        st.Page(
            guarded(workspace, path, show),
            title=title,
            icon=icon,
            url_path=path,
            default=not number,
        )
        for number, (title, path, icon, show) in enumerate(_PAGES)
    ]


def guarded(workspace: Workspace, path: str, show: Show) -> Callable[[], None]:
    """Return a page that shows ragkit's errors as a sentence."""

    @functools.wraps(show)
    def page() -> None:
        try:
            show(workspace)
        except RagkitError as error:
            show_error(workspace, path, error)

    return page


def show_sidebar_head(workspace: Workspace) -> None:
    """Show whose documents are asked, and that nothing can be changed where that is so."""
    with st.sidebar:
        st.caption(f"Index {workspace.settings.index.location} · tenant {workspace.tenant}")
        if workspace.options.read_only:
            st.badge("read only", icon=":material/lock:", color="gray")


def show_loading(workspace: Workspace) -> None:
    """Show what is loaded, until all is; then what failed, with a button to try again."""
    if not workspace.models.ended:
        _loading(workspace)
    for step in workspace.models.failures:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.error(f"{step.name.capitalize()}: {step.error}", icon=":material/error:")
            st.button("Try again", key=f"retry-{step.name}", on_click=workspace.models.retry)


@st.fragment(run_every=_REFRESH_S)
def _loading(workspace: Workspace) -> None:
    if workspace.models.ended:
        st.rerun()
    st.caption("Loading  " + "   ".join(map(_step_text, workspace.models.steps)))


def _step_text(step: LoadStep) -> str:
    taken = f" {step.seconds:.1f} s" if step.state == "ready" else ""
    return f"{_SIGNS[step.state]} {step.name} {step.state}{taken}"
