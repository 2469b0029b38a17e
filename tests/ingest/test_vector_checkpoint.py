"""What was embedded of a large document before a kill is not embedded again, and never shown."""

import asyncio
import errno
import logging
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from ragkit import AsyncRAG, Settings
from ragkit.core.protocols import LegQuery
from ragkit.core.types import FloatArray, Task, TextSpan
from ragkit.ingest import vector_checkpoint
from ragkit.ingest.chunkers.recursive import RecursiveChunker
from ragkit.ingest.vector_checkpoint import VectorCheckpoint, passage_key
from ragkit.testing import HashEmbedder
from ragkit.testing.embedder import WordTokenizer

PASSAGES = 300
TEXT = "\n\n".join(f"Wolf {number} " + "hunts " * 28 for number in range(PASSAGES))


class Counting(HashEmbedder):
    """Counts the passages, and fails before one of them."""

    def __init__(self, *, fail_at: int = 10**9, max_tokens: int = 256) -> None:
        super().__init__(dimensions=64, max_tokens=max_tokens)
        self.count, self._fail_at = 0, fail_at

    async def embed(
        self,
        texts: Sequence[str],
        *,
        task: Task = "passage",
        on_truncated: Callable[[int, int], None] | None = None,
    ) -> FloatArray:
        if task == "passage":
            if self.count + len(texts) > self._fail_at:
                raise OSError(errno.EIO, "the model is gone")
            self.count += len(texts)
        return await super().embed(texts, task=task, on_truncated=on_truncated)


def rag_of(folder: Path, embedder: HashEmbedder) -> AsyncRAG:
    chunker = RecursiveChunker(WordTokenizer(), chunk_tokens=30)
    return AsyncRAG(Settings(), index=folder, embedder=embedder, chunker=chunker)


async def ingested(folder: Path, embedder: HashEmbedder, text: str = TEXT) -> tuple[int, list[str]]:
    """Ingest a small document and a large one; return the passages resumed, and those cut."""
    async with rag_of(folder, embedder) as rag:
        report = await rag.ingest([("small", "A sheep."), ("large", text)])
        return report.resumed, report.truncated


async def vectors(folder: Path) -> FloatArray:
    async with rag_of(folder, HashEmbedder()) as rag:
        index, (record,) = await rag.index(), await rag.documents(["large"])
        return await index.vectors(record.chunk_ids)


@pytest.fixture(autouse=True)
def _large_at_hundred(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vector_checkpoint, "LARGE", 100)


KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
sys.path[:0] = [sys.argv[2]]
from test_vector_checkpoint import Counting, ingested
from ragkit.ingest import vector_checkpoint
vector_checkpoint.LARGE = 100
class Killed(Counting):
    async def embed(self, texts, **options):
        vectors = await super().embed(texts, **options)
        if self.count > 200:
            os.kill(os.getpid(), signal.SIGKILL)
        return vectors
