"""An index is built again beside the one in use, takes its place at once, and loses nothing."""

# A test may look inside.
# pyright: reportPrivateUsage=false

import asyncio
import itertools
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import qdrant_edge as qe

from ragkit import RAG, AsyncRAG, Settings
from ragkit.core.errors import IndexLocked, IndexMismatch, IndexMissing, InputError
from ragkit.core.progress import Progress
from ragkit.core.protocols import Embedder, LegQuery
from ragkit.core.settings import IndexSettings, IngestSettings
from ragkit.core.types import Block, ContextName, Document, FloatArray, IndexIdentity, Task
from ragkit.index import edge_folder
from ragkit.index.build import identity_for
from ragkit.index.edge import EdgeIndex
from ragkit.index.edge_generation import EdgeGeneration
from ragkit.index.edge_writer import EdgeWriter
from ragkit.index.folder_lock import sole
from ragkit.index.memory import MemoryIndex
from ragkit.ingest import rebuild
from ragkit.ingest.chunkers.fixed import FixedChunker
from ragkit.testing import HashEmbedder
from ragkit.testing.embedder import WordTokenizer

OLD, NEW = HashEmbedder(dimensions=64), HashEmbedder(dimensions=96)
TEXTS = {
    "wolf": "The wolf hunts. " * 40,
    "sheep": "Sheep graze in the valley. " * 40,
    "empty": " \n",
    "日本語": "オオカミは羊を食べる。\n\n" * 30,
}


CONTEXTS: tuple[ContextName, ...] = ("none", "model")


class Crash(Exception):
    """Stands for the end of the process."""


def settings(chunk_tokens: int = 60, **index: Any) -> Settings:
    ingest = IngestSettings(batch_chunks=4, chunk_tokens=chunk_tokens)
    return Settings(ingest=ingest, index=IndexSettings(**index))


@asynccontextmanager
async def rag_of(
    folder: Path, embedder: Embedder = NEW, chosen: Settings | None = None
) -> AsyncGenerator[AsyncRAG]:
    async with AsyncRAG(chosen or settings(), index=folder / "index", embedder=embedder) as rag:
        yield rag


async def filled(folder: Path) -> dict[str, object]:
    """Fill an index of the old embedder, and return what one of the new embedder has."""
    for place, embedder in ((folder, OLD), (folder / "fresh", NEW)):
        async with rag_of(place, embedder) as rag:
            assert (await rag.ingest(list(TEXTS.items()))).ok
            await rag.ingest([("other", "A wolf of another tenant.")], tenant="other")
    return await contents(folder / "fresh")


async def contents(folder: Path, embedder: Embedder = NEW) -> dict[str, object]:
    """Return all that must be equal: records, faults, results of searches, in both legs."""
    async with rag_of(folder, embedder) as rag:
        index = await rag.index()
        vector = (await embedder.embed(["wolf valley"], task="query"))[0]
        legs = await index.search(LegQuery(vector=vector, text="wolf valley", depth=100))
        return {
            "records": sorted(
                map(repr, [await bare(index, tenant) for tenant in ("default", "other")])
            ),
            "legs": [
                sorted((item, round(score, 3)) for item, score in leg)
                for leg in (legs.dense, legs.bm25)
            ],
            "faults": [str(fault) for fault in await rag.verify()],
        }


async def bare(index: Any, tenant: str) -> list[str]:
    return sorted(
        (repr(replace(record, version="")) for record in await index.records(tenant=tenant)),
    )


# What is built


async def test_an_index_of_another_model_is_built_again_for_all_tenants(memory_path: Path) -> None:
    wanted = await filled(memory_path)
    steps = list[Progress]()
    async with rag_of(memory_path) as rag:
        with pytest.raises(IndexMismatch, match=rf"ragkit reindex --index {memory_path}"):
            await rag.search("wolf")
        report = await rag.reindex(on_progress=steps.append)
        assert (await rag.search("wolf")).explanation is None
    assert (report.changed, report.documents, report.kept) == (True, 5, 0)
    assert report.written == report.chunks
    assert [(step.done, step.total) for step in steps][-1] == (report.chunks, report.chunks)
    assert [step.done for step in steps] == sorted(step.done for step in steps)
    assert await contents(memory_path) == wanted
    left = {path.name for path in (memory_path / "index").iterdir()}
    assert not {name for name in left if "generation" in name or name.endswith((".next", ".new"))}
    async with rag_of(memory_path) as rag:
        again = await rag.ingest(list(TEXTS.items()))
        assert len(again.unchanged) == len(TEXTS)


