"""The embedded store: the contract, its folder, other users of it, crashes and full disks."""

# A test may look inside.
# pyright: reportPrivateUsage=false

import asyncio
import json
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, get_args

import pytest
import qdrant_edge as qe

from ragkit.core.errors import (
    ConfigError,
    IndexLocked,
    IndexMismatch,
    InputError,
    ProviderError,
)
from ragkit.core.filters import Eq, Range
from ragkit.core.protocols import Entry, Index, Legs
from ragkit.core.types import FieldType, IndexIdentity, Quantization
from ragkit.index import edge_folder, layout
from ragkit.index.edge import EdgeIndex
from ragkit.index.edge_points import chunk_points, vectors_config
from ragkit.index.edge_writer import EdgeWriter
from ragkit.index.integrity import verify
from ragkit.testing.index_contract import IndexContract
from ragkit.testing.index_examples import FIELDS, IDENTITY, find, make_chunk, make_entry


class _Usage(NamedTuple):
    total: int
    used: int
    free: int


class TestEdgeIndex(IndexContract):
    @pytest.fixture
    def tmp_path(self, memory_path: Path) -> Path:
        """Return a folder in memory."""
        return memory_path

    async def open_index(
        self, place: Path, identity: IndexIdentity, fields: Mapping[str, FieldType]
    ) -> EdgeIndex:
        return await EdgeIndex.open(place, identity, fields=fields)

    async def store_chunks(self, index: Index, entry: Entry) -> None:
        assert isinstance(index, EdgeIndex)
        record = replace(entry.record, version=layout.new_version(entry.record.generation))
        points = chunk_points(replace(entry, record=record), IDENTITY)
        with index._store.use() as shard:
            shard.update(qe.UpdateOperation.upsert_points(list(points)))
        index._writer.unfinished = True  # as after a crash that left its note


async def open_and_commit(path: Path, *texts: str) -> EdgeIndex:
    index = await EdgeIndex.open(path, IDENTITY, fields=FIELDS)
    await index.commit([await make_entry("a", *texts)])
    return index


@pytest.mark.parametrize("quantization", get_args(Quantization))
async def test_prefixes_are_quantised_as_the_index_was_created(
    tmp_path: Path, quantization: Quantization
) -> None:
    path = tmp_path / "index"
    await (await EdgeIndex.open(path, IDENTITY, quantization=quantization)).close()
    index = await open_and_commit(path, "wolf", "sheep")
    await index.optimize()
    assert (await find(index, "wolf"))["bm25"] == ["wolf"]
    await index.close()
    stored = json.loads((path / "edge_config.json").read_bytes())["vectors"]["search"]
    kinds = {"int8": ["scalar"], "binary": ["binary"], "none": []}
    assert list(stored.get("quantization_config") or {}) == kinds[quantization]


# The folder


async def test_everything_is_there_after_closing_and_opening(tmp_path: Path) -> None:
    index = await open_and_commit(tmp_path / "index", "wolf", "sheep")
    found, records = await find(index, "wolf"), await index.records()
    await index.close()
    again = await EdgeIndex.open(tmp_path / "index", IDENTITY, create=False)
    assert await find(again, "wolf") == found
    assert await again.records() == records
    assert again.identity == IDENTITY
    assert again.fields["year"] == "integer"
    await again.close()


async def test_everything_is_there_after_a_kill(tmp_path: Path) -> None:
    code = f"""
import asyncio, os, signal, pathlib
from ragkit.index.edge import EdgeIndex
from ragkit.testing.index_examples import FIELDS, IDENTITY, make_entry
async def main():
    index = await EdgeIndex.open(pathlib.Path({str(tmp_path / "index")!r}), IDENTITY, fields=FIELDS)
    await index.commit([await make_entry("a", "wolf", "sheep")])
    os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(main())
"""
    done = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", code], check=False)
    assert done.returncode == -9
    index = await EdgeIndex.open(tmp_path / "index", IDENTITY)
    assert set((await find(index, "wolf"))["dense"]) == {"wolf", "sheep"}
    assert (await find(index, "wolf"))["bm25"] == ["wolf"]
    assert await verify(index) == []
    await index.close()


