from pathlib import Path

import pytest

from ragkit.core.errors import InputError
from ragkit.core.progress import Progress
from ragkit.core.settings import IngestSettings
from ragkit.ingest.report import IngestReport
from ragkit.ui.document_list import delete_documents, document_rows
from ragkit.ui.document_text import load_document
from ragkit.ui.ingestion import Ingestion, ProgressLog, Row, Status, outcome_rows
from ragkit.ui.source_file import source_file
from ragkit.ui.uploads import Upload, read_uploads, safe_name
from ragkit.ui.views.documents import progress_text, summary
from ragkit.ui.workspace import Workspace

GOOD = Upload(name="returns.md", data=b"# Returns\n\nSend it back within 30 days.\n")
BROKEN = Upload(name="broken.pdf", data=b"%PDF-1.4 nothing")
OTHER = Upload(name="thing.xyz", data=b"x")


def _ingest(workspace: Workspace, *uploads: Upload, dry_run: bool = False) -> dict[str, Row]:
    ingestion = Ingestion(workspace, uploads=uploads, dry_run=dry_run)
    assert ingestion.job.wait(60)
    assert ingestion.job.error == ""
    return {row.uri: row for row in ingestion.rows()}


def test_each_file_has_an_outcome_and_a_reason(workspace: Workspace) -> None:
    rows = _ingest(workspace, GOOD, BROKEN, OTHER)
    assert rows["uploads/returns.md"].outcome == "added"
    assert rows["uploads/broken.pdf"].outcome == "failed"
    assert "damaged" in rows["uploads/broken.pdf"].reason
    assert "Fix: convert it" in rows["uploads/thing.xyz"].reason
    assert _ingest(workspace, GOOD)["uploads/returns.md"].outcome == "unchanged"
    changed = Upload(name="returns.md", data=b"# Returns\n\nNever.\n")
    assert _ingest(workspace, changed)["uploads/returns.md"].outcome == "updated"


def test_uploads_are_kept_under_the_data_folder_and_deleted_with_their_document(
    workspace: Workspace,
) -> None:
    _ingest(workspace, GOOD)
    file = source_file(workspace, "uploads/returns.md")
    assert file is not None
    assert file.is_relative_to(workspace.data)
    assert file.read_bytes() == GOOD.data
    before = workspace.revision
    delete_documents(workspace, ["uploads/returns.md", "museum.txt"])
    assert {record.uri for record in workspace.documents()} == {
        "shop/refunds.md",
        "shop/delivery.txt",
    }
    assert not file.exists()
    assert workspace.revision > before


def test_a_dry_run_reports_and_changes_nothing(workspace: Workspace) -> None:
    before = {record.uri for record in workspace.documents()}
    rows = _ingest(workspace, GOOD, dry_run=True)
    assert rows["uploads/returns.md"].outcome == "added"
    assert {record.uri for record in workspace.documents()} == before
    assert not workspace.uploads.exists()


def test_a_folder_of_this_machine_is_read(workspace: Workspace, tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "a.txt").write_text("A lighthouse stands on the cliff.")
    (folder / "b.bin").write_bytes(b"\x00")
    ingestion = Ingestion(workspace, path=folder)
    assert ingestion.job.wait(60)
    outcomes = {Path(row.uri).name: row.outcome for row in ingestion.rows()}
    assert outcomes == {"a.txt": "added", "b.bin": "skipped"}
    gone = Ingestion(workspace, path=tmp_path / "gone")
    assert gone.job.wait(60)
    assert gone.job.error == f"No file or folder at '{tmp_path}/gone'. Fix: check the path."


def test_a_cancelled_run_says_what_was_stored(workspace: Workspace, tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    for number in range(300):
        (folder / f"{number}.txt").write_text(f"Note {number} on harbours and ships.\n" * 40)
    ingestion = Ingestion(workspace, path=folder)
    while ingestion.status.files == 0 and ingestion.job.running:
        ingestion.job.wait(0.001)
    ingestion.cancel()
    stored = {record.uri for record in workspace.documents()}
    for row in ingestion.rows():
        assert (row.outcome == "added") == (row.uri in stored), row
    assert ingestion.job.state in {"cancelled", "done"}


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("a.txt", "a.txt"),
        ("../../etc/passwd.txt", "passwd.txt"),
        ("C:\\docs\\a.md", "a.md"),
        (".hidden.md", "hidden.md"),
    ],
)
def test_an_upload_stays_in_its_folder(name: str, kept: str) -> None:
    assert safe_name(name) == kept


