"""The pipeline: only what changed is read and embedded, and a failure stays where it arose."""

import os
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import docx
import numpy as np
import pptx
import pytest

from ragkit import AsyncRAG, ConfigError, Document, InputError, ProviderError, Settings
from ragkit.core.progress import Progress
from ragkit.core.protocols import Entry, LegQuery
from ragkit.core.settings import IndexSettings
from ragkit.core.types import FloatArray, Task
from ragkit.index.integrity import verify
from ragkit.ingest.chunkers.recursive import RecursiveChunker
from ragkit.ingest.entry_writer import OTHER_ERRORS, PROVIDER_ERRORS
from ragkit.ingest.loaders import MarkdownLoader
from ragkit.ingest.pipeline import Pipeline, RunOptions
from ragkit.ingest.report import IngestReport
from ragkit.ingest.sources import FileReader, SourceItem, SourceOptions, SourceStream, file
from ragkit.ingest.sources.item import SingleItem
from ragkit.testing import HashEmbedder
from ragkit.testing.ingestion import CountingEmbedder, WatchedIndex


class Bench:
    """A pipeline with its index and embedder."""

    def __init__(self, embedder: CountingEmbedder | None = None, *, batch_chunks: int = 8) -> None:
        self.embedder = embedder or CountingEmbedder()
        self.index = WatchedIndex(self.embedder)
        self.pipeline = Pipeline(
            index=self.index,
            chunker=RecursiveChunker(self.embedder.tokenizer, chunk_tokens=50),
            embedder=self.embedder,
            batch_chunks=batch_chunks,
        )

    async def ingest(
        self,
        *items: SourceItem,
        options: SourceOptions | None = None,
        run: RunOptions | None = None,
    ) -> IngestReport:
        """Ingest items in one run."""
        return await self.pipeline.run(SourceStream(items, options), run)

    async def uris(self) -> set[str]:
        """Return the uris of the stored documents."""
        return {record.uri for record in await self.index.records()}


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("docs").mkdir()


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let files count as written some time ago, so that their stamps are relied on."""
    monkeypatch.setattr(file, "SETTLED_NS", -(10**12))


@pytest.fixture
async def rag(tmp_path: Path) -> AsyncRAG:
    settings = Settings(index=IndexSettings(fields={"year": "integer"}))
    return AsyncRAG(settings, index=tmp_path / "index", embedder=HashEmbedder(dimensions=64))


def _write(**texts: str) -> None:
    for name, text in texts.items():
        Path("docs", f"{name}.md").write_text(text)


async def _found(rag: AsyncRAG, query: str) -> set[str]:
    index = await rag.index()
    vector = (await rag.embedder.embed([query], task="query"))[0]
    legs = await index.search(LegQuery(vector=vector, text=query, depth=10))
    ids = [item for item, _ in (*legs.dense, *legs.bm25)]
    return {chunk.uri for chunk in await index.fetch(ids)}


# What changed


async def test_only_what_changed_is_ingested_again(rag: AsyncRAG) -> None:
    _write(a="alpha", b="beta", c="gamma")
    report = await rag.ingest("docs")
    assert report.added == ["docs/a.md", "docs/b.md", "docs/c.md"]
    _write(b="beta, changed")
    report = await rag.ingest("docs")
    assert (report.updated, report.unchanged) == (["docs/b.md"], ["docs/a.md", "docs/c.md"])
    assert report.chunks == 1
    await rag.close()


async def test_edits_and_deletions_change_both_legs_at_once(rag: AsyncRAG) -> None:
    _write(a="zebra stripes", b="elephant trunk")
    await rag.ingest("docs")
    assert "docs/a.md" in await _found(rag, "zebra")
    _write(a="giraffe neck")
    await rag.ingest("docs")
    index = await rag.index()
    assert (await index.search(LegQuery(text="zebra", depth=5))).bm25 == ()
    assert "docs/a.md" in await _found(rag, "giraffe")
    await rag.delete(["docs/a.md"])
    assert "docs/a.md" not in await _found(rag, "giraffe")
    await rag.close()


@pytest.mark.usefixtures("settled")
async def test_an_unchanged_file_is_not_even_read(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    _write(a="alpha", b="beta")
    await bench.ingest("docs")

    def refuse(path: Path, *, max_bytes: int) -> tuple[bytes, os.stat_result]:
        raise AssertionError(f"{path} was read with a limit of {max_bytes}")

    monkeypatch.setattr(file, "read_file", refuse)
    report = await bench.ingest("docs")
    assert report.unchanged == ["docs/a.md", "docs/b.md"]
    assert report.ok


@pytest.mark.usefixtures("settled")
async def test_a_touched_file_is_hashed_once_and_known_by_its_new_stamp() -> None:
    bench = Bench()
    _write(a="alpha")
    await bench.ingest("docs")
    (before,) = await bench.index.records()
    os.utime("docs/a.md", (1, 1))
    report = await bench.ingest("docs")
    (after,) = await bench.index.records()
    assert report.unchanged == ["docs/a.md"]
    assert after.stamp != before.stamp
    assert replace(after, stamp=before.stamp) == before
    bench.index.calls.clear()
    await bench.ingest("docs")
    assert "touch" not in bench.index.calls


@pytest.mark.usefixtures("settled")
async def test_a_change_under_the_same_size_and_time_is_seen() -> None:
    bench = Bench()
    _write(a="alpha")
    stat = Path("docs/a.md").stat()
    await bench.ingest("docs")
    _write(a="gamma")
    os.utime("docs/a.md", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert (await bench.ingest("docs")).updated == ["docs/a.md"]


async def test_a_run_looks_up_its_own_documents_and_never_all() -> None:
    bench = Bench()
    await bench.ingest([(f"other-{number}", f"text {number}") for number in range(50)])
    _write(a="alpha")
    await bench.ingest("docs")
    bench.index.calls.clear()
    bench.index.looked_up.clear()
    await bench.ingest("docs")
    assert bench.index.calls == ["records", "incomplete"]
    assert bench.index.looked_up == ["docs/a.md"]


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("left", [0, 1])
async def test_a_document_whose_chunks_are_gone_is_stored_again(left: int) -> None:
    bench = Bench()
    _write(a=f"{'alpha ' * 40}\n\n{'beta ' * 40}", b="gamma")
    await bench.ingest("docs", options=SourceOptions(reader=FileReader(metadata={"year": 1})))
    chunks = await bench.index.chunks(["docs/a.md"])
    (record,) = await bench.index.records(["docs/a.md"])
    vectors = await bench.index.vectors([chunk.id for chunk in chunks])
    half = Entry(record=record, chunks=tuple(chunks[:left]), vectors=vectors[:left])
    await bench.index.commit([half])
    assert await verify(bench.index) != []
    dry = await bench.ingest("docs", run=RunOptions(dry_run=True))
    report = await bench.ingest("docs")
    for one in (dry, report):
        assert (one.updated, one.unchanged) == (["docs/a.md"], ["docs/b.md"])
    assert report.kept == left
    assert await bench.index.chunks(["docs/a.md"]) == chunks
    assert await verify(bench.index) == []
    assert (await bench.ingest("docs")).unchanged == ["docs/a.md", "docs/b.md"]


async def test_a_changed_loader_or_chunker_makes_a_new_version(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench()
    _write(a="alpha")
    await bench.ingest("docs")
    monkeypatch.setattr(MarkdownLoader, "identity", "markdown-next")
    assert (await bench.ingest("docs")).updated == ["docs/a.md"]
    smaller = RecursiveChunker(bench.embedder.tokenizer, chunk_tokens=40)
    bench.pipeline = replace(bench.pipeline, chunker=smaller)
    assert (await bench.ingest("docs")).updated == ["docs/a.md"]


# Vectors that are kept


async def test_an_update_of_metadata_alone_embeds_nothing() -> None:
    bench = Bench()
    _write(a="alpha one\n\n" * 60, b="beta")
    await bench.ingest("docs")
    embedded = len(bench.embedder.texts)
    options = SourceOptions(reader=FileReader(metadata={"year": 2020}))
    report = await bench.ingest("docs", options=options)
    assert report.updated == ["docs/a.md", "docs/b.md"]
    assert report.kept == report.chunks == embedded
    assert len(bench.embedder.texts) == embedded
    found = await bench.index.search(LegQuery(text="beta", depth=5))
    assert {chunk.metadata["year"] for chunk in found.chunks.values()} == {2020}


async def test_a_changed_paragraph_embeds_its_own_passages_only() -> None:
    bench = Bench()
    parts = [f"# Part {number}\n\n{f'word{number} ' * 45}" for number in range(10)]
    _write(a="\n\n".join(parts))
    first = await bench.ingest("docs")
    parts[4] = parts[4].replace("word4", "changed")
    _write(a="\n\n".join(parts))
    second = await bench.ingest("docs")
    assert second.chunks == first.chunks == 10
    assert second.kept == 9
    assert len(bench.embedder.texts) == 11


async def test_kept_vectors_are_those_of_a_new_index() -> None:
    bench, fresh = Bench(), Bench()
    _write(a="alpha beta", b="gamma delta")
    await bench.ingest("docs")
    options = SourceOptions(reader=FileReader(metadata={"year": 2020}))
    await bench.ingest("docs", options=options)
    await fresh.ingest("docs", options=options)
    for name in ("docs/a.md", "docs/b.md"):
        ours, theirs = await bench.index.chunks([name]), await fresh.index.chunks([name])
        assert ours == theirs
        ids = [chunk.id for chunk in ours]
        assert np.array_equal(await bench.index.vectors(ids), await fresh.index.vectors(ids))


# Metadata


async def test_metadata_given_for_all_files_is_filterable(rag: AsyncRAG) -> None:
    _write(a="alpha one")
    await rag.ingest("docs", metadata={"year": 2020})
    assert len(await rag.search("alpha", where="year == 2020")) == 1
    assert len(await rag.search("alpha", where="year > 2020")) == 0
    await rag.close()


async def test_metadata_may_be_a_function_of_the_path(rag: AsyncRAG) -> None:
    _write(**{"2019": "alpha one", "2021": "alpha two"})
    await rag.ingest("docs", metadata=lambda path: {"year": int(path.stem)})
    hits = await rag.search("alpha", where="year > 2020")
    assert [hit.chunk.uri for hit in hits] == ["docs/2021.md"]
    await rag.close()


async def test_metadata_given_for_all_is_that_of_documents_made_in_code_too(rag: AsyncRAG) -> None:
    _write(a="alpha one")
    made = {"uri": "b", "text": "alpha two", "metadata": {"year": 1999, "day": date(1999, 5, 1)}}
    report = await rag.ingest(("c", "alpha three"), made, "docs", metadata={"year": 2020})
    assert report.added == ["c", "b", "docs/a.md"]
    hits = await rag.search("alpha", where="year == 2020")
    assert {hit.chunk.uri: hit.chunk.metadata.get("day") for hit in hits} == {
        "b": "1999-05-01",
        "c": None,
        "docs/a.md": None,
    }
    assert len((await rag.ingest(("c", "alpha three"))).unchanged) == 1
    by_path = await rag.ingest(("d", "delta"), "docs", metadata=lambda path: {"year": 2021})
    assert (by_path.added, by_path.updated) == (["d"], ["docs/a.md"])
    assert await rag.search("delta", where="year == 2021", k=1)
    assert (await rag.chunks("d"))[0].metadata == {}
    await rag.close()


@pytest.mark.parametrize("given", [{"tags": [1]}, {"raw": b"x"}, ["year"], "year=2020"])
async def test_metadata_that_cannot_be_stored_is_refused_at_once(rag: AsyncRAG, given: Any) -> None:
    _write(a="alpha")
    with pytest.raises(InputError, match=r"metadata .*Fix: "):
        await rag.ingest("docs", metadata=given)
    report = await rag.ingest("docs", metadata=lambda path: given)
    (failed,) = report.failed
    assert "metadata" in failed.reason
    assert "Fix: " in failed.reason
    assert await rag.documents() == []
    await rag.close()


async def test_metadata_that_is_not_given_again_stays_until_it_is_replaced() -> None:
    bench = Bench()
    _write(a="alpha")
    year = SourceOptions(reader=FileReader(metadata={"year": 2020}))
    lang = SourceOptions(reader=FileReader(metadata={"lang": "en"}))
    await bench.ingest("docs", options=year)
    assert (await bench.ingest("docs")).unchanged == ["docs/a.md"]
    await bench.ingest("docs", options=lang)
    (chunk,) = await bench.index.chunks(["docs/a.md"])
    assert chunk.metadata == {"year": 2020, "lang": "en"}
    _write(a="alpha, edited")
    await bench.ingest("docs")
    (chunk,) = await bench.index.chunks(["docs/a.md"])
    assert chunk.metadata == {"year": 2020, "lang": "en"}
    await bench.ingest("docs", options=lang, run=RunOptions(replace_metadata=True))
    (chunk,) = await bench.index.chunks(["docs/a.md"])
    assert chunk.metadata == {"lang": "en"}


# Names


async def test_a_file_has_one_uri_from_whichever_folder_it_is_ingested(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench()
    Path("docs/sub").mkdir()
    Path("docs/sub/a.md").write_text("alpha")
    await bench.ingest("docs")
    here = Path.cwd()
    runs: list[tuple[str, str | Path]] = [
        ("docs", "."),
        ("docs/sub", "."),
        ("docs", "sub"),
        ("/", here / "docs"),
    ]
    for folder, path in runs:
        monkeypatch.chdir(here / folder)
        report = await bench.ingest(path)
        assert (report.unchanged, report.added) == (["docs/sub/a.md"], [])
    monkeypatch.chdir(here)
    assert (await bench.ingest(".")).unchanged == ["docs/sub/a.md"]
    assert await bench.uris() == {"docs/sub/a.md"}


async def test_two_projects_that_share_an_index_do_not_overwrite_each_other() -> None:
    bench = Bench()
    for project in ("one", "two"):
        Path(project, "docs").mkdir(parents=True)
        Path(project, "docs/a.md").write_text(f"of project {project}")
    await bench.ingest("one/docs")
    report = await bench.ingest("two/docs")
    (failure,) = report.failed
    assert failure.uri == "docs/a.md"
    assert "one/docs'" in failure.reason
    assert "--source NAME" in failure.reason
    (chunk,) = await bench.index.chunks(["docs/a.md"])
    assert chunk.text == "of project one"
    named = await bench.ingest("two/docs", options=SourceOptions(source="two"))
    assert named.added == ["two/a.md"]
    forced = await bench.ingest("two/docs", run=RunOptions(force=True))
    assert forced.updated == ["docs/a.md"]


async def test_a_named_source_may_move() -> None:
    bench = Bench()
    _write(a="alpha")
    await bench.ingest("docs", options=SourceOptions(source="handbook"))
    Path("docs").rename("moved")
    report = await bench.ingest("moved", options=SourceOptions(source="handbook"))
    assert report.unchanged == ["handbook/a.md"]


# Failures


async def test_bad_files_are_reported_and_the_rest_is_done(rag: AsyncRAG) -> None:
    _write(good="fine words", year="---\nyear: soon\n---\ntext")
    Path("docs/empty.txt").write_bytes(b"")
    Path("docs/binary.txt").write_bytes(bytes(range(256)) * 10)
    Path("docs/latin.txt").write_bytes("Größe".encode("latin-1"))
    Path("docs/cut.pdf").write_bytes(b"%PDF-1.7\n1 0 obj")
    with Path("docs/huge.txt").open("wb") as huge:
        huge.truncate(100 * 2**20)
    report = await rag.ingest("docs")
    assert report.added == ["docs/good.md"]
    reasons = {failure.uri: failure.reason for failure in report.failed}
    assert set(reasons) == {
        "docs/empty.txt", "docs/binary.txt", "docs/latin.txt", "docs/cut.pdf", "docs/huge.txt",
        "docs/year.md",
    }  # fmt: skip
    assert all(uri in reason for uri, reason in reasons.items())
    assert "RAGKIT_INGEST__ENCODING" in reasons["docs/latin.txt"]
    assert "ingest.max_file_mb" in reasons["docs/huge.txt"]
    assert "year = 'soon'" in reasons["docs/year.md"]
    await rag.close()


async def test_a_folder_of_office_files_is_found_by_what_is_in_them(rag: AsyncRAG) -> None:
    word = docx.Document()
    word.add_paragraph("The storm reached the coast.")
    word.save("docs/storm.docx")
    show = pptx.Presentation()
    notes = show.slides.add_slide(show.slide_layouts[6]).notes_slide.notes_text_frame
    assert notes is not None
    notes.text = "The walrus sleeps."
    show.save("docs/animals.pptx")
    Path("docs/towns.csv").write_text("town,people\nBonn,335000\n")
    report = await rag.ingest("docs")
    assert report.added == ["docs/animals.pptx", "docs/storm.docx", "docs/towns.csv"]
    for word_in_it, uri in [("walrus", 0), ("storm", 1), ("Bonn", 2)]:
        assert (await rag.search(word_in_it, k=1))[0].chunk.uri == report.added[uri]
    await rag.close()


async def test_a_document_that_no_longer_loads_keeps_its_old_version(rag: AsyncRAG) -> None:
    _write(a="zebra stripes")
    await rag.ingest("docs")
    Path("docs/a.md").write_bytes(b"\xff\xff broken")
    report = await rag.ingest("docs", sync=True)
    assert [failure.uri for failure in report.failed] == ["docs/a.md"]
    assert "docs/a.md" in await _found(rag, "zebra")
    await rag.close()


async def test_whatever_a_loader_raises_is_that_document_s_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench()
    _write(a="alpha", bad="beta", c="gamma")
    load = MarkdownLoader.load

    def failing(self: MarkdownLoader, data: bytes, *, uri: str) -> Document:
        if data == b"beta":
            raise ZeroDivisionError("a bug in a library")
        return load(self, data, uri=uri)

    monkeypatch.setattr(MarkdownLoader, "load", failing)
    report = await bench.ingest("docs")
    assert report.added == ["docs/a.md", "docs/c.md"]
    assert [(item.uri, item.reason) for item in report.failed] == [
        ("docs/bad.md", "ZeroDivisionError: a bug in a library")
    ]


async def test_whatever_an_embedder_raises_is_that_document_s_failure() -> None:
    def fails(text: str) -> Exception | None:
        return RuntimeError("cannot embed this") if "number 7" in text else None

    bench = Bench(CountingEmbedder(fails))
    report = await bench.ingest([(f"{n}", f"number {n}") for n in range(30)])
    assert len(report.added) == 29
    assert [(item.uri, item.reason) for item in report.failed] == [
        ("7", "RuntimeError: cannot embed this")
    ]
    assert not report.stopped


async def test_one_text_that_a_model_server_rejects_leaves_the_rest_of_its_batch() -> None:
    def fails(text: str) -> Exception | None:
        rejected = ProviderError("bad text", provider="tei", status=400, failure="rejected")
        return rejected if "number 7" in text else None

    report = await Bench(CountingEmbedder(fails)).ingest(
        [(f"{n}", f"number {n}") for n in range(30)]
    )
    assert len(report.added) == 29
    assert [item.uri for item in report.failed] == ["7"]


async def test_one_document_that_the_store_refuses_leaves_the_rest_of_its_batch(
    rag: AsyncRAG,
) -> None:
    good = Document(uri="good", title="", text="a walrus", content_hash="1")
    bad = Document(uri="bad", title="", text="lone surrogate \ud800", content_hash="2")
    report = await rag.ingest(good, bad)
    assert (report.added, [item.uri for item in report.failed]) == (["good"], ["bad"])
    assert "surrogate" in report.failed[0].reason
    await rag.close()


async def test_a_store_that_is_down_is_noticed_before_anything_is_embedded() -> None:
    bench = Bench()
    bench.index.failures["records"] = ProviderError("no connection", provider="qdrant")
    with pytest.raises(ProviderError, match="no connection"):
        await bench.ingest([(f"{n}", f"number {n}") for n in range(30)])
    assert bench.embedder.texts == []


async def test_a_run_stops_after_repeated_provider_errors_and_says_what_it_did() -> None:
    bench = Bench(batch_chunks=1)

    def documents() -> Iterator[SingleItem]:
        for number in range(200):
            if number == 20:
                bench.index.failures["commit"] = ProviderError("disk gone", provider="qdrant")
            yield (f"{number:03}", f"number {number}")

    # The iterable is read ahead by a group: the failure begins with the first one.
    report = await bench.ingest(documents())
    assert report.added == []
    assert len(report.failed) == PROVIDER_ERRORS
    assert len(bench.embedder.texts) <= PROVIDER_ERRORS + 1  # one is embedded ahead
    assert "repeated failures, the last: disk gone" in report.stopped
    assert not report.ok


async def test_what_was_stored_before_a_run_stopped_is_reported_and_nothing_deleted() -> None:
    bench = Bench(batch_chunks=1)
    stored = 0

    def fails(text: str) -> Exception | None:
        nonlocal stored
        stored += 1
        down = ProviderError("overloaded", provider="tei", retryable=True, failure="overloaded")
        return down if stored > 5 else None

    _write(**{f"{number:02}": f"number {number}" for number in range(20)})
    await bench.ingest("docs")
    bench = Bench(CountingEmbedder(fails), batch_chunks=1)
    report = await bench.ingest("docs", run=RunOptions(sync=True))
    assert report.added == [f"docs/{number:02}.md" for number in range(5)]
    assert len(report.failed) == PROVIDER_ERRORS
    assert report.deleted == []
    assert "delete" not in bench.index.calls


async def test_one_failing_batch_between_good_ones_does_not_stop_a_run() -> None:
    seen = 0

    def fails(text: str) -> Exception | None:
        nonlocal seen
        seen += 1
        return ProviderError("busy", provider="tei") if seen % 2 else None

    bench = Bench(CountingEmbedder(fails), batch_chunks=1)
    report = await bench.ingest([(f"{n}", f"number {n}") for n in range(20)])
    assert (len(report.added), len(report.failed), report.stopped) == (10, 10, "")


async def test_an_embedder_that_always_raises_stops_the_run() -> None:
    bench = Bench(CountingEmbedder(lambda text: ValueError(f"broken: {text}")), batch_chunks=1)
    report = await bench.ingest([(f"{n}", f"number {n}") for n in range(50)])
    assert len(report.failed) == OTHER_ERRORS
    assert "Stopped after repeated failures, the last: ValueError: broken" in report.stopped


async def test_an_iterable_that_fails_stops_the_run_after_what_it_gave() -> None:
    def failing() -> Iterator[SingleItem]:
        yield ("a", "text")
        raise KeyError("lost")

    bench = Bench()
    report = await bench.ingest(failing(), run=RunOptions(sync=True))
    assert report.added == ["a"]
    assert report.stopped == "The iterable of sources failed: KeyError: 'lost'"


async def test_an_iterable_that_fails_with_an_error_of_ragkit_stops_the_run_no_differently() -> (
    None
):
    def failing() -> Iterator[SingleItem]:
        yield ("a", "text")
        raise InputError("row 2 is none. Fix: mend it.")

    async def failing_later() -> AsyncIterator[SingleItem]:
        for item in failing():
            yield item

    for items in (failing(), failing_later()):
        bench = Bench()
        report = await bench.ingest(items, run=RunOptions(sync=True))
        assert report.added == ["a"]
        assert report.stopped == "The iterable of sources failed: row 2 is none. Fix: mend it."


async def test_a_path_that_is_not_there_raises_unless_others_are() -> None:
    bench = Bench()
    with pytest.raises(InputError, match=r"No file or folder at .*no_such_folder'\. Fix:"):
        await bench.ingest("no_such_folder")
    _write(a="alpha")
    report = await bench.ingest("docs", "no_such_folder")
    assert (report.added, [failure.uri for failure in report.failed]) == (
        ["docs/a.md"],
        ["no_such_folder"],
    )


async def test_a_folder_of_other_formats_is_no_success() -> None:
    Path("docs/a.xyz").write_text("x")
    report = await Bench().ingest("docs")
    assert not report.ok
    assert report.skipped == ["docs/a.xyz"]
    assert "no file of a format that ragkit reads" in report.failed[0].reason


class _OddEmbedder(CountingEmbedder):
    """An embedder that gives whatever a function makes of good vectors."""

    def __init__(self, made: Callable[[FloatArray], object]) -> None:
        super().__init__()
        self._made = made

    async def embed(
        self,
        texts: Sequence[str],
        *,
        task: Task = "passage",
        on_truncated: Callable[[int, int], None] | None = None,
    ) -> FloatArray:
        good = await super().embed(texts, task=task, on_truncated=on_truncated)
        return self._made(good)  # type: ignore[return-value]  # pyright: ignore[reportReturnType]


WRONG_OUTPUTS: list[tuple[Callable[[FloatArray], object], str]] = [
    (lambda good: good.tolist(), "returned a list"),
    (lambda good: good[:, :10], r"returned an array of float32 and shape \(2, 10\)"),
    (lambda good: good[:1], r"returned an array of float32 and shape \(1, 64\)"),
    (lambda good: good.astype(int), "returned an array of int64"),
    (lambda good: good * 3, "a vector of length 3.000. Fix: scale"),
]


@pytest.mark.parametrize(("made", "message"), WRONG_OUTPUTS)
async def test_an_embedder_with_a_wrong_output_is_refused(
    made: Callable[[FloatArray], object], message: str
) -> None:
    bench = Bench(_OddEmbedder(made))
    with pytest.raises(ConfigError, match=message):
        await bench.ingest([("a", "some text"), ("b", "more text")])
    assert await bench.uris() == set()


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
async def test_a_vector_that_no_search_can_find_fails_its_document(value: float) -> None:
    def made(good: FloatArray) -> FloatArray:
        return good if len(good) > 1 and value == 1 else good * np.float32(value)

    report = await Bench(_OddEmbedder(made)).ingest([("a", "some text")])
    (failure,) = report.failed
    assert failure.uri == "a"
    assert "zero or not finite" in failure.reason


# Dry runs, tenants, other writers


async def test_a_dry_run_says_what_it_would_do_and_does_nothing() -> None:
    bench = Bench()
    _write(a="alpha one", b="beta two", **{f"{n}": "some words" for n in range(10)})
    await bench.ingest("docs")
    Path("docs/b.md").unlink()
    _write(a="alpha changed", new="five words in this file")
    bench.index.calls.clear()
    embedded = len(bench.embedder.texts)
    report = await bench.ingest("docs", run=RunOptions(sync=True, dry_run=True))
    assert (report.added, report.updated, report.deleted) == (
        ["docs/new.md"],
        ["docs/a.md"],
        ["docs/b.md"],
    )
    assert (report.chunks, report.tokens) == (2, 9)  # two titles of one word each
    assert str(report).startswith("dry run: 1 added, 1 updated, 10 unchanged, 1 deleted")
    assert set(bench.index.calls) <= {"records", "incomplete"}
    assert len(bench.embedder.texts) == embedded
    real = await bench.ingest("docs", run=RunOptions(sync=True))
    assert (real.added, real.updated, real.deleted, real.chunks) == (
        report.added,
        report.updated,
        report.deleted,
        report.chunks,
    )


async def test_tenants_are_apart(rag: AsyncRAG) -> None:
    _write(a="alpha one")
    await rag.ingest("docs", tenant="first")
    assert len(await rag.search("alpha", tenant="first")) == 1
    assert len(await rag.search("alpha", tenant="second")) == 0
    await rag.close()


async def test_a_run_touches_no_document_of_others() -> None:
    bench = Bench()
    await bench.ingest([("theirs", "of another writer")])
    bench.index.calls.clear()
    _write(a="alpha")
    await bench.ingest("docs", run=RunOptions(sync=True))
    assert set(bench.index.calls) <= {"records", "chunks", "commit"}


async def test_documents_made_in_code_are_sources_too(rag: AsyncRAG) -> None:
    document = Document(uri="mem:1", title="One", text="a walrus", content_hash="1")
    twice = replace(document, text="other")
    report = await rag.ingest(document, twice)
    assert (report.added, [item.uri for item in report.failed]) == (["mem:1"], ["mem:1"])
    assert (await rag.ingest(document)).unchanged == ["mem:1"]
    assert (await rag.ingest(replace(document, title="Two"))).updated == ["mem:1"]
    assert (await rag.ingest(replace(document, text="a seal"))).updated == ["mem:1"]
    await rag.close()


async def test_progress_is_reported_to_its_end(tmp_path: Path) -> None:
    steps: list[Progress] = []
    _write(a="alpha", b="beta")
    async with AsyncRAG(
        Settings(),
        index=tmp_path / "index",
        embedder=HashEmbedder(dimensions=64),
        on_progress=steps.append,
    ) as rag:
        await rag.ingest("docs")
    assert {step.phase for step in steps} == {"read", "embed"}
    assert all(step.done <= step.total for step in steps)
    assert any(step.phase == "embed" and step.done == step.total == 2 for step in steps)
    read = [step for step in steps if step.phase == "read"]
    assert (read[-1].done, read[-1].growing, read[-1].left_s) == (2, False, None)
