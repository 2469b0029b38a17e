"""Documents in worker processes: the same points, and no start method that a caller could break."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from ragkit import AsyncRAG, Document, InputError, Settings
from ragkit.core.protocols import Loader
from ragkit.core.settings import IngestSettings
from ragkit.ingest.loaders import MarkdownLoader
from ragkit.ingest.loaders.html.loader import HtmlLoader
from ragkit.ingest.preparation import ReadSource
from ragkit.ingest.sources.source import LoadCall, OpenedSource
from ragkit.ingest.workers import pool
from ragkit.ingest.workers.pool import SMALL, ParserPool
from ragkit.ingest.workers.process import ParserLimits
from ragkit.testing import HashEmbedder
from tests.ingest.fuzz import examples

LARGE_PAGE = f"<p>{'<b>some words of a page</b> ' * 20_000}</p>".encode()


def _rag(folder: Path, **settings: float) -> AsyncRAG:
    config = IngestSettings.model_validate({"chunk_tokens": 40, "batch_chunks": 4, **settings})
    return AsyncRAG(Settings(ingest=config), index=folder, embedder=HashEmbedder(dimensions=64))


async def _contents(rag: AsyncRAG) -> list[object]:
    index = await rag.index()
    records = sorted(await index.records(), key=lambda record: record.uri)
    chunks = await index.chunks([record.uri for record in records])
    vectors = await index.vectors([chunk.id for chunk in chunks])
    return [[repr(chunk) for chunk in chunks], [r.generation for r in records], vectors.tolist()]


async def test_the_points_are_the_same_with_any_number_of_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "SMALL", 0)  # texts go to workers too
    docs = tmp_path / "docs"
    docs.mkdir()
    for extension, data in examples().items():
        (docs / f"a{extension}").write_bytes(data)
    (docs / "broken.docx").write_bytes(b"PK\x03\x04 broken")
    (docs / "empty.html").write_bytes(b"")
    found: list[object] = []
    for workers in (0, 1, 2):
        async with _rag(tmp_path / f"index{workers}", workers=workers) as rag:
            report = await rag.ingest(docs)
            found.append([report.added, report.failed, await _contents(rag)])
        assert len(report.added) == len(examples())
        assert len(report.failed) == 2
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize(
    "limit", [{"document_timeout_s": 0.001}, {"document_memory_mb": 1}], ids=["time", "memory"]
)
async def test_a_document_beyond_its_limits_fails_alone(
    tmp_path: Path, limit: dict[str, float]
) -> None:
    (tmp_path / "docs").mkdir()
    for name, data in [("a.md", b"one"), ("b.html", LARGE_PAGE), ("c.md", b"two")]:
        (tmp_path / "docs" / name).write_bytes(data)
    async with _rag(tmp_path / "index", **limit) as rag:
        report = await rag.ingest(tmp_path / "docs")
    assert report.added == ["docs/a.md", "docs/c.md"]
    (failure,) = report.failed
    assert failure.uri == "docs/b.html"
    assert f"raise ingest.{next(iter(limit))}." in failure.reason


@pytest.mark.parametrize(
    "limit", [{"document_timeout_s": float("inf")}, {"document_memory_mb": 2**40}, {"workers": -1}]
)
def test_a_limit_that_no_system_could_set_is_refused(limit: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match=next(iter(limit))):
        IngestSettings.model_validate(limit)


async def test_a_process_that_ended_is_replaced() -> None:
    loads = ParserPool(workers=1, limits=ParserLimits(timeout_s=0.001))
    call = LoadCall(loader=HtmlLoader(), data=LARGE_PAGE, uri="a.html")
    opened = OpenedSource(content_hash="", identity="", load=call)
    page = ReadSource(uri="a.html", opened=opened, pipeline="", origin="")
    for _ in range(2):
        with pytest.raises(InputError, match="not read within"):
            await loads.load(page)
    await loads.close()


def test_a_small_text_and_a_loader_of_one_s_own_are_not_taken() -> None:
    class OwnLoader(HtmlLoader):
        pass

    def call(loader: Loader, data: bytes = b"") -> LoadCall:
        return LoadCall(loader=loader, data=data, uri="a")

    loads = ParserPool(workers=1)
    assert loads.takes(call(HtmlLoader()))
    assert loads.takes(call(MarkdownLoader(), b"a" * (SMALL + 1)))
    assert not loads.takes(call(MarkdownLoader(), b"a" * SMALL))
    assert not loads.takes(call(OwnLoader()))
    assert not loads.takes(lambda: Document.from_text("made", uri="b"))
    assert not ParserPool().takes(call(HtmlLoader()))


async def test_a_loader_object_of_a_caller_works_beside_workers(tmp_path: Path) -> None:
    class OwnLoader:
        identity = "own-1"

        def load(self, data: bytes, *, uri: str) -> Document:
            return Document.from_text(f"process {os.getpid()}", uri=uri)

    (tmp_path / "a.foo").write_bytes(b"a")
    embedder = HashEmbedder(dimensions=64)
    loaders = {".foo": OwnLoader()}
    async with AsyncRAG(Settings(), index=":memory:", embedder=embedder, loaders=loaders) as rag:
        assert (await rag.ingest(tmp_path / "a.foo")).ok
        (hit,) = await rag.search("process")
    assert hit.chunk.text == f"process {os.getpid()}"


# There is no `if __name__ == "__main__"`: a start method that imports this again would start over.
SCRIPT = """
import asyncio, os, sys, threading
from pathlib import Path
from ragkit import RAG
from ragkit.testing import HashEmbedder

folder = Path(sys.argv[1])

def ingest(name):
    (folder / f"{name}.html").write_text(f"<p>{name}</p>")
    with RAG(index=folder / f"index-{name}", embedder=HashEmbedder(dimensions=8)) as rag:
        report = rag.ingest(folder / f"{name}.html")
    assert report.ok and len(report.added) == 1, report
    print(name, flush=True)

async def in_a_loop():
    ingest("loop")

ingest("script")
asyncio.run(in_a_loop())
thread = threading.Thread(target=ingest, args=["thread"])
thread.start()
thread.join()
child = os.fork()
if child == 0:
    ingest("fork")
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
"""


def test_it_works_from_a_script_without_a_guard_a_loop_a_thread_and_a_fork(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["script", "loop", "thread", "fork"]