async def test_nothing_is_done_where_nothing_changed(memory_path: Path) -> None:
    wanted = await filled(memory_path)
    files = sorted((memory_path / "fresh" / "index").rglob("*"))
    with RAG(settings(), index=memory_path / "fresh" / "index", embedder=NEW) as rag:
        report = rag.reindex()
    assert (report.changed, report.documents, report.written) == (False, 5, 0)
    assert {path.name for path in (memory_path / "fresh" / "index").rglob("*")} >= {
        path.name for path in files
    }
    assert await contents(memory_path / "fresh") == wanted


async def test_an_empty_index_is_built_again(memory_path: Path) -> None:
    await (await EdgeIndex.open(memory_path / "index", identity_of(OLD))).close()
    async with rag_of(memory_path) as rag:
        report = await rag.reindex()
        assert (report.changed, report.documents) == (True, 0)
        assert (await rag.index()).identity.dimensions == NEW.dimensions


def identity_of(embedder: HashEmbedder) -> IndexIdentity:
    return identity_for(embedder, IndexSettings())


async def test_vectors_are_kept_where_the_model_is_the_same(memory_path: Path) -> None:
    await filled(memory_path)
    async with rag_of(memory_path, OLD, settings(search_dimensions=16, language="german")) as rag:
        report = await rag.reindex()
        identity = (await rag.index()).identity
        assert (await rag.search("Wolf"))[0].chunk.uri == "wolf"
    assert report.kept == report.written == report.chunks
    assert (identity.search_dimensions, identity.language) == (16, "german")


async def test_a_field_gets_another_type(memory_path: Path) -> None:
    note = {"uri": "a", "text": "wolf", "metadata": {"when": "2020-06-01"}}
    for kind in ("keyword", "datetime"):
        async with rag_of(memory_path, OLD, settings(fields={"when": kind})) as rag:
            if kind == "keyword":
                await rag.ingest(note)
            else:
                with pytest.raises(IndexMismatch, match="ragkit reindex"):
                    await rag.index()
                assert (await rag.reindex()).changed
                assert await rag.search("wolf", where="when < '2021-01-01'")


async def test_chunks_of_another_chunker_are_divided_where_the_source_is_stored(
    memory_path: Path,
) -> None:
    tree = memory_path / "tree"
    tree.mkdir()
    markdown = (
        "# Wolf\n\nIt hunts.\n\n## Pack\n\n| a | b |\n| - | - |\n| 1 | 2 |\n\n" + "It runs. " * 90
    )
    (tree / "a.md").write_text(markdown)
    (tree / "b.html").write_text(f"<h1>Wolf</h1><p>{'It sleeps. ' * 90}</p>")
    (tree / "c.txt").write_bytes(b"\xef\xbb\xbf" + b"A wolf. " * 90)
    made = Document.from_text("It howls. " * 90, uri="made", metadata={"tags": ("x", "y")})
    blocks = replace(
        made, uri="blocks", blocks=(Block(kind="code", start=0, end=9, text="It howls."),)
    )
    sources: list[Any] = [tree, made, blocks]
    fresh, chosen = memory_path / "fresh", settings(chunk_tokens=25)
    async with rag_of(memory_path, OLD) as rag:
        await rag.ingest(*sources, metadata={"year": 2020})
    async with rag_of(fresh, OLD, chosen) as rag:
        await rag.ingest(*sources, metadata={"year": 2020})
        wanted = {one.uri: replace(one, stamp="") for one in await rag.documents()}
        chunks = await rag.chunks("tree/a.md")
    async with rag_of(memory_path, OLD, chosen) as rag:
        report = await rag.reindex()
        assert (report.divided, sorted(report.undivided)) == (
            2,
            ["blocks", "tree/b.html", "tree/c.txt"],
        )
        found = {one.uri: replace(one, stamp="") for one in await rag.documents()}
        assert (found["made"], found["tree/a.md"]) == (wanted["made"], wanted["tree/a.md"])
        assert await rag.chunks("tree/a.md") == chunks
        again = await rag.reindex()
        assert (again.changed, sorted(again.undivided)) == (False, sorted(report.undivided))
        later = await rag.ingest(*sources, metadata={"year": 2020})
        assert sorted(later.updated) == sorted(report.undivided)
        assert {one.uri: replace(one, stamp="") for one in await rag.documents()} == wanted


