"""Vectors: every row is its passage's own, whatever is kept and in whatever order."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ragkit.core.progress import Progress
from ragkit.core.protocols import Entry
from ragkit.core.types import Document, DocumentRecord
from ragkit.ingest.chunkers.recursive import RecursiveChunker
from ragkit.ingest.passage import passage_text
from ragkit.ingest.preparation import Preparation, ReadSource
from ragkit.ingest.sources.item import MemorySource
from ragkit.ingest.vectors import EntryVectors
from ragkit.testing.ingestion import CountingEmbedder, WatchedIndex

TEXTS = st.lists(
    st.sampled_from(["river lake", "mountain " * 20, "forest " * 70, "delta"]), max_size=5
)


def entries_of(texts: list[str], embedder: CountingEmbedder) -> list[Entry]:
    chunker = RecursiveChunker(embedder.tokenizer, chunk_tokens=20)
    preparation = Preparation(chunker=chunker, fields={}, tenant="default")
    made: list[Entry] = []
    for number, text in enumerate(texts):
        document = Document(uri=f"{number}", title="", text=text, content_hash="")
        read = preparation.read(MemorySource(document=document), None)
        assert isinstance(read, ReadSource)
        entry = preparation.entry(read, document)
        assert not isinstance(entry, DocumentRecord)
        made.append(entry)
    return made


@settings(deadline=None, max_examples=30)
@given(TEXTS, TEXTS)
async def test_every_vector_is_that_of_its_passage(before: list[str], after: list[str]) -> None:
    embedder = CountingEmbedder()
    index = WatchedIndex(embedder)
    vectors = EntryVectors(embedder=embedder, index=index, tenant="default")
    stored, _ = await vectors.added(entries_of(before, embedder), [])
    await index.commit(stored)
    updated = [f"{number}" for number in range(len(before))]
    entries, counts = await vectors.added(entries_of(after, embedder), updated)
    for entry in entries:
        texts = [passage_text(chunk, embedder.tokenizer) for chunk in entry.chunks]
        assert entry.vectors is not None
        assert np.array_equal(entry.vectors, await embedder.embed(texts))
    unchanged = [
        number for number, text in enumerate(after) if before[number : number + 1] == [text]
    ]
    assert counts.kept >= sum(len(entries[number].chunks) for number in unchanged)


async def test_vectors_that_are_gone_meanwhile_are_embedded() -> None:
    embedder = CountingEmbedder()
    index = WatchedIndex(embedder)
    vectors = EntryVectors(embedder=embedder, index=index, tenant="default")
    without = [
        Entry(record=one.record, chunks=one.chunks, vectors=None)
        for one in entries_of(["a b"], embedder)
    ]
    await index.commit(without)
    ((entry,), counts) = await vectors.added(entries_of(["a b"], embedder), ["0"])
    assert entry.vectors is not None
    assert np.linalg.norm(entry.vectors[0]) > 0.9
    assert counts.kept == 0


async def test_a_passage_that_the_model_cuts_is_named_once() -> None:
    embedder = CountingEmbedder()
    index = WatchedIndex(embedder)
    (entry,) = entries_of(["river lake " * 300], embedder)
    longer = CountingEmbedder(max_tokens=10)
    steps: list[Progress] = []
    vectors = EntryVectors(embedder=longer, index=index, tenant="default", on_progress=steps.append)
    _, counts = await vectors.added([entry], [])
    assert counts.truncated == ["0"]
    assert [(step.phase, step.done, step.total) for step in steps][-1] == ("embed", 30, 30)