async def test_a_missing_index_is_named_with_the_command_that_makes_it(tmp_path: Path) -> None:
    path = tmp_path / "none"
    with pytest.raises(InputError, match=rf"'{path}'.*ragkit ingest PATH --index {path}"):
        await EdgeIndex.open(path, IDENTITY, create=False)
    assert not path.exists()


async def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(InputError, match=rf"'{tmp_path}' holds other files"):
        await EdgeIndex.open(tmp_path, IDENTITY)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    with pytest.raises(InputError, match="holds other files"):
        await EdgeIndex.open(tmp_path / "thesis.txt", IDENTITY)


async def test_an_empty_folder_becomes_an_index(tmp_path: Path) -> None:
    index = await EdgeIndex.open(tmp_path, IDENTITY)
    await index.close()


async def test_a_shard_that_is_not_ragkits_is_refused_and_released(tmp_path: Path) -> None:
    config = qe.EdgeConfig(vectors={"": qe.EdgeVectorParams(size=4, distance=qe.Distance.Cosine)})
    qe.EdgeShard.create(str(tmp_path), config).close()
    for _ in range(2):
        with pytest.raises(IndexMismatch, match=rf"'{tmp_path}'.*not one of ragkit's"):
            await EdgeIndex.open(tmp_path, IDENTITY)


async def test_a_damaged_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "edge_config.json").write_text("{")
    with pytest.raises(ProviderError, match=str(tmp_path)) as caught:
        await EdgeIndex.open(tmp_path, IDENTITY)
    assert (caught.value.provider, caught.value.retryable) == ("qdrant-edge", False)


async def test_an_interrupted_creation_leaves_no_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    path = tmp_path / "deep" / "index"
    with monkeypatch.context() as patch:
        patch.setattr(edge_folder, "store_fields", interrupt)
        with pytest.raises(KeyboardInterrupt):
            edge_folder.create(path, IDENTITY, {}, vectors_config(IDENTITY, "int8"))
    assert list(path.parent.iterdir()) == []
    index = await EdgeIndex.open(path, IDENTITY)
    await index.close()


async def test_any_number_that_create_at_once_share_the_index(tmp_path: Path) -> None:
    path = tmp_path / "index"
    indexes = await asyncio.gather(*(EdgeIndex.open(path, IDENTITY) for _ in range(4)))
    for number, index in enumerate(indexes):
        await index.commit([await make_entry(f"doc-{number}", f"wolf {number}")])
    for index in indexes:
        assert len((await find(index, "wolf"))["bm25"]) == 4
        await index.close()
    assert [item.name for item in tmp_path.iterdir()] == ["index"]


# Two users of one folder


async def test_a_second_opener_reads_and_writes_beside_the_first(tmp_path: Path) -> None:
    first = await open_and_commit(tmp_path, "wolf")
    second = await EdgeIndex.open(tmp_path, IDENTITY, create=False)
    await second.commit([await make_entry("b", "wolf and sheep")])
    assert set((await find(first, "wolf"))["bm25"]) == {"wolf", "wolf and sheep"}
    await first.delete(["a"])
    assert (await find(second, "wolf"))["bm25"] == ["wolf and sheep"]
    await first.close()
    assert (await find(second, "wolf"))["bm25"] == ["wolf and sheep"]
    await second.close()


async def test_a_tenant_that_another_opener_added_is_not_seen(tmp_path: Path) -> None:
    first = await open_and_commit(tmp_path, "wolf of mine")
    assert (await find(first, "wolf"))["dense"] == ["wolf of mine"]
    second = await EdgeIndex.open(tmp_path, IDENTITY)
    await second.commit([await make_entry("b", "wolf of yours", tenant="you")])
    assert await find(first, "wolf") == {"dense": ["wolf of mine"], "bm25": ["wolf of mine"]}
    await first.close()
    await second.close()


