"""The list of conversations in the sidebar: choose, start, rename, delete, export."""

import streamlit as st

from ragkit.answering.conversations import ConversationHead, Owner
from ragkit.core.errors import RagkitError
from ragkit.ui.conversations import as_markdown
from ragkit.ui.session import show_error
from ragkit.ui.wording import plain
from ragkit.ui.workspace import Workspace

_CHOSEN = "conversation"
_SHOWN = "conversations-shown"
_PAGE = 30


def show_conversations(workspace: Workspace, owner: Owner) -> str | None:
    """Draw the list and return the id of the chosen conversation; None for a new one."""
    heads = workspace.conversations.heads(owner)
    chosen = st.session_state.get(_CHOSEN)
    if chosen not in {head.id for head in heads}:
        chosen = None
    with st.sidebar:
        st.button(
            "New conversation",
            icon=":material/add:",
            key="new-conversation",
            width="stretch",
            on_click=_choose,
            args=(None,),
        )
        shown = int(st.session_state.get(_SHOWN, _PAGE))
        for place, head in enumerate(heads):
            if place < shown or head.id == chosen:
                _show_head(workspace, owner, head, chosen=head.id == chosen)
        if len(heads) > shown:
            st.button(
                f"Older conversations ({len(heads) - shown:,})",
                icon=":material/expand_more:",
                key="older-conversations",
                type="tertiary",
                on_click=_show_more,
            )
    return chosen


def _choose(conversation: str | None) -> None:
    st.session_state[_CHOSEN] = conversation


def _show_more() -> None:
    st.session_state[_SHOWN] = int(st.session_state.get(_SHOWN, _PAGE)) + _PAGE


def _show_head(workspace: Workspace, owner: Owner, head: ConversationHead, *, chosen: bool) -> None:
    row = st.container(horizontal=True, gap="xxsmall", key=f"row-{head.id}")
    row.button(
        plain(head.title),
        key=f"open-{head.id}",
        type="secondary" if chosen else "tertiary",
        width="stretch",
        on_click=_choose,
        args=(head.id,),
    )
    if not chosen:
        return
    with row.popover(
        "", icon=":material/more_horiz:", help="Rename, export or delete", type="tertiary"
    ):
        _show_actions(workspace, owner, head)


def _show_actions(workspace: Workspace, owner: Owner, head: ConversationHead) -> None:
    title = st.text_input("Title", value=head.title, key=f"title-{head.id}")
    try:
        if st.button("Rename", key=f"rename-{head.id}", icon=":material/edit:", width="stretch"):
            workspace.conversations.rename(owner, head.id, title)
            st.rerun()
        turns = workspace.conversations.read(owner, head.id)
        st.download_button(
            "Export as Markdown",
            as_markdown(head.title, turns),
            file_name="conversation.md",
            mime="text/markdown",
            key=f"export-{head.id}",
            icon=":material/download:",
            width="stretch",
        )
        if st.button("Delete", key=f"delete-{head.id}", icon=":material/delete:", width="stretch"):
            job = workspace.answers.pop(head.id, None)
            if job is not None:
                job.stop()
            workspace.conversations.delete(owner, head.id)
            _choose(None)
            st.rerun()
    except RagkitError as error:
        show_error(workspace, "conversations", error)
