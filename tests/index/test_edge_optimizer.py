"""Optimization of a copy, while the index is searched and written."""

# A test may look inside.
# pyright: reportPrivateUsage=false

import asyncio
import errno
import fcntl
import logging
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ragkit.core.errors import ProviderError
from ragkit.core.protocols import Entry
from ragkit.core.vectors import unit
from ragkit.index import edge_folder, edge_optimizer
from ragkit.index.edge import EdgeIndex
from ragkit.index.edge_optimizer import EdgeOptimizer
from ragkit.index.integrity import verify
from ragkit.testing import index_examples
from ragkit.testing.index_examples import find, make_entry

DIMENSIONS = 1024
IDENTITY = replace(index_examples.IDENTITY, dimensions=DIMENSIONS, search_dimensions=32)
ENOUGH = 5_200
"""Chunks from which on the engine builds a graph, at these dimensions."""


async def entry_of(uri: str, *texts: str) -> Entry:
    entry = await make_entry(uri, *texts, vectors=False)
    draw = np.random.default_rng(len(uri))
    return replace(
        entry, vectors=unit(draw.normal(size=(len(texts), DIMENSIONS)).astype(np.float32))
    )


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with enough chunks for a graph, which it has not yet."""
    folder = tmp_path_factory.mktemp("filled") / "index"

    async def fill() -> None:
        index = await EdgeIndex.open(folder, IDENTITY)
        for first in range(0, ENOUGH, 400):
            texts = [f"wolf {number}" for number in range(first, first + 400)]
            await index.commit([await entry_of(f"doc-{first}", *texts)])
        await index.close()

    asyncio.run(fill())
    return folder


@pytest.fixture
async def index(filled: Path, tmp_path: Path) -> EdgeIndex:
    subprocess.run(["cp", "-r", str(filled), str(tmp_path / "index")], check=True)
    return await EdgeIndex.open(tmp_path / "index", IDENTITY, create=False)


def indexed(index: EdgeIndex) -> int:
    with index._store.use() as shard:
        return shard.info().indexed_vectors_count


def meanwhile(monkeypatch: pytest.MonkeyPatch, job: Callable[[], object]) -> None:
    """Let a job be done between the copying and the optimization."""
    optimized = EdgeOptimizer._is_optimized

    def first_the_job(self: EdgeOptimizer, lock: int) -> bool:
        job()
        return optimized(self, lock)

    monkeypatch.setattr(EdgeOptimizer, "_is_optimized", first_the_job)


OTHER = """
import asyncio, pathlib, sys
from dataclasses import replace
from ragkit.core.protocols import LegQuery
from ragkit.index.edge import EdgeIndex
from ragkit.testing import index_examples
identity = replace(index_examples.IDENTITY, dimensions=1024, search_dimensions=32)
async def main():
    index = await EdgeIndex.open(pathlib.Path(sys.argv[1]), identity, wait_s=0.5)
    assert len((await index.search(LegQuery(text="wolf", depth=10))).bm25) == 10
    if sys.argv[2] == "write":
        await index.commit([await index_examples.make_entry("new", "a zebra", vectors=False)])
    await index.close()
