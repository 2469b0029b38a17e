"""Several writers and readers of one server: nothing is lost, doubled or mixed.

The server is qdrant-client's local mode behind an artificial latency, or the one that
RAGKIT_TEST_QDRANT_URL names. A writer that is killed stops between two requests, or before the
answer to one, and never comes back.
"""

# A test may look inside.
# pyright: reportPrivateUsage=false

import asyncio
import contextvars
import itertools
import os
import random
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
from qdrant_client import AsyncQdrantClient

from ragkit.core.protocols import Entry, LegQuery
from ragkit.core.settings import IndexSettings
from ragkit.index import changes
from ragkit.index.integrity import repair, verify
from ragkit.index.server import QdrantIndex
from ragkit.ingest.chunkers.recursive import RecursiveChunker
from ragkit.ingest.pipeline import Pipeline
from ragkit.ingest.sources import SourceStream
from ragkit.testing import HashEmbedder
from ragkit.testing.index_examples import IDENTITY, embed, make_entry
from tests.index.connection import PLAIN_WORDS, SERVER, Connection, nothing

DOCUMENTS = int(os.environ.get("RAGKIT_TEST_DOCUMENTS", "200"))
BATCH = 100
FIRST_LIFE, LATER_LIFE = 3, 150
"""Requests that a writer makes before it is killed, at most; no commit survives the first life."""
SEARCH_EVERY = 400

pytestmark = [
    pytest.mark.enable_socket,
    pytest.mark.filterwarnings(
        "ignore:Payload indexes have no effect in the local Qdrant:UserWarning"
    ),
]


class Killed(BaseException):
    """Stands for SIGKILL."""


@pytest.fixture
async def client() -> AsyncIterator[AsyncQdrantClient]:
    client = AsyncQdrantClient(url=SERVER) if SERVER else AsyncQdrantClient(":memory:")
    yield client
    await client.close()


@pytest.fixture
async def collection(client: AsyncQdrantClient) -> AsyncIterator[str]:
    name = f"ragkit-test-{uuid.uuid4().hex[:8]}"
    yield name
    await client.delete_collection(f"{name}.ragkit-1")


async def connect(client: Any, collection: str) -> QdrantIndex:
    settings = IndexSettings(location=SERVER or "http://qdrant:6333", collection=collection)
    options: dict[str, Any] = {} if SERVER else {"text_params": PLAIN_WORDS, "tenant_idf": False}
    index = QdrantIndex(client, settings, **options)
    await index.connect(IDENTITY)
    return index


async def check(index: QdrantIndex, written: dict[str, set[str]]) -> None:
    """Each document is there once, whole, in a version that was written; and nothing else."""
    records = {record.uri: record for record in await index.records()}
    assert records.keys() == written.keys()
    assert all(records[uri].generation in written[uri] for uri in written)
    assert await verify(index) == []
    stored = {one.generation: one.chunks for one in await index.versions()}
    assert stored == {one.generation: one.chunks for one in records.values() if one.chunks}


# Forced interleavings


@pytest.mark.parametrize("second", ["other text", "same text", "delete", "other document"])
@pytest.mark.parametrize("step", range(10))
async def test_a_writer_that_pauses_anywhere_loses_nothing_to_another(
    client: AsyncQdrantClient, collection: str, step: int, second: str
) -> None:
    other = await connect(client, collection)
    old = await make_entry("a", "wolf old", "sheep old")
    await other.commit([old])
    mine = await make_entry("a", "wolf mine")
    theirs = await make_entry("a", "wolf theirs", "cow")
    elsewhere = await make_entry("b", "goat")
    requests = itertools.count()

    async def overtaken(_: str) -> None:
        if next(requests) != step:
            return
        assert await verify(other) == []  # what another is storing is no fault
        await repair(other, await verify(other))
        if second == "delete":
            assert await other.delete(["a"]) == 1
        elif second == "other document":
            await other.commit([elsewhere])
        else:
            await other.commit([theirs if second == "other text" else mine])

    index = await connect(client, collection)
    index._connected().server.client = Connection(client, before=overtaken, after=nothing)  # type: ignore[assignment]
    await index.commit([mine])
    index._connected().server.client = client
    written = {"a": {mine.record.generation, theirs.record.generation}}
    if second == "other document":
        written["b"] = {elsewhere.record.generation}
    if second == "delete" and not await index.records():
        written = {}
    await check(index, written)
    assert await index._connected().writer.changes(None) == []


