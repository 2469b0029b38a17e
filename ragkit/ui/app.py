"""The script that Streamlit runs for each page and rerun: frame, navigation, state of models."""

from pathlib import Path

import streamlit as st

from ragkit.core.errors import RagkitError
from ragkit.ui import frame
from ragkit.ui.wording import plain
from ragkit.ui.workspace import Workspace, workspace

_HERE = Path(__file__).parent


def main() -> None:
    """Draw the application."""
    # Files of this package: a material icon or an emoji would be fetched from another host.
    st.set_page_config(page_title="ragkit", page_icon=str(_HERE / "icon.png"), layout="wide")
    st.logo(str(_HERE / "logo.svg"), icon_image=str(_HERE / "icon.png"), size="large")
    st.html(_HERE / "style.css")
    try:
        current = workspace()
    except RagkitError as error:
        st.error(plain(str(error)), icon=":material/error:")
        return
    _draw(current)
    current.start()  # after the first page is drawn: loading takes the processor


def _draw(current: Workspace) -> None:
    chosen = st.navigation(frame.pages(current), position="top")
    frame.show_sidebar_head(current)
    frame.show_loading(current)
    chosen.run()


if __name__ == "__main__":
    main()
