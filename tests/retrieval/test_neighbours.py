"""Neighbour expansion."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from ragkit.core.types import DEFAULT_TENANT, Chunk
from ragkit.index.memory import MemoryIndex
from ragkit.retrieval.context import merge_neighbours
from ragkit.retrieval.hybrid import HybridRetriever
from ragkit.retrieval.neighbours import WithNeighbours
from ragkit.retrieval.results import Hits
from ragkit.testing.embedder import HashEmbedder
from ragkit.testing.index_examples import IDENTITY, make_chunk, make_entry

EMBEDDER = HashEmbedder(dimensions=64)
WORDS = ["alpha", "bravo", "carrot", "delta", "echo", "foxtrot", "golf"]
LONG = "".join(f"The {word} is number {n} of them all.\n\n" for n, word in enumerate(WORDS))


def _chunks(text: str, *, page: int | None = None) -> list[Chunk]:
    """One chunk for each paragraph."""
    chunks: list[Chunk] = []
    for part in text.split("\n\n")[:-1]:
        start = text.index(part)
        chunk = make_chunk(part + "\n\n", uri="long", page=page, metadata={"kind": "l"})
        chunks.append(replace(chunk, start=start, end=start + len(chunk.text)))
    return chunks


@pytest.fixture
async def index() -> MemoryIndex:
    """One long document, of a chunk for each word, beside a short one."""
    index = MemoryIndex(IDENTITY, fields={"kind": "keyword"})
    short = make_chunk("a lion sleeps", uri="short", metadata={"kind": "s"})
    await index.commit([await make_entry("long", *_chunks(LONG)), await make_entry("short", short)])
    return index


def _hybrid(index: MemoryIndex) -> HybridRetriever:
    return HybridRetriever(index=index, embedder=EMBEDDER)


def _words(hits: Hits) -> list[str]:
    return [word for hit in hits for word in WORDS if word in hit.chunk.text]


async def test_the_chunks_around_a_hit_come_with_it(index: MemoryIndex) -> None:
    retriever = WithNeighbours(inner=_hybrid(index), index=index)
    hits = await retriever.search("delta", k=1, legs=["bm25"], explain=True)
    assert _words(hits) == ["delta", "carrot", "echo"]
    assert {*hits[0].trace} == {"bm25"}
    assert [hit.trace["neighbours"].rank for hit in hits[1:]] == [1, 2]
    assert len({hit.score for hit in hits}) == 1
    assert hits.explanation is not None
    assert len(hits.explanation.stages["neighbours"]) == 2
    assert hits.explanation.seconds["neighbours"] > 0
    (passage,) = merge_neighbours(hits)
    assert passage.text == LONG[passage.start : passage.end]
    wide = await WithNeighbours(inner=_hybrid(index), index=index, reach=2).search(
        "alpha", k=1, legs=["bm25"]
    )
    assert _words(wide) == ["alpha", "bravo", "carrot"]


async def test_a_chunk_is_there_once_and_a_hit_is_no_neighbour(index: MemoryIndex) -> None:
    retriever = WithNeighbours(inner=_hybrid(index), index=index)
    hits = await retriever.search("delta delta foxtrot", k=2, legs=["bm25"])
    assert sorted(_words(hits)) == ["carrot", "delta", "echo", "foxtrot", "golf"]
    assert [bool(hit.trace.get("bm25")) for hit in hits] == [True, False, False, True, False]
    ranks = [hit.trace["neighbours"].rank for hit in hits if "neighbours" in hit.trace]
    assert ranks == [1, 2, 3]


async def test_filter_and_tenant_bind_neighbours(index: MemoryIndex) -> None:
    retriever = WithNeighbours(inner=_hybrid(index), index=index, reach=7)
    assert len(await retriever.search("delta", k=1, where={"kind": "l"})) == len(WORDS)
    assert await retriever.search("delta", tenant="other") == []
    assert await retriever.search("delta", where='kind == "none"') == []


async def test_a_neighbour_that_does_not_pass_the_filter_is_left_out() -> None:
    index = MemoryIndex(IDENTITY)
    parts = [
        make_chunk(text, uri="a", page=page)
        for text, page in (("one", 1), ("two", 1), ("three", 2))
    ]
    await index.commit([await make_entry("a", *parts)])
    retriever = WithNeighbours(inner=HybridRetriever(index=index, embedder=None), index=index)
    for where, wanted in ((None, ["two", "one", "three"]), ("page == 1", ["two", "one"])):
        hits = await retriever.search("two", legs=["bm25"], where=where)
        assert [hit.chunk.text for hit in hits] == wanted


class _Counting(MemoryIndex):
    """Counts what is read of it, and may replace a document after a search."""

    fetched = 0
    replacement: tuple[str, ...] = ()

    async def fetch(self, ids: Sequence[str], *, tenant: str = DEFAULT_TENANT) -> list[Chunk]:
        self.fetched += len(ids)
        if self.replacement:
            await self.commit([await make_entry("long", *self.replacement)])
        return await super().fetch(ids, tenant=tenant)


async def test_no_more_is_read_than_the_neighbours_however_long_the_document_is() -> None:
    index = _Counting(IDENTITY)
    texts = [f"word{n}" for n in range(2000)]
    await index.commit([await make_entry("long", *texts)])
    retriever = WithNeighbours(inner=_hybrid(index), index=index, reach=2)
    hits = await retriever.search("word1000", k=1, legs=["bm25"])
    assert [hit.chunk.text for hit in hits] == [f"word{n}" for n in (1000, 998, 999, 1001, 1002)]
    assert index.fetched == 4


async def test_neighbours_are_of_the_hits_own_version() -> None:
    index = _Counting(IDENTITY)
    await index.commit([await make_entry("long", "old one", "old two", "old three")])
    index.replacement = ("new one", "new two", "new three")
    retriever = WithNeighbours(inner=_hybrid(index), index=index)
    hits = await retriever.search("two", k=1, legs=["bm25"])
    assert [hit.chunk.text for hit in hits] == ["old two"]


async def test_a_hit_with_a_window_brings_the_chunks_of_it() -> None:
    index = MemoryIndex(IDENTITY)
    chunks = [replace(chunk, window=(1, 4)) for chunk in _chunks(LONG)]
    await index.commit([await make_entry("long", *chunks)])
    hits = await WithNeighbours(inner=_hybrid(index), index=index, reach=0).search(
        "delta", k=1, legs=["bm25"]
    )
    assert _words(hits) == ["delta", "bravo", "carrot", "echo"]
