"""A cited passage in its document: the page of a PDF, or the text around it."""

import streamlit as st

from ragkit.core.errors import RagkitError
from ragkit.ui.document_text import AROUND, around, load_document
from ragkit.ui.markup import citation_line, passage_html
from ragkit.ui.pdf_page import page_image
from ragkit.ui.session import show_error
from ragkit.ui.source_file import source_file
from ragkit.ui.stored_answer import StoredCitation
from ragkit.ui.wording import plain
from ragkit.ui.workspace import Workspace


@st.dialog("Source", width="large")
def show_passage(workspace: Workspace, cited: StoredCitation) -> None:
    """Open a passage over the page."""
    st.markdown(f"**{cited.number:d}.** " + plain(citation_line(cited)))
    st.caption(plain(f"{cited.uri} · characters {cited.start:,} to {cited.end:,}"))
    try:
        _show_text(workspace, cited)
    except RagkitError as error:
        show_error(workspace, "passage", error)


def _show_text(workspace: Workspace, cited: StoredCitation) -> None:
    file = source_file(workspace, cited.uri)
    if cited.page is None or file is None or file.suffix.lower() != ".pdf":
        _show_around(workspace, cited)
        return
    page, text = st.tabs([f"Page {cited.page:d}", "Text"])
    with page:
        whole = st.toggle("Whole page", key=f"page-{cited.uri}-{cited.start}")
        st.image(page_image(file, cited.page, cited.quote, whole=whole), width="stretch")
    with text:
        _show_around(workspace, cited)


def _show_around(workspace: Workspace, cited: StoredCitation) -> None:
    document = load_document(workspace, cited.uri)
    whole = st.toggle("Whole document", key=f"whole-{cited.uri}-{cited.start}")
    reach = None if whole else AROUND
    segments = around(document.text, cited.start, cited.end, reach=reach)
    if document.text[cited.start : cited.end] != cited.quote:
        st.warning(
            "The document has changed since this answer: the quote is no longer at this place.",
            icon=":material/history:",
        )
    st.html(passage_html(segments))
