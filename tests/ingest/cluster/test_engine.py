"""Ingestion over a real Ray cluster on this machine, beside one without it."""

import asyncio
import contextlib
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from ragkit import AsyncRAG, ConfigError, Settings
from ragkit.core.progress import Progress
from ragkit.core.settings import IngestSettings, RaySettings
from ragkit.core.types import Chunk, Document
from ragkit.ingest.chunkers.recursive import RecursiveChunker
from ragkit.ingest.cluster.ray_cluster import RayCluster
from ragkit.ingest.report import IngestReport
from ragkit.testing import HashEmbedder
from tests.ingest.fuzz import examples

pytest.importorskip("ray")
pytestmark = pytest.mark.xdist_group("ray")
LARGE_PAGE = f"<p>{'<b>some words of a page</b> ' * 20_000}</p>".encode()


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    """A cluster that is started once, as the first ingestion would start it."""
    joined = RayCluster(RaySettings())
    asyncio.run(joined.shape())
    yield
    asyncio.run(joined.close())


def _rag(index: str | Path, *, engine: str = "ray", **settings: object) -> AsyncRAG:
    config = {"engine": engine, "chunk_tokens": 40, "batch_chunks": 200, **settings}
    config["ray"] = {"parsers": 2, "embedders": 2}
    return AsyncRAG(
        Settings(ingest=IngestSettings.model_validate(config)),
        index=index,
        embedder=HashEmbedder(dimensions=64),
    )


async def _contents(rag: AsyncRAG) -> list[object]:
    index = await rag.index()
    records = sorted(await index.records(), key=lambda record: record.uri)
    chunks = await index.chunks([record.uri for record in records])
    vectors = await index.vectors([chunk.id for chunk in chunks])
    plain = [repr(replace(record, stamp="", version="")) for record in records]
    return [plain, [repr(chunk) for chunk in chunks], vectors.tolist()]


def _workers() -> list[tuple[str, psutil.Process]]:
    """Return the processes of actors that have begun to work, with their kinds."""
    found: list[tuple[str, psutil.Process]] = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):  # or a zombie
            kind = " ".join(process.cmdline()).removeprefix("ray::").partition("Worker")[0]
            if kind in {"Document", "Embedding"}:
                found.append((kind, process))
    return found


def _plain(report: IngestReport) -> IngestReport:
    return replace(report, seconds=0.0, added=sorted(report.added))


def _documents(folder: Path) -> Path:
    folder.mkdir()
    for extension, data in examples().items():
        (folder / f"a{extension}").write_bytes(data)
    (folder / "broken.docx").write_bytes(b"PK\x03\x04 broken")
    (folder / "empty.html").write_bytes(b"")
    (folder / "unread.xyz").write_bytes(b"of no format")
    for number in range(10):
        text = f"Müller 第{number}章 กรุงเทพ river {number} " * 60
        (folder / f"{number}.md").write_text(f"# {number}\n\n{text}")
    return folder


async def test_points_and_reports_are_those_of_a_local_run(tmp_path: Path) -> None:
    docs = _documents(tmp_path / "docs")
    local, ray = _rag(tmp_path / "local", engine="local"), _rag(tmp_path / "ray")
    made = Document(uri="made", title="A", text="in code", content_hash="")
    async with local, ray:
        for change in ("first", "unchanged", "edited and gone"):
            if is_changed := change == "edited and gone":
                (docs / "1.md").write_text("# 1\n\nanother text")
                (docs / "a.html").unlink()
            reports = [
                await rag.ingest(docs, made, sync=is_changed, metadata={"year": 2024})
                for rag in (local, ray)
            ]
            assert _plain(reports[0]) == _plain(reports[1])
            assert await _contents(local) == await _contents(ray)
    assert reports[1].deleted == ["docs/a.html"]
    assert reports[1].updated == ["docs/1.md"]
    assert len(reports[1].failed) == 2


async def test_killed_workers_lose_nothing(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    for number in range(60):
        (docs / f"{number:02}.md").write_text(f"# {number}\n\n" + f"river {number} lake " * 300)
    killed: list[str] = []

    def kill(progress: Progress) -> None:
        """Kill a worker of each kind, once there is one and some documents have been read."""
        if progress.done <= 5:
            return
        for kind, process in _workers():
            if kind not in killed:
                process.send_signal(signal.SIGKILL)
                killed.append(kind)

    async with _rag(":memory:", engine="local") as rag:
        await rag.ingest(docs)
        wanted = await _contents(rag)
    async with _rag(":memory:") as rag:
        report = await rag.ingest(docs, on_progress=kill)
        assert await _contents(rag) == wanted
    assert sorted(killed) == ["Document", "Embedding"]
    assert report.ok
    assert len(report.added) == 60


async def test_two_runs_of_a_process_share_the_cluster() -> None:
    first, second = RayCluster(RaySettings()), RayCluster(RaySettings())
    shapes = await asyncio.gather(first.shape(), second.shape())
    await first.close()
    await second.close()
    await second.close()
    assert shapes[0] == shapes[1] == await first.shape()
    await first.close()


async def test_a_document_beyond_its_limits_fails_alone(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    for name, data in [("a.md", b"one"), ("b.html", LARGE_PAGE), ("c.md", b"two")]:
        (docs / name).write_bytes(data)
    async with _rag(":memory:", document_timeout_s=0.001) as rag:
        report = await rag.ingest(docs)
    assert report.added == ["docs/a.md", "docs/c.md"]
    (failure,) = report.failed
    assert "raise ingest.document_timeout_s." in failure.reason


class _Unsendable(RecursiveChunker):
    def __init__(self) -> None:
        super().__init__(HashEmbedder().tokenizer, chunk_tokens=20)
        self.loop = asyncio.Event()
        self.frames = (one for one in "generators cannot be pickled")

    def chunk(self, document: Document, **options: str) -> list[Chunk]:
        return super().chunk(document, **options)


async def test_a_part_that_cannot_be_sent_and_actors_that_do_not_fit_are_named(
    tmp_path: Path,
) -> None:
    (tmp_path / "a.md").write_text("# Lakes")
    config = IngestSettings(engine="ray")
    async with AsyncRAG(
        Settings(ingest=config), index=":memory:", embedder=HashEmbedder(), chunker=_Unsendable()
    ) as rag:
        with pytest.raises(ConfigError, match=r"cannot be sent to other machines.*engine 'local'"):
            await rag.ingest(tmp_path / "a.md")
    ray = RaySettings(embedders=1, gpus_per_embedder=8, start_s=0.5)
    config = IngestSettings(engine="ray", ray=ray)
    async with AsyncRAG(Settings(ingest=config), index=":memory:", embedder=HashEmbedder()) as rag:
        with pytest.raises(ConfigError, match=r"no \w+Worker within 0.5 s.*ingest\.ray"):
            await rag.ingest(tmp_path / "a.md")


async def test_a_run_that_is_cancelled_ends_its_actors(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_bytes(LARGE_PAGE)
    begun = asyncio.Event()
    async with _rag(":memory:") as rag:
        run = asyncio.ensure_future(
            rag.ingest(tmp_path / "a.html", on_progress=lambda _: begun.set())
        )
        await begun.wait()
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
    while _workers():  # Ray ends them soon
        await asyncio.sleep(0.02)
