"""The file that a document of the index was read from, where it is on this machine."""

from pathlib import Path

from ragkit.ui.workspace import Workspace

UPLOADS = "uploads/"
"""Uris of uploaded documents begin with this."""


def source_file(workspace: Workspace, uri: str) -> Path | None:
    """Return the file of a document, or None where there is no such file here.

    A uri of an upload never leads out of the folder of uploads.
    """
    if uri.startswith(UPLOADS):
        folder = workspace.uploads.resolve()
        path = (folder / uri.removeprefix(UPLOADS)).resolve()
        return path if path.is_relative_to(folder) and path.is_file() else None
    path = Path(uri)
    return path if path.is_file() else None
