"""Syncs: only what came from the very roots that are synced, and no deletion by mistake."""

import os
import shutil
from pathlib import Path

import pytest

from ragkit.core.errors import InputError
from ragkit.core.types import Document
from ragkit.ingest.chunkers.recursive import RecursiveChunker
from ragkit.ingest.deletion import MASS_DELETION
from ragkit.ingest.loaders import LoaderRegistry
from ragkit.ingest.pipeline import Pipeline, RunOptions
from ragkit.ingest.report import IngestReport
from ragkit.ingest.sources import FileReader, PathPatterns, SourceItem, SourceOptions, SourceStream
from ragkit.testing.ingestion import CountingEmbedder, WatchedIndex

SYNC = RunOptions(sync=True)
FORCED = RunOptions(sync=True, force=True)


class SyncBench:
    """A pipeline with its index."""

    def __init__(self) -> None:
        embedder = CountingEmbedder()
        self.index = WatchedIndex(embedder)
        self.pipeline = Pipeline(
            index=self.index,
            chunker=RecursiveChunker(embedder.tokenizer, chunk_tokens=50),
            embedder=embedder,
        )

    async def ingest(
        self,
        *items: SourceItem,
        options: SourceOptions | None = None,
        run: RunOptions | None = None,
    ) -> IngestReport:
        """Ingest items in one run."""
        return await self.pipeline.run(SourceStream(items, options), run)

    async def sync(self, *items: SourceItem, options: SourceOptions | None = None) -> IngestReport:
        """Sync with items."""
        return await self.ingest(*items, options=options, run=SYNC)

    async def uris(self) -> list[str]:
        """Return the uris of the stored documents."""
        return sorted(record.uri for record in await self.index.records())


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def bench() -> SyncBench:
    return SyncBench()


def write(*names: str) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(f"words of {name}")


async def test_a_sync_deletes_what_is_gone_from_its_folder_and_nothing_else(
    bench: SyncBench,
) -> None:
    write("docs/a.md", "docs/b.md", "other/keep.md")
    await bench.ingest("docs", "other", ("docs/in-code", "made in code"), ("note", "the same"))
    Path("docs/a.md").unlink()
    assert (await bench.ingest("docs")).deleted == []
    assert (await bench.sync("docs")).deleted == ["docs/a.md"]
    assert await bench.uris() == ["docs/b.md", "docs/in-code", "note", "other/keep.md"]