async def test_what_is_embedded_above_passages_is_that_of_the_settings(memory_path: Path) -> None:
    bare_passages, lines = (
        Settings(ingest=IngestSettings(batch_chunks=4, chunk_tokens=60, context=context))
        for context in CONTEXTS
    )
    await filled(memory_path)
    fresh = memory_path / "bare"
    async with rag_of(fresh, NEW, bare_passages) as rag:
        await rag.ingest(list(TEXTS.items()))
        await rag.ingest([("other", "A wolf of another tenant.")], tenant="other")
    async with rag_of(memory_path, NEW, bare_passages) as rag:
        assert (await rag.reindex()).divided == len(TEXTS) + 1
        assert (await rag.ingest(list(TEXTS.items()))).unchanged
    assert await contents(memory_path) == await contents(fresh)
    async with rag_of(memory_path, NEW, lines) as rag:
        report = await rag.reindex()  # a model writes them when the sources are ingested
        assert (report.changed, len(report.undivided)) == (False, len(TEXTS) + 1)


async def test_a_passage_that_the_new_model_cuts_is_named(memory_path: Path) -> None:
    await filled(memory_path)
    chunker = FixedChunker(WordTokenizer(), chunk_tokens=30)
    small = HashEmbedder(dimensions=96, max_tokens=20)
    async with AsyncRAG(
        settings(), index=memory_path / "index", embedder=small, chunker=chunker
    ) as rag:
        assert sorted((await rag.reindex()).truncated) == sorted(set(TEXTS) - {"empty"})


# Others meanwhile


def before_switch(monkeypatch: pytest.MonkeyPatch, job: Callable[[], Awaitable[None]]) -> None:
    """Let a job be done before each attempt to switch."""
    switch = EdgeGeneration.switch

    async def first_the_job(self: EdgeGeneration, moment: str) -> bool:
        await job()
        return await switch(self, moment)

    monkeypatch.setattr(EdgeGeneration, "switch", first_the_job)