async def test_a_field_that_another_opener_declared_can_be_filtered(tmp_path: Path) -> None:
    first = await EdgeIndex.open(tmp_path, IDENTITY)
    second = await EdgeIndex.open(tmp_path, IDENTITY, fields={"year": "integer"})
    chunk = make_chunk("wolf", uri="a", metadata={"year": 2020})
    await second.commit([await make_entry("a", chunk)])
    await first.records()
    assert (await find(first, "wolf", where=Eq("year", 2020)))["bm25"] == ["wolf"]
    await first.close()
    await second.close()


async def test_an_index_that_stays_in_use_is_locked_and_its_user_is_named(tmp_path: Path) -> None:
    index = await open_and_commit(tmp_path, "wolf")
    with index._store.use():
        message = rf"'{tmp_path}' is in use by process {os.getpid()} \(.*within 0.1 s. Fix: .*6333"
        with pytest.raises(IndexLocked, match=message):
            await EdgeIndex.open(tmp_path, IDENTITY, wait_s=0.1)
    again = await EdgeIndex.open(tmp_path, IDENTITY)
    await again.close()
    assert (await find(index, "wolf"))["bm25"] == ["wolf"]
    await index.close()


READER = """
import asyncio, pathlib, sys, time
from ragkit.index.edge import EdgeIndex
from ragkit.testing.index_examples import IDENTITY, find, make_entry
async def main():
    index = await EdgeIndex.open(pathlib.Path(sys.argv[1]), IDENTITY, wait_s=30)
    for number in range(int(sys.argv[2])):
        found = await find(index, "wolf", depth=1000)
        assert "wolf" in found["bm25"], found
        if len(sys.argv) > 3:
            await index.commit([await make_entry(f"{sys.argv[3]}-{number}", f"wolf {number}")])
    await index.close()
asyncio.run(main())
"""


async def test_other_processes_read_and_write_meanwhile(tmp_path: Path) -> None:
    index = await open_and_commit(tmp_path, "wolf")
    commands = [[sys.executable, "-c", READER, str(tmp_path), "10", name] for name in ("x", "y")]
    processes = [
        await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
        for command in commands
    ]
    running = [asyncio.create_task(process.communicate()) for process in processes]
    number = 0
    while not all(task.done() for task in running):
        await index.commit([await make_entry(f"z-{number}", f"wolf {number}")])
        assert "wolf" in (await find(index, "wolf", depth=1000))["bm25"]
        number += 1
        await asyncio.sleep(0.01)
    for process, task in zip(processes, running, strict=True):
        assert process.returncode == 0, task.result()[1].decode()
    assert len(await index.records()) == 21 + number
    assert await verify(index) == []
    await index.close()


FORKING = """
import asyncio, multiprocessing, os, pathlib, sys
from ragkit.core.sync import run_sync
from ragkit.index.edge import EdgeIndex
from ragkit.testing.index_examples import IDENTITY, find, make_entry
index = run_sync(lambda: EdgeIndex.open(pathlib.Path(sys.argv[1]), IDENTITY))
async def use(uri):
    await index.commit([await make_entry(uri, f"wolf {uri}")])
    return sorted((await find(index, "wolf"))["bm25"])
def child(uri, results):
    results.put(run_sync(lambda: use(uri)))
print(run_sync(lambda: use("parent")))
results = multiprocessing.get_context("fork").SimpleQueue()
for uri in ("one", "two"):
    process = multiprocessing.get_context("fork").Process(target=child, args=(uri, results))
    process.start()
    print(results.get())
    process.join()
    assert process.exitcode == 0
with index._store.use():
    process = multiprocessing.get_context("fork").Process(target=child, args=("three", results))
    process.start()
print(results.get())
process.join()
print(run_sync(lambda: use("last")))
run_sync(index.close)
"""


async def test_a_forked_child_opens_the_index_for_itself(tmp_path: Path) -> None:
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", FORKING, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    lines = [len(line.split(",")) for line in done.stdout.splitlines()]
    assert lines == [1, 2, 3, 4, 5]


