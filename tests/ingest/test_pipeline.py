from dataclasses import replace
from pathlib import Path

import pytest

from ragkit import AsyncRAG, Document, ProviderError, Settings
from ragkit.core.protocols import Entry, LegQuery, Progress
from ragkit.core.settings import IndexSettings, IngestSettings
from ragkit.index.edge import EdgeIndex
from ragkit.testing.embedder import HashEmbedder


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("docs").mkdir()


@pytest.fixture
async def rag(tmp_path: Path) -> "AsyncRAG":
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


async def test_sync_deletes_what_is_gone_from_its_folder_and_nothing_else(rag: AsyncRAG) -> None:
    Path("other").mkdir()
    Path("other/keep.md").write_text("kept")
    _write(a="alpha", b="beta")
    await rag.ingest("docs", "other")
    Path("docs/a.md").unlink()
    assert (await rag.ingest("docs")).deleted == []
    assert (await rag.ingest("docs", sync=True)).deleted == ["docs/a.md"]
    assert {item.uri for item in await rag.documents()} == {"docs/b.md", "other/keep.md"}
    await rag.close()


async def test_sync_with_a_folder_that_is_not_there_deletes_nothing(rag: AsyncRAG) -> None:
    _write(a="alpha")
    await rag.ingest("docs")
    Path("docs").rename("elsewhere")
    report = await rag.ingest("docs", sync=True)
    assert (report.deleted, [failure.uri for failure in report.failed]) == ([], ["docs"])
    await rag.close()


async def test_bad_files_are_reported_and_the_rest_is_done(rag: AsyncRAG) -> None:
    _write(good="fine words", year="---\nyear: soon\n---\ntext")
    Path("docs/empty.txt").write_bytes(b"")
    Path("docs/binary.txt").write_bytes(bytes(range(256)) * 10)
    Path("docs/latin.txt").write_bytes("Größe".encode("latin-1"))
    Path("docs/cut.pdf").write_bytes(b"%PDF-1.7\n1 0 obj")
    with Path("docs/huge.txt").open("wb") as file:
        file.truncate(100 * 2**20)
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


async def test_a_document_that_no_longer_loads_keeps_its_old_version(rag: AsyncRAG) -> None:
    _write(a="zebra stripes")
    await rag.ingest("docs")
    Path("docs/a.md").write_bytes(b"\xff\xff broken")
    report = await rag.ingest("docs", sync=True)
    assert [failure.uri for failure in report.failed] == ["docs/a.md"]
    assert "docs/a.md" in await _found(rag, "zebra")
    await rag.close()


async def test_a_failing_store_fails_its_batch_and_the_next_one_goes_on(
    rag: AsyncRAG, monkeypatch: pytest.MonkeyPatch
) -> None:
    rag.settings = rag.settings.model_copy(update={"ingest": IngestSettings(batch_chunks=1)})
    _write(a="alpha", b="beta")
    commit = EdgeIndex.commit

    async def failing(self: EdgeIndex, entries: list[Entry]) -> None:
        if entries[0].record.uri == "docs/a.md":
            raise ProviderError("no space left", provider="qdrant-edge")
        await commit(self, entries)

    monkeypatch.setattr(EdgeIndex, "commit", failing)
    report = await rag.ingest("docs")
    assert [(item.uri, item.reason) for item in report.failed] == [("docs/a.md", "no space left")]
    assert report.added == ["docs/b.md"]
    await rag.close()


async def test_one_document_that_the_store_refuses_leaves_the_rest_of_its_batch(
    rag: AsyncRAG,
) -> None:
    good = Document(uri="good", title="", text="a walrus", content_hash="1")
    bad = Document(uri="bad", title="", text="lone surrogate \ud800", content_hash="2")
    report = await rag.ingest(good, bad)
    assert (report.added, [item.uri for item in report.failed]) == (["good"], ["bad"])
    assert "surrogate" in report.failed[0].reason
    await rag.close()


async def test_documents_made_in_code_are_sources_too(rag: AsyncRAG) -> None:
    document = Document(uri="mem:1", title="One", text="a walrus", content_hash="1")
    twice = replace(document, text="other")
    report = await rag.ingest(document, twice)
    assert (report.added, [item.uri for item in report.failed]) == (["mem:1"], ["mem:1"])
    assert (await rag.ingest(document)).unchanged == ["mem:1"]
    assert (await rag.ingest(replace(document, title="Two"))).updated == ["mem:1"]
    await rag.close()


async def test_metadata_given_for_all_files_is_filterable(rag: AsyncRAG) -> None:
    _write(a="alpha one")
    await rag.ingest("docs", metadata={"year": 2020})
    assert len(await rag.search("alpha", where="year == 2020")) == 1
    assert len(await rag.search("alpha", where="year > 2020")) == 0
    await rag.close()


async def test_tenants_are_apart(rag: AsyncRAG) -> None:
    _write(a="alpha one")
    await rag.ingest("docs", tenant="first")
    assert len(await rag.search("alpha", tenant="first")) == 1
    assert len(await rag.search("alpha", tenant="second")) == 0
    await rag.close()


async def test_what_an_interrupted_run_left_is_mended_by_the_next(rag: AsyncRAG) -> None:
    _write(a="zebra stripes")
    await rag.ingest("docs")
    index = await rag.index()
    (record,) = await index.records()
    await index.drop_generations([record.generation])
    assert [str(fault.kind) for fault in await rag.verify()] == ["incomplete"]
    report = await rag.ingest("docs")
    assert (report.repaired, report.added) == (1, ["docs/a.md"])
    assert await rag.verify() == []
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