async def test_a_sync_of_the_working_folder_leaves_what_lies_elsewhere(
    bench: SyncBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("elsewhere/x.md", "project/a.md", "project/sub/b.md")
    await bench.ingest("elsewhere", ("note", "made in code"))
    monkeypatch.chdir("project")
    await bench.ingest(".")
    Path("a.md").unlink()
    report = await bench.sync(".")
    assert report.deleted == ["project/a.md"]
    assert await bench.uris() == ["elsewhere/x.md", "note", "project/sub/b.md"]


async def test_a_sync_of_a_subfolder_deletes_below_it_only(bench: SyncBench) -> None:
    write("docs/a.md", "docs/sub/b.md", "docs/sub/c.md")
    await bench.ingest("docs")
    Path("docs/a.md").unlink()
    Path("docs/sub/b.md").unlink()
    assert (await bench.sync("docs/sub")).deleted == ["docs/sub/b.md"]
    assert await bench.uris() == ["docs/a.md", "docs/sub/c.md"]


async def test_a_sync_of_a_folder_covers_folders_in_it_that_were_ingested_alone(
    bench: SyncBench,
) -> None:
    write("docs/sub/a.md", "docs/sub/b.md", "docs/c.md")
    await bench.ingest("docs/sub")
    Path("docs/sub/a.md").unlink()
    report = await bench.sync("docs")
    assert (report.deleted, report.added) == (["sub/a.md"], ["docs/c.md"])
    assert await bench.uris() == ["docs/c.md", "sub/b.md"]


async def test_a_sync_with_patterns_deletes_only_what_they_cover(bench: SyncBench) -> None:
    write("docs/a.md", "docs/b.txt", "docs/c.md", "docs/d.txt")
    await bench.ingest("docs")
    Path("docs/a.md").unlink()
    Path("docs/b.txt").unlink()
    only = SourceOptions(patterns=PathPatterns.of(include=["*.md"]))
    assert (await bench.sync("docs", options=only)).deleted == ["docs/a.md"]
    without = SourceOptions(patterns=PathPatterns.of(exclude=["*.md"]))
    assert (await bench.sync("docs", options=without)).deleted == ["docs/b.txt"]
    assert (await bench.sync("docs/*.md")).deleted == []
    assert await bench.uris() == ["docs/c.md", "docs/d.txt"]


async def test_a_named_source_is_synced_by_its_name(bench: SyncBench) -> None:
    write("v1/a.md", "v1/b.md", "v2/a.md")
    handbook = SourceOptions(source="handbook")
    await bench.ingest("v1", options=handbook)
    await bench.ingest("v1")
    report = await bench.sync("v2", options=handbook)
    assert report.deleted == ["handbook/b.md"]
    assert await bench.uris() == ["handbook/a.md", "v1/a.md", "v1/b.md"]


async def test_documents_of_a_named_source_are_synced_and_others_are_not(bench: SyncBench) -> None:
    tickets = SourceOptions(source="tickets")
    write("tickets/a.md")
    await bench.ingest([("1", "one"), ("2", "two")], options=tickets)
    await bench.ingest([("3", "three")])
    await bench.ingest("tickets", options=tickets)
    report = await bench.sync([("1", "one")], options=tickets)
    assert (report.deleted, report.unchanged) == (["2"], ["1"])
    assert (await bench.sync([("1", "one")])).failed[0].uri == "1"
    assert await bench.uris() == ["1", "3", "tickets/a.md"]


async def test_a_file_that_no_longer_loads_is_not_gone(bench: SyncBench) -> None:
    write("docs/a.md", "docs/b.md")
    await bench.ingest("docs")
    Path("docs/a.md").write_bytes(b"\xff\xff")
    report = await bench.sync("docs")
    assert (report.deleted, [failure.uri for failure in report.failed]) == ([], ["docs/a.md"])


# What looks like a mistake


async def test_an_empty_root_deletes_nothing_unless_forced(bench: SyncBench) -> None:
    write("docs/a.md")
    await bench.ingest("docs")
    Path("docs/a.md").unlink()
    report = await bench.sync("docs")
    assert (report.deleted, report.ok) == ([], False)
    (refusal,) = report.failed
    assert refusal.uri == str(Path.cwd().resolve() / "docs")
    assert "it is empty or gone, which looks like a mistake" in refusal.reason
    assert "--force (force=True)" in refusal.reason
    assert await bench.uris() == ["docs/a.md"]
    assert (await bench.ingest("docs", run=FORCED)).deleted == ["docs/a.md"]


async def test_a_root_that_is_gone_deletes_nothing_unless_forced(bench: SyncBench) -> None:
    write("docs/a.md", "docs/b.md")
    await bench.ingest("docs")
    shutil.rmtree("docs")
    report = await bench.sync("docs")
    assert report.deleted == []
    assert [failure.reason.split(" ")[0] for failure in report.failed] == ["No", "No"]
    assert await bench.uris() == ["docs/a.md", "docs/b.md"]
    forced = await bench.ingest("docs", run=FORCED)
    assert forced.deleted == ["docs/a.md", "docs/b.md"]


async def test_a_file_that_is_gone_and_named_is_deleted_only_by_force(bench: SyncBench) -> None:
    write("docs/a.md", "docs/b.md")
    await bench.ingest("docs")
    Path("docs/a.md").unlink()
    assert (await bench.sync("docs/a.md")).deleted == []
    assert (await bench.ingest("docs/a.md", run=FORCED)).deleted == ["docs/a.md"]
    assert await bench.uris() == ["docs/b.md"]


async def test_nothing_is_deleted_below_an_unreadable_folder_even_by_force(
    bench: SyncBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("docs/a.md", "docs/b.md", "docs/secret/c.md")
    await bench.ingest("docs")
    Path("docs/a.md").unlink()
    scan = os.scandir

    def refuse(path: Path) -> object:
        if path.name == "secret":
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    report = await bench.ingest("docs", run=FORCED)
    assert report.deleted == ["docs/a.md"]
    assert [failure.uri for failure in report.failed] == ["docs/secret"]
    assert await bench.uris() == ["docs/b.md", "docs/secret/c.md"]


async def test_nothing_is_deleted_below_a_link_that_leads_nowhere(bench: SyncBench) -> None:
    write("share/c.md", "docs/a.md")
    Path("docs/share").symlink_to("../share")
    await bench.ingest("docs")
    assert await bench.uris() == ["docs/a.md", "docs/share/c.md"]
    shutil.rmtree("share")  # unmounted
    report = await bench.ingest("docs", run=FORCED)
    assert (report.deleted, [failure.uri for failure in report.failed]) == ([], ["docs/share"])


async def test_a_mass_deletion_is_refused_unless_forced(bench: SyncBench) -> None:
    names = [f"docs/{number:02}.md" for number in range(2 * MASS_DELETION - 1)]
    write(*names)
    await bench.ingest("docs")
    for name in names[:MASS_DELETION]:
        Path(name).unlink()
    report = await bench.sync("docs")
    assert report.deleted == []
    assert "10 of 19 are gone" in report.failed[0].reason
    assert (await bench.ingest("docs", run=FORCED)).deleted == names[:MASS_DELETION]


async def test_a_deletion_of_half_or_of_a_few_is_no_mass_deletion(bench: SyncBench) -> None:
    few = [f"few/{number:02}.md" for number in range(MASS_DELETION)]
    half = [f"half/{number:02}.md" for number in range(2 * MASS_DELETION)]
    write(*few, *half)
    await bench.ingest("few", "half")
    for name in [*few[1:], *half[:MASS_DELETION]]:
        Path(name).unlink()
    report = await bench.sync("few", "half")
    assert report.deleted == sorted([*few[1:], *half[:MASS_DELETION]])


async def test_a_refused_root_leaves_the_deletions_of_the_others(bench: SyncBench) -> None:
    write("one/a.md", "two/a.md", "two/b.md")
    await bench.ingest("one", "two")
    Path("one/a.md").unlink()
    Path("two/a.md").unlink()
    report = await bench.sync("one", "two")
    assert report.deleted == ["two/a.md"]
    assert await bench.uris() == ["one/a.md", "two/b.md"]


async def test_a_dry_run_says_what_would_be_deleted_and_what_refused(bench: SyncBench) -> None:
    write("one/a.md", "two/a.md", "two/b.md")
    await bench.ingest("one", "two")
    Path("one/a.md").unlink()
    Path("two/a.md").unlink()
    report = await bench.ingest("one", "two", run=RunOptions(sync=True, dry_run=True))
    assert report.deleted == ["two/a.md"]
    assert [failure.uri for failure in report.failed] == [str(Path.cwd().resolve() / "one")]
    assert await bench.uris() == ["one/a.md", "two/a.md", "two/b.md"]


async def test_tenants_are_synced_apart(bench: SyncBench) -> None:
    write("docs/a.md", "docs/b.md")
    other = Pipeline(
        index=bench.index,
        chunker=bench.pipeline.chunker,
        embedder=bench.pipeline.embedder,
        tenant="other",
    )
    await bench.ingest("docs")
    await other.run(SourceStream(["docs"]))
    Path("docs/a.md").unlink()
    assert (await bench.sync("docs")).deleted == ["docs/a.md"]
    assert len(await bench.index.records(tenant="other")) == 2


# Paths that overlap


@pytest.mark.parametrize("paths", [("docs", "docs"), ("docs", "docs/sub"), ("docs/sub", "docs")])
async def test_what_overlapping_paths_lack_is_deleted_without_a_failure(
    bench: SyncBench, paths: tuple[str, str]
) -> None:
    write("docs/sub/a.md", "docs/sub/b.md")
    await bench.ingest("docs")
    Path("docs/sub/b.md").unlink()
    report = await bench.sync(*paths)
    assert (report.deleted, report.failed) == (["docs/sub/b.md"], [])


@pytest.mark.parametrize("paths", [("docs", "docs"), ("docs", "docs/sub"), ("docs", "link")])
async def test_a_refused_deletion_is_not_made_under_a_second_path(
    bench: SyncBench, paths: tuple[str, str]
) -> None:
    names = [f"docs/sub/{number:02}.md" for number in range(MASS_DELETION)]
    write("docs/keep.md", "docs/sub/keep.md", *names)
    Path("link").symlink_to("docs")
    await bench.ingest("docs")
    for name in names:
        Path(name).unlink()
    report = await bench.sync(*paths)
    assert (report.deleted, len(report.failed)) == ([], 1)
    assert "10 of 12 are gone" in report.failed[0].reason


async def test_an_empty_folder_that_is_given_twice_stays_a_mistake(bench: SyncBench) -> None:
    write("docs/a.md")
    await bench.ingest("docs")
    Path("docs/a.md").unlink()
    report = await bench.sync("docs", "docs")
    assert (report.deleted, len(report.failed)) == ([], 1)


async def test_what_one_path_cannot_read_is_not_deleted_under_another(
    bench: SyncBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("docs/a.md", "docs/secret/c.md")
    await bench.ingest("docs")
    scan = os.scandir

    def refuse(path: Path) -> object:
        if path.name == "secret":
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert (await bench.ingest("docs", "docs", run=FORCED)).deleted == []
    assert await bench.uris() == ["docs/a.md", "docs/secret/c.md"]


async def test_a_chosen_name_is_that_of_one_folder_in_a_run(bench: SyncBench) -> None:
    """Else what is gone from one folder could not be told from what is in the other."""
    write("v1/a.md", "v1/b.md", "v2/c.md")
    handbook = SourceOptions(source="handbook")
    with pytest.raises(InputError, match=r"'handbook' needs a folder.*--source handbook=FOLDER"):
        await bench.sync("v1", "v2", options=handbook)
    assert await bench.uris() == []
    assert len((await bench.sync("v1/a.md", "v1/b.md", options=handbook)).added) == 2


async def test_a_document_made_in_code_whose_new_version_is_none_keeps_its_old_one(
    bench: SyncBench,
) -> None:
    options = SourceOptions(source="code")
    await bench.ingest(("a", "1"), ("b", "2"), ("c", "3"), options=options)
    for wrong in (("a", None), {"uri": "a", "text": 5}):
        report = await bench.sync(wrong, ("b", "2"), ("c", "3"), options=options)  # type: ignore[arg-type]
        assert [one.uri for one in report.failed] == ["a"]
        assert report.deleted == []
    nameless = await bench.sync({"text": "words"}, ("b", "2"), options=options)
    assert (len(nameless.failed), nameless.deleted) == (1, [])  # it may have been any of them
    assert (await bench.sync(("b", "2"), ("a", "1"), options=options)).deleted == ["c"]


async def test_a_file_whose_name_is_no_text_fails_alone(bench: SyncBench) -> None:
    write("docs/a.md")
    for name in (b"docs/caf\xe9.md", b"docs/r\xe9sum\xe9/b.md"):
        Path(os.fsdecode(name)).parent.mkdir(exist_ok=True)
        Path(os.fsdecode(name)).write_text("words")
    for run in (RunOptions(), SYNC):
        report = await bench.ingest("docs", run=run)
        assert await bench.uris() == ["docs/a.md"]
        assert (report.stopped, report.deleted) == ("", [])
        names = [r"docs/caf\udce9.md", r"docs/r\udce9sum\udce9/b.md"]
        assert [one.uri for one in report.failed] == names
        for one in report.failed:
            assert one.reason == f"The name '{one.uri}' is not valid UTF-8. Fix: rename it."


class _Naming:
    """A loader that names its documents itself."""

    identity = "naming-1"

    def load(self, data: bytes, *, uri: str) -> Document:
        return Document(uri="note", title="", text=data.decode(), content_hash="1")


async def test_a_document_has_the_uri_of_its_file_whatever_a_loader_calls_it(
    bench: SyncBench,
) -> None:
    write("docs/a.foo", "docs/b.foo")
    reader = FileReader(registry=LoaderRegistry(loaders={".foo": _Naming()}))
    await bench.ingest("docs", options=SourceOptions(reader=reader))
    assert await bench.uris() == ["docs/a.foo", "docs/b.foo"]
    chunks = await bench.index.chunks(await bench.uris())
    assert [chunk.uri for chunk in chunks] == ["docs/a.foo", "docs/b.foo"]


async def test_documents_made_in_code_of_which_none_is_left_are_deleted_by_force_only(
    bench: SyncBench,
) -> None:
    options = SourceOptions(source="code")
    await bench.ingest(("a", "1"), ("b", "2"), options=options)
    await bench.ingest(("other", "3"))
    for run, deleted in ((RunOptions(), []), (SYNC, []), (FORCED, ["a", "b"])):
        report = await bench.ingest([], options=options, run=run)
        assert report.deleted == deleted
        assert report.ok is (run is not SYNC)
    assert await bench.uris() == ["other"]
