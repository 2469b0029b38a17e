"""Reports: the counts on one line, and what makes a run a failure."""

from ragkit.ingest.report import FailedDocument, IngestReport


def test_a_report_counts_on_one_line() -> None:
    report = IngestReport(added=["a", "b"], unchanged=["c"], deleted=["d"], chunks=7, seconds=1.25)
    assert str(report) == "2 added, 0 updated, 1 unchanged, 1 deleted, 0 failed (7 chunks in 1.2 s)"


def test_the_report_of_a_dry_run_says_so_with_its_tokens() -> None:
    report = IngestReport(updated=["a"], chunks=2, tokens=300, dry_run=True)
    assert str(report).startswith("dry run: 0 added, 1 updated")
    assert str(report).endswith("(2 chunks, 300 tokens)")


def test_a_run_that_failed_a_document_or_stopped_is_not_ok() -> None:
    assert IngestReport(skipped=["a.xyz"]).ok
    assert not IngestReport(failed=[FailedDocument(uri="a", reason="empty")]).ok
    assert not IngestReport(stopped="the store is down").ok