asyncio.run(ingested(Path(sys.argv[1]), Killed()))
"""


async def test_a_killed_ingestion_goes_on_within_a_document(memory_path: Path) -> None:
    place, fresh = memory_path / "index", Counting()
    async with rag_of(place, Counting()) as rag:
        await rag.ingest([("large", "An old wolf.")])
    command = [sys.executable, "-c", KILLED, str(place), str(Path(__file__).parent)]
    killed = await asyncio.to_thread(subprocess.run, command, check=False)
    assert killed.returncode == -signal.SIGKILL
    async with rag_of(place, Counting()) as rag:  # the old version is found, and it alone
        assert [hit.chunk.text for hit in await rag.search("wolf", k=9)] == ["An old wolf."]
        assert await rag.verify() == []
    again = Counting()
    resumed, _ = await ingested(place, again)
    await ingested(memory_path / "fresh", fresh)
    assert resumed >= 100
    assert again.count == fresh.count - resumed
    assert np.array_equal(await vectors(place), await vectors(memory_path / "fresh"))
    assert not (place / "ragkit.vectors").exists()
    assert (await ingested(place, again))[0] == 0


async def broken_off(place: Path) -> Path:
    """Embed a part of the large document; return the file with its vectors."""
    await ingested(place, Counting(fail_at=150))
    (file,) = (place / "ragkit.vectors").iterdir()
    return file


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "foreign"])
async def test_damaged_vectors_are_made_again(memory_path: Path, damage: str) -> None:
    file = await broken_off(memory_path)
    data = bytearray(file.read_bytes())
    if damage == "flipped":
        data[30] ^= 1
    changed = {"cut": data[:-7], "flipped": data, "empty": b"", "foreign": b"{}" * 5000}
    file.write_bytes(bytes(changed[damage]))
    if damage in {"empty", "foreign"}:
        assert (await ingested(memory_path, Counting(fail_at=150)))[0] == 0
    assert (await ingested(memory_path, Counting()))[0] > 0  # the file is usable again
    await ingested(memory_path / "fresh", Counting())
    assert np.array_equal(await vectors(memory_path), await vectors(memory_path / "fresh"))


async def test_another_model_does_not_get_them(memory_path: Path) -> None:
    await broken_off(memory_path / "a")
    (memory_path / "b").mkdir()
    other = HashEmbedder(dimensions=64, passage_prompt="passage: ")
    async with rag_of(memory_path / "b" / "index", other) as rag:
        await rag.ingest([("small", "A sheep.")])
    (memory_path / "a" / "ragkit.vectors").rename(memory_path / "b" / "index" / "ragkit.vectors")
    assert (await ingested(memory_path / "b" / "index", other))[0] == 0


async def test_changed_passages_alone_are_embedded(memory_path: Path) -> None:
    await broken_off(memory_path)
    resumed, _ = await ingested(memory_path, Counting(), TEXT + "\n\nA last wolf.")
    assert resumed > 0


async def test_passages_that_were_cut_are_named_again(memory_path: Path) -> None:
    await ingested(memory_path, Counting(fail_at=150, max_tokens=5))
    assert await ingested(memory_path, Counting(max_tokens=5)) == (0, ["large"])


async def test_a_small_document_leaves_no_file(
    memory_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vector_checkpoint, "LARGE", 10_000)
    await ingested(memory_path, Counting(fail_at=150))
    assert not (memory_path / "ragkit.vectors").exists()


async def test_a_full_disk_stops_the_keeping_and_not_the_ingestion(
    memory_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> bool:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(VectorCheckpoint, "_make_room", full)
    embedder = Counting()
    with caplog.at_level(logging.WARNING):
        assert (await ingested(memory_path, embedder))[0] == 0
    assert caplog.text.count("not kept until the document is stored") == 1
    async with rag_of(memory_path, embedder) as rag:
        legs = await (await rag.index()).search(LegQuery(text="wolf", depth=1000))
        assert len(legs.bm25) == embedder.count - 1


def test_the_oldest_files_make_room(memory_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = 4 + 16 + 4 * 2
    monkeypatch.setattr(vector_checkpoint, "MAX_BYTES", 3 * record)
    one, other = (VectorCheckpoint(memory_path / f"{n}.vectors", dimensions=2) for n in "ab")
    row = np.array([[0.6, 0.8]], dtype=np.float32)
    x, y, odd = (TextSpan(text, 0, 1) for text in ("x", "y", "\ud800"))
    one.add([x, y], np.repeat(row, 2, axis=0))
    other.add([x], row)
    assert len(one.read()) == 2
    other.add([odd], row)
    assert (one.read(), list(other.read())) == ({}, [passage_key(x), passage_key(odd)])
    other.add([y, TextSpan("xy", 1, 2)], np.repeat(row, 2, axis=0))  # more than all that is allowed
    other.add([y], row)
    assert len(other.read()) == 2


def test_a_part_of_a_text_is_another_passage_than_the_text() -> None:
    text = "A wolf. It hunts."
    keys = {passage_key(TextSpan(text, *place)) for place in ((0, 17), (0, 7), (8, 17))}
    assert len(keys) == 3
