"""State of one browser tab: whose it is, and the choices made in it."""

import streamlit as st

from ragkit.answering.conversations import Owner
from ragkit.core.errors import RagkitError
from ragkit.ui.owner_cookie import new_owner, owner_of
from ragkit.ui.wording import plain
from ragkit.ui.workspace import Workspace

_OWNER = "owner"


def current_owner(workspace: Workspace) -> Owner:
    """Return the person in front of this tab.

    A browser that refuses cookies gets a name for this tab alone: it never sees another's.
    """
    name = owner_of(st.context.cookies.to_dict())
    if name is None:
        if _OWNER not in st.session_state:
            st.session_state[_OWNER] = new_owner()
        name = str(st.session_state[_OWNER])
    return Owner(name=name, tenant=workspace.tenant)


def show_error(workspace: Workspace, part: str, error: RagkitError) -> None:
    """Show an error as its sentence, and note it."""
    workspace.failures.add(part, str(error))
    st.error(plain(str(error)), icon=":material/error:")
