"""Documents: add files, follow the ingestion, look at passages, delete."""

from collections.abc import Sequence
from typing import Any

import streamlit as st
from streamlit.elements.arrow import DataframeState

from ragkit.core.errors import InputError, RagkitError
from ragkit.core.progress import duration_text
from ragkit.core.types import DocumentRecord
from ragkit.ingest.loaders import FORMATS
from ragkit.ui.chunk_map import chunks_html
from ragkit.ui.document_list import DocumentRow, delete_documents, document_rows
from ragkit.ui.document_text import load_document
from ragkit.ui.ingestion import Ingestion, Row, Status
from ragkit.ui.machine_path import checked_path
from ragkit.ui.markup import table_html
from ragkit.ui.session import show_error
from ragkit.ui.uploads import Upload
from ragkit.ui.wording import counted, plain
from ragkit.ui.workspace import Workspace

_REFRESH_S = 0.4
_SIGNS = {
    "reading": "…",
    "added": "✓ added",
    "updated": "✓ updated",
    "unchanged": "= unchanged",
    "deleted": "- deleted",
    "skipped": "○ skipped",
    "failed": "✗ failed",
    "cancelled": "○ cancelled",
}
_LIST_ROWS = 320
_FEW = 8
_SHOWN_ROWS = 500


def show(workspace: Workspace) -> None:
    """Draw the page."""
    if workspace.writable:
        _show_adding(workspace)
    if workspace.ingestion is not None:
        _show_ingestion(workspace, workspace.ingestion)
    if not workspace.models.ended:
        st.info("The index is being opened.", icon=":material/hourglass_empty:")
        return
    try:
        records = workspace.documents()
    except InputError as error:
        st.info(plain(str(error)), icon=":material/info:")
        return
    _show_list(workspace, records)


def _show_adding(workspace: Workspace) -> None:
    with st.expander(
        "Add documents", icon=":material/upload_file:", expanded=workspace.ingestion is None
    ):
        files = st.file_uploader(
            "Files",
            accept_multiple_files=True,
            key="files",
            help=plain(
                f"At most {workspace.settings.ingest.max_file_mb} MiB each. Kept in "
                f"{workspace.uploads}. Formats: {', '.join(one.name for one in FORMATS)}."
            ),
        )
        if files:
            st.caption(f"{counted(len(files), 'file')} uploaded")
        path = st.text_input(
            "or a file or folder of this machine", key="path", placeholder="/home/me/documents"
        )
        with st.container(horizontal=True, vertical_alignment="center"):
            wanted = st.button(
                "Ingest",
                type="primary",
                icon=":material/play_arrow:",
                disabled=not workspace.models.ended,
            )
            dry = st.toggle(
                "Dry run", key="dry", help="Reports what would be done, and changes nothing."
            )
        if wanted:
            uploads = [Upload(name=file.name, data=file.getvalue()) for file in files]
            _start(workspace, uploads, path.strip(), dry=dry)


def _start(workspace: Workspace, uploads: Sequence[Upload], path: str, *, dry: bool) -> None:
    try:
        if not uploads and not path:
            raise InputError("There is nothing to ingest. Fix: choose files, or name a folder.")
        if workspace.ingestion is not None and workspace.ingestion.job.running:
            raise InputError("An ingestion is running. Fix: wait for its end, or cancel it.")
        folder = checked_path(path) if path else None
        workspace.ingestion = Ingestion(workspace, uploads=uploads, path=folder, dry_run=dry)
    except RagkitError as error:
        show_error(workspace, "ingest", error)


def _show_ingestion(workspace: Workspace, ingestion: Ingestion) -> None:
    with st.container(border=True):
        if ingestion.job.running:
            _show_running(workspace)
        else:
            _show_ended(workspace, ingestion)


@st.fragment(run_every=_REFRESH_S)
def _show_running(workspace: Workspace) -> None:
    ingestion = workspace.ingestion
    if ingestion is None or not ingestion.job.running:
        st.rerun()
        return
    status = ingestion.status
    st.progress(status.share, text=progress_text(status))
    st.button(
        "Cancel",
        icon=":material/stop_circle:",
        on_click=ingestion.cancel,
        disabled=not workspace.writable,
        key="cancel-ingestion",
    )
    _show_rows(ingestion.rows())