async def test_a_refused_opening_releases_the_lock(tmp_path: Path) -> None:
    await (await EdgeIndex.open(tmp_path, IDENTITY)).close()
    with pytest.raises(IndexMismatch):
        await EdgeIndex.open(tmp_path, replace(IDENTITY, language="german"))
    index = await EdgeIndex.open(tmp_path, IDENTITY)
    await index.close()


# Identity and fields


async def test_another_model_is_refused_naming_every_difference(tmp_path: Path) -> None:
    await (await open_and_commit(tmp_path, "wolf")).close()
    other = replace(IDENTITY, embedder="bert", dimensions=8, search_dimensions=8)
    with pytest.raises(IndexMismatch) as caught:
        await EdgeIndex.open(tmp_path, other)
    message = str(caught.value)
    assert f"{str(tmp_path)!r} was built differently" in message
    assert "embedder is 'hash' in the index and 'bert' in the settings" in message
    assert "search_dimensions is 16 in the index and 8 in the settings" in message
    assert "language" not in message
    assert f"with these settings (ragkit reindex --index {tmp_path})" in message


async def test_a_field_declared_later_filters_old_chunks_and_new(tmp_path: Path) -> None:
    index = await EdgeIndex.open(tmp_path, IDENTITY, fields={"lang": "keyword"})
    old = make_chunk("wolf old", uri="old", metadata={"year": 2020})
    await index.commit([await make_entry("old", old)])
    with pytest.raises(InputError, match="'year'"):
        await find(index, "wolf", where=Eq("year", 2020))
    await index.close()

    index = await EdgeIndex.open(tmp_path, IDENTITY, fields={"year": "integer"})
    new = make_chunk("wolf new", uri="new", metadata={"year": 2021, "lang": "en"})
    odd = make_chunk("wolf odd", uri="odd", metadata={"year": "unknown"})
    await index.commit([await make_entry("new", new), await make_entry("odd", odd)])
    found = await find(index, "wolf", where=Range(field="year", gte=2020))
    assert set(found["bm25"]) == set(found["dense"]) == {"wolf old", "wolf new"}
    assert (await find(index, "wolf", where=Eq("year", 2020)))["bm25"] == ["wolf old"]
    await index.close()

    index = await EdgeIndex.open(tmp_path, IDENTITY)
    assert (index.fields["year"], index.fields["lang"]) == ("integer", "keyword")
    await index.close()


async def test_a_field_declared_with_another_type_is_refused(tmp_path: Path) -> None:
    await (await EdgeIndex.open(tmp_path, IDENTITY, fields={"year": "integer"})).close()
    with pytest.raises(IndexMismatch, match="'year' is stored as integer and declared as keyword"):
        await EdgeIndex.open(tmp_path, IDENTITY, fields={"year": "keyword"})


async def test_a_field_that_cannot_be_named_or_is_built_in_is_refused(tmp_path: Path) -> None:
    for fields in ({"a b": "keyword"}, {"page": "keyword"}):
        with pytest.raises(ConfigError, match=repr(next(iter(fields)))):
            await EdgeIndex.open(tmp_path, IDENTITY, fields=fields)  # type: ignore[arg-type]


# Crashes


class Crash(Exception):
    """Stands for the end of the process."""


def crash_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Raise `Crash` instead of a write of the engine, counted from 0."""
    steps = iter(range(100))

    def crashing(real: Any) -> Callable[..., None]:
        def write(self: EdgeWriter, *args: Any) -> None:
            if next(steps) == step:
                raise Crash
            real(self, *args)

        return write

    for name in ("_upsert_batch", "_delete", "_forget"):
        monkeypatch.setattr(EdgeWriter, name, crashing(getattr(EdgeWriter, name)))


@pytest.mark.parametrize("reopened", [False, True])
@pytest.mark.parametrize("step", range(4))
async def test_a_crash_between_two_steps_of_a_commit_leaves_one_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int, reopened: bool
) -> None:
    """Before the chunks, the record, the old version's deletion, and the end of the change."""
    index = await open_and_commit(tmp_path, "wolf old", "sheep old")
    (old,) = await index.records()
    new = await make_entry("a", "wolf new")
    with monkeypatch.context() as patch:
        crash_at(patch, step)
        with pytest.raises(Crash):
            await index.commit([new])
    if reopened:
        await index.close()
        index = await EdgeIndex.open(tmp_path, IDENTITY)
    record, text = (old, "wolf old") if step < 2 else (new.record, "wolf new")
    assert await index.records() == [record]
    assert (await find(index, "wolf"))["bm25"] == [text]
    texts = [chunk.text for chunk in await index.chunks(["a"])]
    assert texts == (["wolf old", "sheep old"] if step < 2 else ["wolf new"])
    assert set((await find(index, "wolf"))["dense"]) == set(texts)
    assert await verify(index) == []
    await index.commit([new])
    assert await find(index, "wolf") == {"dense": ["wolf new"], "bm25": ["wolf new"]}
    assert [one.generation for one in await index.versions()] == [new.record.generation]
    await index.close()