@pytest.mark.parametrize("name", ["", "..", "/", "a\x00.txt", "x" * 200])
def test_an_impossible_name_is_a_sentence(name: str) -> None:
    with pytest.raises(InputError, match="Fix: rename the file"):
        safe_name(name)


def test_a_huge_upload_is_refused_by_name_and_size(tmp_path: Path) -> None:
    huge = Upload(name="huge.txt", data=b"x" * (2 * 2**20))
    read = read_uploads(tmp_path, [huge], IngestSettings(max_file_mb=1))
    (failed,) = read.failed
    assert failed.uri == "uploads/huge.txt"
    assert "2 MiB, more than the 1 allowed" in failed.reason
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("second", ["a.txt", "folder/a.txt"])
def test_the_first_of_two_files_of_one_name_is_taken(workspace: Workspace, second: str) -> None:
    files = [Upload(name="a.txt", data=b"one two"), Upload(name=second, data=b"three four")]
    ingestion = Ingestion(workspace, uploads=files)
    assert ingestion.job.wait(60)
    first, refused = ingestion.rows()
    assert (first.uri, first.outcome) == ("uploads/a.txt", "added")
    assert (refused.uri, refused.outcome) == ("uploads/a.txt", "failed")
    assert "is named 'a.txt' too, and was taken. Fix: rename one" in refused.reason
    assert (workspace.uploads / "a.txt").read_bytes() == b"one two"
    assert load_document(workspace, "uploads/a.txt").text == "one two"


def test_a_file_is_taken_where_the_one_of_its_name_before_cannot_be_read(tmp_path: Path) -> None:
    files = [Upload(name="a.txt", data=b""), Upload(name="a.txt", data=b"three four")]
    read = read_uploads(tmp_path, files, IngestSettings())
    assert [document.text for document in read.documents] == ["three four"]
    assert [failed.uri for failed in read.failed] == ["uploads/a.txt"]
    assert (tmp_path / "a.txt").read_bytes() == b"three four"


def test_no_uri_leads_out_of_the_folder_of_uploads(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("x")
    workspace.uploads.mkdir(parents=True)
    assert source_file(workspace, "uploads/../../../secret.txt") is None


def test_progress_adds_batches_up_and_estimates_the_rest() -> None:
    log = ProgressLog()
    log(Progress(phase="read", done=0, total=4, item="a"))
    log(Progress(phase="read", done=1, total=4, item="b", left_s=90))
    log(Progress(phase="embed", done=100, total=200, item="a"))
    log(Progress(phase="embed", done=200, total=200, item="b"))
    log(Progress(phase="embed", done=50, total=60, item="x/c.txt", rate=3.0))
    assert (log.status.files, log.status.files_total, log.status.chunks) == (1, 4, 250)
    assert [row.outcome for row in log.rows.values()] == ["reading", "reading"]
    assert progress_text(log.status) == (
        "1 of 4 files · 250 passages · 3 passages/s · about 1:30 left · c\\.txt"
    )
    early = Status(files=1, files_total=256, chunks=0, item="a", growing=True)
    assert progress_text(early) == "1 of 256 files found so far · 0 passages · a"


def test_a_report_decides_the_rows() -> None:
    report = IngestReport(
        added=["a"], updated=["b"], skipped=["s"], truncated=["a"], unread_pages={"b": 2}
    )
    rows = outcome_rows(report, {"a": Row(uri="a", outcome="reading")})
    assert rows["b"].reason.startswith("Pages without text, most likely scans: 2.")
    assert rows["a"].outcome == "added"
    assert "was cut" in rows["a"].reason
    assert rows["s"].outcome == "skipped"
    assert summary(list(rows.values()), 1, 2.0, dry=True) == (
        "Dry run, nothing was changed: 1 added, 1 updated, 1 skipped; 1 passage in 2.0 s"
    )


def test_documents_are_filtered_by_every_word_and_sorted_by_title(workspace: Workspace) -> None:
    records = workspace.documents()
    assert [row.title for row in document_rows(records)] == ["Delivery", "Museum", "Refunds"]
    assert [row.uri for row in document_rows(records, "SHOP refund")] == ["shop/refunds.md"]
    assert {row.format for row in document_rows(records)} == {"MD", "TXT"}