asyncio.run(main())
"""


@pytest.mark.parametrize("action", ["search", "write"])
async def test_another_process_searches_and_writes_meanwhile(
    index: EdgeIndex, monkeypatch: pytest.MonkeyPatch, action: str
) -> None:
    command = [sys.executable, "-c", OTHER, str(index._path), action]
    meanwhile(monkeypatch, lambda: subprocess.run(command, check=True))
    before = await index.records()
    assert indexed(index) == 0
    await index.optimize()
    if action == "write":
        # The copy does not have what was written: it is thrown away, and the next call makes one.
        assert (await find(index, "zebra", vectors=False))["bm25"] == ["a zebra"]
        assert indexed(index) == 0
        monkeypatch.undo()
        await index.optimize()
        assert (await find(index, "zebra", vectors=False))["bm25"] == ["a zebra"]
        before = await index.records()
    assert indexed(index) > 0
    assert await index.records() == before
    assert await verify(index) == []
    assert len(await index.chunks(["doc-0"])) == 400
    left = {item.name for item in index._path.iterdir()}
    assert left.isdisjoint({edge_folder.COPY, "ragkit.next", "ragkit.replaced"})
    await index.close()


async def test_this_process_searches_and_writes_meanwhile(
    index: EdgeIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    entry = await entry_of("new", "a zebra")

    def write() -> None:
        asyncio.run_coroutine_threadsafe(index.commit([entry]), loop).result()

    meanwhile(monkeypatch, write)
    await index.optimize()
    assert (await find(index, "zebra", vectors=False))["bm25"] == ["a zebra"]
    assert await verify(index) == []
    await index.close()


async def test_it_is_done_again_only_after_a_tenth_was_written(index: EdgeIndex) -> None:
    await index.optimize()
    runs = list[int]()

    def run(_: EdgeOptimizer, lock: int) -> bool:
        runs.append(lock)
        return False

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EdgeOptimizer, "_is_optimized", run)
        await index.optimize()
        await index.commit([await entry_of("few", *(f"cow {n}" for n in range(100)))])
        await index.touch(await index.records(["few"]))
        await index.optimize()
        assert runs == []
        await index.commit([await entry_of("more", *(f"cow {n}" for n in range(400)))])
        assert await index.delete(["few"]) == 1
        await index.optimize()
        assert len(runs) == 1
    await index.close()


async def test_a_small_index_needs_no_graph(tmp_path: Path) -> None:
    index = await EdgeIndex.open(tmp_path, IDENTITY)
    await index.commit([await entry_of("a", "wolf")])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(edge_folder, "copy", None)
        await index.optimize()
    await index.close()


async def test_one_process_optimizes_at_a_time(index: EdgeIndex) -> None:
    with (index._path / edge_optimizer._LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        await index.optimize()
        assert indexed(index) == 0
    await index.optimize()
    assert indexed(index) > 0
    await index.close()


async def test_an_optimizer_that_ends_early_leaves_the_index_as_it_was(
    index: EdgeIndex, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(edge_optimizer, "_PROGRAM", "import sys; sys.exit('no memory')")
    with caplog.at_level(logging.WARNING):
        await index.optimize()
    assert "left unoptimized: the optimizer ended with 1. no memory" in caplog.text
    assert indexed(index) == 0
    assert await verify(index) == []
    await index.close()


async def test_what_a_killed_optimizer_left_is_removed_before_space_is_checked(
    index: EdgeIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = index._path / edge_folder.COPY
    copy.mkdir()
    (copy / "half").write_bytes(b"x")
    monkeypatch.setattr(edge_folder, "MIN_FREE_BYTES", 2**62)  # the disk is full
    await index.optimize()
    assert not copy.exists()
    await index.close()


async def test_a_copy_that_fails_leaves_nothing(
    index: EdgeIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copytree", full)
    with pytest.raises(ProviderError, match="No space left"):
        await index.optimize()
    assert not (index._path / edge_folder.COPY).exists()
    assert await verify(index) == []
    await index.close()


async def test_a_module_in_the_working_folder_is_not_the_engine(
    index: EdgeIndex, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "qdrant_edge.py").write_text("raise SystemExit('not the engine')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    await index.optimize()
    assert indexed(index) > 0
    await index.close()


def test_counts_of_writes_survive_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edge_folder.count_writes(tmp_path, 5)
    written = Path.write_text

    def full(path: Path, text: str) -> int:
        written(path, "")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space left"):
        edge_folder.count_writes(tmp_path, 5)
    assert edge_folder.read_writes(tmp_path).total == 5


class Killed(BaseException):
    """Stands for SIGKILL."""


@pytest.mark.parametrize("step", range(7))
async def test_a_crash_while_the_copy_takes_its_place_loses_nothing(
    index: EdgeIndex, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    before = await index.records()
    calls = list[str]()

    def stopping(name: str, real: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **options: object) -> object:
            if len(calls) == step:
                raise Killed
            calls.append(name)
            return real(*args, **options)

        return call

    monkeypatch.setattr(edge_optimizer, "_PROGRAM", "")  # the copy is as good as the original
    taken = edge_folder.take_copy

    def take(path: Path) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", stopping("replace", Path.replace))
            patch.setattr(shutil, "rmtree", stopping("rmtree", shutil.rmtree))
            # A process that is killed removes nothing afterwards.
            monkeypatch.setattr(edge_folder, "remove_copies", Path.exists)
            taken(path)

    monkeypatch.setattr(edge_folder, "take_copy", take)
    with pytest.raises(Killed):
        await index.optimize()
    await index.close()
    again = await EdgeIndex.open(index._path, IDENTITY, create=False)
    assert await again.records() == before
    assert await verify(again) == []
    assert len(await again.chunks(["doc-0"])) == 400
    assert not (index._path / "ragkit.next").exists()
    await again.close()
