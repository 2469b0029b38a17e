from pathlib import Path

import pytest

from ragkit.core.types import DocumentRecord
from ragkit.ui.ingestion import Ingestion
from ragkit.ui.source_file import recorded_file, source_file
from ragkit.ui.workspace import Workspace


def test_the_file_of_an_ingested_folder_is_found(workspace: Workspace, tmp_path: Path) -> None:
    file = tmp_path / "docs" / "deep" / "a.txt"
    file.parent.mkdir(parents=True)
    file.write_text("A lighthouse stands on the cliff.")
    ingestion = Ingestion(workspace, path=tmp_path / "docs")
    assert ingestion.job.wait(60)
    (uri,) = [record.uri for record in workspace.documents() if record.uri.endswith("a.txt")]
    assert source_file(workspace, uri) == file.resolve()
    file.unlink()
    assert source_file(workspace, uri) is None


def test_a_document_made_in_code_or_of_nobody_has_no_file(workspace: Workspace) -> None:
    assert source_file(workspace, "museum.txt") is None
    assert source_file(workspace, "unknown.txt") is None


@pytest.mark.parametrize("uri", ["docs/../../secret.txt", "docs//etc/passwd"])
def test_a_record_never_leads_out_of_its_folder(tmp_path: Path, uri: str) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "secret.txt").write_text("x")
    record = DocumentRecord(
        uri=uri,
        tenant="default",
        title="",
        content_hash="",
        pipeline="",
        chunks=1,
        generation="",
        source=f"folder:{tmp_path / 'docs'}",
    )
    assert recorded_file(record) is None
