"""The documents of the index as rows to filter, sort and delete."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from ragkit.core.sync import run_sync
from ragkit.core.types import DocumentRecord
from ragkit.ui.source_file import UPLOADS, source_file
from ragkit.ui.workspace import Workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentRow:
    """A document of the list."""

    title: str
    uri: str
    format: str
    passages: int


def document_rows(records: Sequence[DocumentRecord], text: str = "") -> list[DocumentRow]:
    """Return the documents whose title or uri has every word of `text`, by title."""
    words = text.casefold().split()
    rows = [
        DocumentRow(
            title=record.title or record.uri,
            uri=record.uri,
            format=PurePosixPath(record.uri).suffix.removeprefix(".").upper() or "text",
            passages=record.chunks,
        )
        for record in records
    ]
    kept = [row for row in rows if all(w in f"{row.title} {row.uri}".casefold() for w in words)]
    return sorted(kept, key=lambda row: (row.title.casefold(), row.uri))


def delete_documents(workspace: Workspace, uris: Sequence[str]) -> None:
    """Remove documents from the index, and the kept files of those that were uploaded."""
    files = [source_file(workspace, uri) for uri in uris if uri.startswith(UPLOADS)]
    run_sync(lambda: workspace.rag.delete(uris))
    workspace.revision += 1
    for file in files:
        if file is not None:
            file.unlink(missing_ok=True)