async def test_a_writer_that_is_killed_after_it_was_taken_for_dead_leaves_no_lasting_gap(
    client: AsyncQdrantClient, collection: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its change is undone before it stores the record, which then has no chunks."""
    documents = [("a", "wolf and sheep"), ("b", "cow")]
    other = await connect(client, collection)
    index = await connect(client, collection)
    requests = list[str]()

    async def taken_for_dead(name: str) -> None:
        requests.append(name)
        if requests.count("upsert") == 3 and name == "upsert":  # after the note and the chunks
            with monkeypatch.context() as patch:
                patch.setattr(changes, "has_ended", everybody_looks_dead)
                await other._connected().writer.recover(
                    await other._connected().writer.changes(None)
                )

    async def killed(name: str) -> None:
        if requests.count("upsert") == 3 and name == "upsert":
            raise Killed

    index._connected().server.client = Connection(client, before=taken_for_dead, after=killed)  # type: ignore[assignment]
    with pytest.raises(Killed):
        await pipeline(index).run(SourceStream([documents]))
    assert len(await other.records()) == 2
    assert await other.versions() == []
    report = await pipeline(other).run(SourceStream([documents]))
    assert (report.updated, report.unchanged) == (["a", "b"], [])
    assert await verify(other) == []
    assert len(await other.chunks(["a", "b"])) == 2
    assert (await pipeline(other).run(SourceStream([documents]))).unchanged == ["a", "b"]


def pipeline(index: QdrantIndex) -> Pipeline:
    embedder = HashEmbedder(dimensions=64)
    chunker = RecursiveChunker(embedder.tokenizer, chunk_tokens=50)
    return Pipeline(index=index, chunker=chunker, embedder=embedder)


# Random interleavings, with kills


class Writers:
    """Writers that commit versions of the same documents, and may be killed."""

    def __init__(self, client: AsyncQdrantClient, collection: str, *, seed: int) -> None:
        self.client, self.collection = client, collection
        self.draw = random.Random(seed)
        self.written: dict[str, set[str]] = {}
        self.names = itertools.count()
        self.killed: set[str] = set()

    async def run(self, version: int, *, kills: bool) -> None:
        """Commit a version of every document, in an order of its own, until all are stored."""
        numbers = list(range(DOCUMENTS))
        self.draw.shuffle(numbers)
        batches = [numbers[first : first + BATCH] for first in range(0, DOCUMENTS, BATCH)]
        lives = itertools.chain([FIRST_LIFE], itertools.repeat(LATER_LIFE))
        while batches:
            WRITER.set(f"writer-{next(self.names)}")
            life = self.draw.randint(1, next(lives))
            try:
                index = await self._connect(life if kills else None)
                while batches:
                    await index.commit([await self._entry(n, version) for n in batches[-1]])
                    batches.pop()
            except Killed:
                self.killed.add(WRITER.get())

    def looks_dead(self, name: str) -> bool:
        return name in self.killed

    async def _entry(self, number: int, version: int) -> Entry:
        texts = [f"word{number} version{version} part{n}" for n in range(1 + number % 3)]
        entry = await make_entry(f"doc-{number}", *texts)
        self.written.setdefault(entry.record.uri, set()).add(entry.record.generation)
        return entry

    async def _connect(self, lives: int | None) -> QdrantIndex:
        index = await connect(self.client, self.collection)
        requests = itertools.count(1)

        async def latency(_: str) -> None:
            for _turn in range(self.draw.randint(0, 3)):
                await asyncio.sleep(0)
            if next(requests) == lives:
                raise Killed

        connection: Any = Connection(self.client, before=latency, after=latency)
        index._connected().server.client = connection
        return index


def everybody_looks_dead(_: str) -> bool:
    return True


WRITER = contextvars.ContextVar("WRITER", default="reader")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("number", [2, 6])
@pytest.mark.parametrize("kills", [True, False])
async def test_random_writers_lose_and_double_nothing(
    client: AsyncQdrantClient,
    collection: str,
    number: int,
    kills: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With kills; or, without, with every writer taken for dead by all others."""
    index = await connect(client, collection)
    writers = Writers(client, collection, seed=number)
    monkeypatch.setattr(changes, "this_process", WRITER.get)
    monkeypatch.setattr(changes, "has_ended", writers.looks_dead if kills else everybody_looks_dead)
    running = [asyncio.create_task(writers.run(n, kills=kills)) for n in range(number)]
    for turn in itertools.count():
        if all(task.done() for task in running):
            break
        await read(index, f"doc-{turn % DOCUMENTS}")
        if turn % SEARCH_EVERY == 0:
            await search(index, f"word{turn % DOCUMENTS}")
        await asyncio.sleep(0)
    await asyncio.gather(*running)
    assert bool(writers.killed) == kills
    await index._connected().writer.recover(await index._connected().writer.changes(None))
    await check(index, writers.written)
    assert await index._connected().writer.changes(None) == []


async def read(index: QdrantIndex, uri: str) -> None:
    """Read a document: it is whole, and of one version."""
    chunks = await index.chunks([uri])
    assert len({chunk.generation for chunk in chunks}) <= 1
    assert [chunk.ordinal for chunk in chunks] == list(range(len(chunks)))


async def search(index: QdrantIndex, word: str) -> None:
    """Search: no two versions of a document are found together."""
    query = LegQuery(vector=await embed(word), text=word, depth=20)
    legs = await index.search(query)
    versions: dict[str, set[str]] = {}
    for chunk in legs.chunks.values():
        versions.setdefault(chunk.uri, set()).add(chunk.generation)
    assert all(len(generations) == 1 for generations in versions.values())