@pytest.mark.parametrize("step", range(4))
async def test_a_crash_in_a_deletion_leaves_the_document_or_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    index = await open_and_commit(tmp_path, "wolf", "sheep")
    with monkeypatch.context() as patch:
        crash_at(patch, step)
        with pytest.raises(Crash):
            await index.delete(["a"])
    await index.close()
    index = await EdgeIndex.open(tmp_path, IDENTITY)
    there = bool(await index.records())
    assert there == (step < 2)
    assert len(await index.versions()) == there
    assert (await find(index, "wolf"))["bm25"] == ["wolf"] * there
    assert await verify(index) == []
    await index.close()


async def test_a_crash_in_an_update_of_metadata_loses_no_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = await EdgeIndex.open(tmp_path, IDENTITY, fields=FIELDS)
    old, new = [
        await make_entry("a", make_chunk("wolf", uri="a", metadata={"lang": lang}))
        for lang in ("en", "de")
    ]
    await index.commit([old])
    for step in range(4):
        with monkeypatch.context() as patch:
            crash_at(patch, step)
            with pytest.raises(Crash):
                await index.commit([new])
        (chunk,) = await index.chunks(["a"])
        assert chunk.metadata in [{"lang": "en"}, {"lang": "de"}]
        found = await find(index, "wolf", where=Eq("lang", str(chunk.metadata["lang"])))
        assert found == {"dense": ["wolf"], "bm25": ["wolf"]}
    await index.close()


async def test_what_a_failed_commit_left_of_a_tenant_is_not_seen_by_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = await open_and_commit(tmp_path, "wolf of mine")
    yours = await make_entry("b", "wolf of yours", tenant="you")
    with monkeypatch.context() as patch:
        crash_at(patch, 1)
        with pytest.raises(Crash):
            await index.commit([yours])
    assert [one.pending for one in await index.versions(tenant="you")] == [True]
    assert await find(index, "wolf") == {"dense": ["wolf of mine"], "bm25": ["wolf of mine"]}
    assert await find(index, "wolf", tenant="you") == {"dense": [], "bm25": []}
    await index.close()


async def test_a_tenant_that_comes_during_a_search_is_not_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = await open_and_commit(tmp_path, "wolf of mine")
    yours = await make_entry("b", "wolf of yours", tenant="you")
    commit_before_ranking(monkeypatch, [yours])
    assert await find(index, "wolf") == {"dense": ["wolf of mine"], "bm25": ["wolf of mine"]}
    await index.close()


async def test_a_document_that_is_replaced_during_a_search_is_found_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = await open_and_commit(tmp_path, "wolf old", "wolf older")
    commit_before_ranking(monkeypatch, [await make_entry("a", "wolf new")])
    assert await find(index, "wolf") == {"dense": ["wolf new"], "bm25": ["wolf new"]}
    await index.close()


def commit_before_ranking(monkeypatch: pytest.MonkeyPatch, entries: list[Entry]) -> None:
    """Commit entries once, after a search has begun and before its legs are run."""
    real, waiting = EdgeIndex._ranked, list(entries)

    def slow(self: EdgeIndex, shard: qe.EdgeShard, *args: Any, **options: Any) -> Legs:
        if waiting:
            self._writer.commit(shard, [waiting.pop()])
        return real(self, shard, *args, **options)

    monkeypatch.setattr(EdgeIndex, "_ranked", slow)