def progress_text(status: Status) -> str:
    """Return the progress of an ingestion in a line."""
    found = " found so far" if status.growing else ""
    parts = [
        f"{status.files} of {status.files_total} files{found}",
        f"{status.chunks:,} passages",
    ]
    if status.chunks_per_s is not None:
        parts.append(f"{status.chunks_per_s:.0f} passages/s")
    if status.left_s is not None:
        parts.append(f"about {duration_text(status.left_s)} left")
    return " · ".join([*parts, plain(status.item.rpartition("/")[2])])


def _show_ended(workspace: Workspace, ingestion: Ingestion) -> None:
    job = ingestion.job
    if job.state == "failed":
        st.error(plain(job.error), icon=":material/error:")
    elif job.state == "cancelled":
        st.warning("Cancelled; what was stored before stays.", icon=":material/stop_circle:")
    elif job.result is not None:
        rows = ingestion.rows()
        told = st.warning if any(row.outcome == "failed" for row in rows) else st.success
        told(summary(rows, job.result.chunks, job.seconds, dry=ingestion.dry_run))
    _show_rows(ingestion.rows())
    st.button("Close", key="close-ingestion", on_click=_forget, args=(workspace,))


def summary(rows: Sequence[Row], chunks: int, seconds: float, *, dry: bool) -> str:
    """Return the outcome of an ingestion in a line."""
    counts: dict[str, int] = {}
    for row in rows:
        counts[row.outcome] = counts.get(row.outcome, 0) + 1
    told = ", ".join(f"{count} {outcome}" for outcome, count in counts.items()) or "nothing found"
    head = "Dry run, nothing was changed: " if dry else ""
    return f"{head}{told}; {counted(chunks, 'passage')} in {seconds:.1f} s"


def _forget(workspace: Workspace) -> None:
    workspace.ingestion = None


def _show_rows(rows: Sequence[Row]) -> None:
    if not rows:
        return
    shown = [(row.uri, _SIGNS[row.outcome], row.reason) for row in rows[:_SHOWN_ROWS]]
    with st.container(height="content" if len(rows) <= _FEW else _LIST_ROWS, border=False):
        st.html(table_html(("document", "outcome", "reason"), shown))
    if len(rows) > _SHOWN_ROWS:
        st.caption(f"and {len(rows) - _SHOWN_ROWS:,} more")


def _show_list(workspace: Workspace, records: Sequence[DocumentRecord]) -> None:
    chunks = sum(record.chunks for record in records)
    st.markdown(f"#### {counted(len(records), 'document')}, {counted(chunks, 'passage')}")
    if not records:
        st.caption("Nothing is indexed for this tenant yet.")
        return
    text = st.text_input("Filter", key="list-filter", placeholder="Words of the title or the path")
    rows = document_rows(records, text)
    # Any: its types name packages that are not installed.
    table: Any = getattr(st, "dataframe")  # noqa: B009
    event: DataframeState = table(
        [
            {"Title": row.title, "Path": row.uri, "Format": row.format, "Passages": row.passages}
            for row in rows
        ],
        hide_index=True,
        width="stretch",
        height=min(_LIST_ROWS, 38 + 35 * max(1, len(rows))),
        on_select="rerun",
        selection_mode="multi-row",
        key=f"list-{workspace.revision}",
    )
    chosen = [rows[place] for place in event.selection.rows if place < len(rows)]
    if not chosen:
        st.caption("Select a row to see its passages.")
        return
    if workspace.writable and st.button(
        f"Delete {counted(len(chosen), 'document')}",
        icon=":material/delete:",
        key="delete-documents",
    ):
        _confirm(workspace, chosen)
    for row in chosen[:1]:
        _show_document(workspace, row.uri)


@st.dialog("Delete documents?")
def _confirm(workspace: Workspace, rows: Sequence[DocumentRow]) -> None:
    st.write(f"{counted(len(rows), 'document')} will be removed from the index, with all passages.")
    st.code("\n".join(row.uri for row in rows), language=None)
    if st.button("Delete", type="primary", key="confirm-delete"):
        try:
            delete_documents(workspace, [row.uri for row in rows])
        except RagkitError as error:
            show_error(workspace, "delete", error)
            return
        st.rerun()


def _show_document(workspace: Workspace, uri: str) -> None:
    document = load_document(workspace, uri)
    st.markdown(f"#### {plain(document.title)}")
    st.caption(
        f"{counted(len(document.chunks), 'passage')} over {len(document.text):,} characters, each "
        "in its place; grey stretches are shared with the passage before."
    )
    st.html(chunks_html(document))
