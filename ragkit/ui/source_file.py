"""The file that a document of the index was read from, where it is on this machine."""

from pathlib import Path

from ragkit.core.types import DocumentRecord
from ragkit.ui.workspace import Workspace

UPLOADS = "uploads/"
"""Uris of uploaded documents begin with this."""


def source_file(workspace: Workspace, uri: str) -> Path | None:
    """Return the file of a document of this tenant, or None where there is no such file here."""
    if uri.startswith(UPLOADS):
        return _inside(workspace.uploads, uri.removeprefix(UPLOADS))
    record = next((one for one in workspace.documents() if one.uri == uri), None)
    return None if record is None else recorded_file(record)


def recorded_file(record: DocumentRecord) -> Path | None:
    """Return the file that a record names: the source's own, or one in the source's folder."""
    kind, _, place = record.source.partition(":")
    if kind != "folder":  # made in code, or under a name that says nothing of a place
        return None
    root = Path(place)
    return root if root.is_file() else _inside(root, record.uri.partition("/")[2])


def _inside(folder: Path, name: str) -> Path | None:
    """Return the file of this name below a folder; None where it leads out or is not there."""
    root = folder.resolve()
    path = (root / name).resolve()
    return path if path.is_relative_to(root) and path.is_file() else None