# A full disk


def report_free(monkeypatch: pytest.MonkeyPatch, mebibytes: int) -> None:
    def usage(_: object) -> _Usage:
        return _Usage(0, 0, mebibytes << 20)

    monkeypatch.setattr(shutil, "disk_usage", usage)


async def test_nothing_is_written_to_a_disk_that_is_nearly_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = await open_and_commit(tmp_path, "wolf")
    with monkeypatch.context() as patch:
        report_free(patch, 100)
        message = rf"'{tmp_path}': 100 MiB free, 128 MiB needed for 'b'.*What was stored is intact"
        with pytest.raises(ProviderError, match=message) as caught:
            await index.commit([await make_entry("b", "sheep")])
        assert caught.value.provider == "qdrant-edge"
        for change in (index.delete(["a"]), index.drop(await index.versions())):
            with pytest.raises(ProviderError, match="MiB needed for a deletion"):
                await change
        assert (await find(index, "wolf"))["bm25"] == ["wolf"]
    await index.commit([await make_entry("b", "sheep")])
    assert (await find(index, "sheep"))["bm25"] == ["sheep"]
    await index.close()


async def test_a_big_batch_needs_its_own_space_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = await EdgeIndex.open(tmp_path, IDENTITY)
    report_free(monkeypatch, 130)
    with pytest.raises(ProviderError, match="132 MiB needed for 'b'"):
        await index.commit([await make_entry("b", "x" * 2**20)])
    await index.close()


async def test_no_index_is_made_on_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report_free(monkeypatch, 1)
    with pytest.raises(ProviderError, match="needed for a new index"):
        await EdgeIndex.open(tmp_path / "index", IDENTITY)
    assert list(tmp_path.iterdir()) == []


async def test_optimizing_is_left_out_on_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    index = await open_and_commit(tmp_path, "wolf")
    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING):
        report_free(patch, 100)
        await index.optimize()
    assert "left unoptimized: 100 MiB free" in caplog.text
    assert (await find(index, "wolf"))["bm25"] == ["wolf"]
    await index.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of half a gibibyte, where the machine lets us mount one."""
    path = tmp_path / "disk"
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=512m", "tmpfs", str(path)]
    if os.geteuid() != 0 or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("mounting a small tmpfs takes root")
    yield path
    subprocess.run(["umount", "-l", str(path)], check=True)


async def test_a_mount_point_is_refused_with_a_way_out(small_disk: Path) -> None:
    with pytest.raises(InputError, match="choose a folder inside"):
        await EdgeIndex.open(small_disk, IDENTITY)


async def test_the_working_folder_is_refused_with_a_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="name a folder in it"):
        await EdgeIndex.open(Path(), IDENTITY)


async def test_a_disk_that_really_fills_up_keeps_what_was_stored(small_disk: Path) -> None:
    index = await open_and_commit(small_disk / "index", "wolf")
    stored = ["a"]

    async def fill() -> None:
        while len(stored) < 100:
            uri = f"big-{len(stored)}"
            text = f"sheep {uri} " + "x" * 2**23
            await index.commit([await make_entry(uri, text, vectors=False)])
            stored.append(uri)

    with pytest.raises(ProviderError, match="Not enough space"):
        await fill()
    assert len(stored) > 2
    # Something else takes the rest, to the last byte.
    with pytest.raises(OSError, match="No space left"):
        (small_disk / "filler").write_bytes(bytes(2**29))
    assert shutil.disk_usage(small_disk).free == 0
    with pytest.raises(ProviderError, match="Not enough space"):
        await index.commit([await make_entry("late", "cow")])
    assert (await find(index, "wolf"))["bm25"] == ["wolf"]
    await index.close()
    (small_disk / "filler").unlink()

    again = await EdgeIndex.open(small_disk / "index", IDENTITY)
    assert sorted(record.uri for record in await again.records()) == sorted(stored)
    assert await verify(again) == []
    await again.close()