async def test_what_others_write_meanwhile_is_carried_over(
    memory_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await filled(memory_path)
    changes: list[Callable[[AsyncRAG], Awaitable[object]]] = [
        lambda old: old.ingest([("new", "A zebra."), ("wolf", "A tame wolf.")]),
        lambda old: old.delete(["sheep", "new"]),
        lambda old: old.ingest([("other", "A fox.")], tenant="other"),
    ]
    jobs = iter(changes)

    async def write() -> None:
        if (job := next(jobs, None)) is not None:
            async with rag_of(memory_path, OLD) as old:
                await job(old)
                assert await old.search("wolf")

    before_switch(monkeypatch, write)
    async with rag_of(memory_path) as rag:
        assert (await rag.reindex()).documents == 4
        assert [one.chunk.text for one in await rag.search("tame wolf", k=1)] == ["A tame wolf."]
        assert {one.uri for one in await rag.documents()} == {"wolf", "empty", "日本語"}
        assert (await rag.search("fox", tenant="other"))[0].chunk.text == "A fox."
        assert await rag.verify() == []


async def test_new_times_of_files_are_carried_over(
    memory_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = memory_path / "tree"
    tree.mkdir()
    (tree / "a.md").write_text("wolf")

    async def touch() -> None:
        os.utime(tree / "a.md", (10**9, 10**9))
        async with rag_of(memory_path, OLD) as old:
            assert (await old.ingest(tree)).unchanged == ["tree/a.md"]
            stamps.append((await old.documents())[0].stamp)

    stamps = list[str]()
    async with rag_of(memory_path, OLD) as old:
        await old.ingest(tree)
    before_switch(monkeypatch, touch)
    async with rag_of(memory_path) as rag:
        assert (await rag.reindex()).written == 1
        assert (await rag.documents())[0].stamp == stamps[0]


async def test_an_index_that_is_always_written_is_left_as_it_is(
    memory_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await filled(memory_path)
    numbers = itertools.count()

    async def write() -> None:
        async with rag_of(memory_path, OLD) as old:
            await old.ingest([("busy", f"fox {next(numbers)}")])

    monkeypatch.setattr(rebuild, "MAX_PASSES", 3)
    before_switch(monkeypatch, write)
    async with rag_of(memory_path) as rag:
        with pytest.raises(InputError, match=r"written in each of 3 passes.*Fix: stop the ing"):
            await rag.reindex()
    async with rag_of(memory_path, OLD) as old:
        assert (await old.search("fox 2"))[0].chunk.uri == "busy"
    monkeypatch.undo()
    async with rag_of(memory_path) as rag:
        report = await rag.reindex()
        assert report.documents == 6
        assert report.written == 1  # what the earlier run built is used


async def test_open_searchers_go_on_and_see_the_new_index(memory_path: Path) -> None:
    await filled(memory_path)
    async with rag_of(memory_path, OLD) as old, rag_of(memory_path, NEW) as early:
        before = {hit.chunk.uri for hit in await old.search("wolf", k=100)}
        with pytest.raises(IndexMismatch):
            await early.search("wolf")  # it has the settings of the next index already
        chosen = settings(search_dimensions=16, language="german")
        async with rag_of(memory_path, OLD, chosen) as rag:
            await rag.reindex()
        assert {hit.chunk.uri for hit in await old.search("wolf", k=100)} == before
        assert (await old.index()).identity.language == "german"
        await old.ingest([("late", "A wolf that came late.")])
        async with rag_of(memory_path, NEW) as rag:
            await rag.reindex()
        with pytest.raises(IndexMismatch, match="dimensions is 96 in the index and 64"):
            await old.search("wolf")
        with pytest.raises(IndexMismatch):
            await old.ingest([("never", "A wolf.")])
        assert len(await early.search("wolf", k=100)) > 3


SEARCHER = """
import asyncio, sys
from ragkit import AsyncRAG, Settings
from ragkit.testing import HashEmbedder
async def main():
    async with AsyncRAG(Settings(), index=sys.argv[1], embedder=HashEmbedder(dimensions=64)) as rag:
        print("ready", flush=True)
        languages = set()
        while "german" not in languages:
            assert (await rag.search("wolf"))[0].chunk.uri == "wolf"
            languages.add((await rag.index()).identity.language)
        print(sorted(languages))
asyncio.run(main())
"""


async def test_another_process_searches_throughout_and_then_the_new_index(
    memory_path: Path,
) -> None:
    await filled(memory_path)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SEARCHER, str(memory_path / "index"),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert await process.stdout.readline() == b"ready\n"
    async with rag_of(memory_path, OLD, settings(language="german")) as rag:
        assert (await rag.reindex()).changed
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    assert out.decode().split() in (["['english',", "'german']"], ["['german']"])


async def test_one_run_at_a_time(memory_path: Path) -> None:
    await filled(memory_path)
    async with rag_of(memory_path) as rag:
        with sole(memory_path / "index" / "ragkit.rebuild"):
            message = rf"again by process {os.getpid()} \(.*Fix: wait"
            with pytest.raises(IndexLocked, match=message):
                await rag.reindex()
            assert not list((memory_path / "index").glob("*generation*"))
        assert (await rag.reindex()).changed


async def test_a_document_that_is_not_whole_is_named(memory_path: Path) -> None:
    await filled(memory_path)
    index = await EdgeIndex.open_as_stored(memory_path / "index")
    chunk = (await index.chunks(["wolf"]))[1]
    with index._store.use() as shard:
        shard.update(qe.UpdateOperation.delete_points([chunk.id]))
    await index.close()
    async with rag_of(memory_path) as rag:
        with pytest.raises(InputError, match=r"Chunks of 'wolf' are gone. Fix: ragkit verify"):
            await rag.reindex()
    async with rag_of(memory_path, OLD) as old:
        assert await old.repair()
        assert await old.search("sheep")
    async with rag_of(memory_path) as rag:
        assert (await rag.reindex()).changed


async def test_what_cannot_be_built_again_is_refused(memory_path: Path) -> None:
    async with rag_of(memory_path) as rag:
        with pytest.raises(IndexMissing):
            await rag.reindex()
    for location, fix in {
        ":memory:": "ingest its",
        "ragkit:http://x:1": "where its folder",
    }.items():
        async with AsyncRAG(settings(), index=location, embedder=NEW) as rag:
            with pytest.raises(InputError, match=f"Fix: .*{fix}"):
                await rag.reindex()
    async with AsyncRAG(settings(), index=MemoryIndex(identity_of(NEW)), embedder=NEW) as rag:
        with pytest.raises(InputError, match="passed as an object"):
            await rag.reindex()


# Crashes


def crash_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Raise `Crash` instead of a write to the engine or the folder, counted from 0."""
    steps = itertools.count()

    def crashing(owner: Any, name: str) -> None:
        real = getattr(owner, name)

        def write(*args: Any, **kwargs: Any) -> Any:
            if next(steps) == step:
                raise Crash
            return real(*args, **kwargs)

        monkeypatch.setattr(owner, name, write)

    for name in ("_upsert_batch", "_delete", "_forget"):
        crashing(EdgeWriter, name)
    for name in ("store_writes", "store_fields", "finish_replacement", "take_generation"):
        crashing(edge_folder, name)
    for name in ("replace", "mkdir"):
        crashing(Path, name)
    crashing(shutil, "rmtree")


async def test_a_crash_between_any_two_writes_leaves_one_index_and_the_next_run_ends(
    memory_path: Path,
) -> None:
    for place, embedder in ((memory_path, OLD), (memory_path / "fresh", NEW)):
        async with rag_of(place, embedder) as rag:
            await rag.ingest([("wolf", "The wolf hunts."), ("sheep", "Sheep graze.")])
    old, wanted = await contents(memory_path, OLD), await contents(memory_path / "fresh")
    (memory_path / "index").rename(memory_path / "kept")
    outcomes: list[bool] = []
    while not outcomes or outcomes[-1]:
        shutil.rmtree(memory_path / "index", ignore_errors=True)
        # Unlike shutil, it keeps the holes in files.
        copy = ["cp", "-r", str(memory_path / "kept"), str(memory_path / "index")]
        await asyncio.to_thread(subprocess.run, copy, check=True)
        with pytest.MonkeyPatch.context() as patch:
            crash_at(patch, len(outcomes))
            outcomes.append(await crashes(memory_path))
        try:
            assert await contents(memory_path, OLD) == old
        except IndexMismatch:
            assert await contents(memory_path) == wanted
        else:
            async with rag_of(memory_path) as rag:
                assert (await rag.reindex()).changed
            assert await contents(memory_path) == wanted
    assert len(outcomes) > 15


async def crashes(folder: Path) -> bool:
    """Build the index again; return whether that crashed."""
    async with rag_of(folder) as rag:
        try:
            await rag.reindex()
        except Crash:
            return True
    return False


class Waiting(HashEmbedder):
    """Embeds the first passages, and waits for ever with the others."""

    def __init__(self) -> None:
        super().__init__(dimensions=96)
        self.waits = asyncio.Event()
        self._calls = 0

    async def embed(
        self,
        texts: Sequence[str],
        *,
        task: Task = "passage",
        on_truncated: Callable[[int, int], None] | None = None,
    ) -> FloatArray:
        self._calls += 1
        if self._calls > 2:
            self.waits.set()
            await asyncio.Event().wait()
        return await super().embed(texts, task=task, on_truncated=on_truncated)


async def test_a_cancelled_run_goes_on_where_it_stopped(memory_path: Path) -> None:
    wanted, waiting = await filled(memory_path), Waiting()
    async with rag_of(memory_path, waiting) as rag:
        task = asyncio.create_task(rag.reindex())
        await waiting.waits.wait()
        async with rag_of(memory_path, OLD) as old:
            assert await old.search("wolf")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    async with rag_of(memory_path) as rag:
        report = await rag.reindex()
    assert 0 < report.written < report.chunks
    assert await contents(memory_path) == wanted


KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from ragkit import AsyncRAG, Settings
from ragkit.core.settings import IngestSettings
from ragkit.index import edge_folder
from ragkit.ingest.vectors import EntryVectors
from ragkit.testing import HashEmbedder
owner, name = {"store": (EntryVectors, "added"), "move": (Path, "replace")}[sys.argv[2]]
real, stored = getattr(owner, name), []
def killing(one, *args, **kwargs):
    stored.append(one)
    if one.parent.name == "ragkit.next" if name == "replace" else len(stored) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(one, *args, **kwargs)
setattr(owner, name, killing)
async def main():
    settings = Settings(ingest=IngestSettings(batch_chunks=4, chunk_tokens=60))
    async with AsyncRAG(settings, index=sys.argv[1], embedder=HashEmbedder(dimensions=96)) as rag:
        await rag.reindex()
asyncio.run(main())
"""


@pytest.mark.parametrize("moment", ["store", "move"])
async def test_a_killed_run_goes_on_where_it_stopped(memory_path: Path, moment: str) -> None:
    wanted = await filled(memory_path)
    command = [sys.executable, "-c", KILLED, str(memory_path / "index"), moment]
    killed = await asyncio.to_thread(subprocess.run, command, check=False)
    assert killed.returncode == -signal.SIGKILL
    if moment == "store":
        async with rag_of(memory_path, OLD) as old:
            assert await old.search("wolf")
        async with rag_of(memory_path) as rag:
            report = await rag.reindex()
            assert 0 < report.written < report.chunks
    assert await contents(memory_path) == wanted
