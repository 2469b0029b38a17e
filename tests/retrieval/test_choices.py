"""What is chosen of the hits after retrieval: diversity and neighbours."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit import AsyncRAG, Document, Settings
from ragkit.core.settings import IndexSettings, RetrievalSettings
from ragkit.core.types import FloatArray
from ragkit.index.memory import MemoryIndex
from ragkit.ingest.chunkers.recursive import RecursiveChunker
from ragkit.ingest.pipeline import Pipeline
from ragkit.ingest.sources import from_documents
from ragkit.retrieval.build import build_retriever
from ragkit.retrieval.context import merge_neighbours
from ragkit.retrieval.diversity import Diverse, maximal_marginal_relevance, scaled
from ragkit.retrieval.hybrid import HybridRetriever
from ragkit.retrieval.neighbours import WithNeighbours
from ragkit.retrieval.protocol import Retriever
from ragkit.retrieval.results import Hits
from ragkit.retrieval.wrapper import RetrieverWrapper
from ragkit.testing.embedder import HashEmbedder
from ragkit.testing.index_examples import IDENTITY, make_chunk, make_entry

EMBEDDER = HashEmbedder(dimensions=256)
ALIKE = {
    "a": "zebra zebra stripes black white animal",
    "b": "zebra zebra stripes black white mammal",
    "c": "zebra in the tax report of the year",
    "d": "a lion sleeps",
}


def _document(uri: str, text: str) -> Document:
    return Document(uri=uri, title="", text=text, content_hash=uri, metadata={"kind": uri[0]})


@pytest.fixture
async def rag() -> AsyncRAG:
    settings = Settings(index=IndexSettings(fields={"kind": "keyword"}))
    rag = AsyncRAG(settings, index=":memory:", embedder=EMBEDDER)
    await rag.ingest(*(_document(uri, text) for uri, text in ALIKE.items()))
    return rag


async def _hybrid(rag: AsyncRAG) -> HybridRetriever:
    return HybridRetriever(index=await rag.index(), embedder=EMBEDDER)


def _uris(hits: Hits) -> list[str]:
    return [hit.chunk.uri for hit in hits]


# Diversity


async def test_a_hit_like_a_better_one_gives_way_to_another(rag: AsyncRAG) -> None:
    base = await _hybrid(rag)
    plain = await base.search("zebra stripes", k=2)
    assert set(_uris(plain)) == {"a", "b"}
    hits = await Diverse(inner=base, embedder=EMBEDDER, relevance_weight=0.3).search(
        "zebra stripes", k=2, explain=True
    )
    assert _uris(hits) == [plain[0].chunk.uri, "c"]
    assert [hit.trace["mmr"].rank for hit in hits] == [1, 2]
    assert [*hits[0].trace] == ["dense", "bm25", "fusion", "mmr"]
    assert hits.explanation is not None
    ids = [item for item, _, _ in hits.explanation.stages["mmr"]]
    assert ids == [hit.chunk.id for hit in hits]
    assert hits.explanation.seconds["mmr"] > 0


async def test_with_all_weight_on_relevance_nothing_changes(rag: AsyncRAG) -> None:
    base = await _hybrid(rag)
    hits = await Diverse(inner=base, embedder=EMBEDDER, relevance_weight=1.0).search("zebra", k=3)
    assert _uris(hits) == _uris(await base.search("zebra", k=3))
    assert await Diverse(inner=base, embedder=EMBEDDER).search("zebra", where='uri == "x"') == []


def test_the_formula_of_maximal_marginal_relevance() -> None:
    relevance = np.array([1.0, 0.9, 0.5], dtype=np.float32)
    similarity = np.array([[1, 0.9, 0.1], [0.9, 1, 0], [0.1, 0, 1]], dtype=np.float32)
    chosen = maximal_marginal_relevance(relevance, similarity, weight=0.5, k=3)
    assert [item for item, _ in chosen] == [0, 2, 1]
    wanted = [0.5 * 1.0, 0.5 * 0.5 - 0.5 * 0.1, 0.5 * 0.9 - 0.5 * 0.9]
    assert [value for _, value in chosen] == pytest.approx(wanted, abs=1e-6)


@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=8), st.floats(0, 1), st.data())
def test_each_item_is_chosen_once_and_marginal_relevance_never_rises(
    relevance: list[float], weight: float, data: st.DataObject
) -> None:
    size = len(relevance)
    cells = st.lists(st.floats(-1, 1, width=32), min_size=size * size, max_size=size * size)
    drawn = np.array(data.draw(cells), dtype=np.float32).reshape(size, size)
    similarity: FloatArray = np.minimum(drawn, drawn.T)
    scores = np.array(relevance, dtype=np.float32)
    chosen = maximal_marginal_relevance(scores, similarity, weight=weight, k=size)
    assert sorted(item for item, _ in chosen) == list(range(size))
    values = [value for _, value in chosen]
    assert all(later <= earlier for earlier, later in itertools.pairwise(values))


def test_scores_are_scaled_between_the_worst_and_the_best() -> None:
    assert scaled(np.array([3, 2, 1], dtype=np.float32)).tolist() == [1.0, 0.5, 0.0]
    assert scaled(np.array([2, 2], dtype=np.float32)).tolist() == [1.0, 1.0]


# Neighbours


WORDS = ["alpha", "bravo", "carrot", "delta", "echo", "foxtrot", "golf"]
LONG = "".join(f"The {word} is number {n} of them all.\n\n" for n, word in enumerate(WORDS))


@pytest.fixture
async def long(rag: AsyncRAG) -> AsyncRAG:
    """One long document, of a chunk for each word, beside the short ones."""
    pipeline = Pipeline(
        index=await rag.index(),
        chunker=RecursiveChunker(EMBEDDER.tokenizer, chunk_tokens=8, overlap_tokens=0),
        embedder=EMBEDDER,
    )
    report = await pipeline.run(from_documents([_document("long", LONG)]))
    assert report.chunks == len(WORDS)
    return rag


def _words(hits: Hits) -> list[str]:
    return [word for hit in hits for word in WORDS if word in hit.chunk.text]


async def test_the_chunks_around_a_hit_come_with_it(long: AsyncRAG) -> None:
    index, base = await long.index(), await _hybrid(long)
    retriever = WithNeighbours(inner=base, index=index)
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
    wide = await WithNeighbours(inner=base, index=index, reach=2).search(
        "alpha", k=1, legs=["bm25"]
    )
    assert _words(wide) == ["alpha", "bravo", "carrot"]


async def test_a_chunk_is_there_once_and_a_hit_is_no_neighbour(long: AsyncRAG) -> None:
    retriever = WithNeighbours(inner=await _hybrid(long), index=await long.index())
    hits = await retriever.search("delta delta foxtrot", k=2, legs=["bm25"])
    assert sorted(_words(hits)) == ["carrot", "delta", "echo", "foxtrot", "golf"]
    assert [bool(hit.trace.get("bm25")) for hit in hits] == [True, False, False, True, False]


async def test_filter_and_tenant_bind_neighbours(long: AsyncRAG) -> None:
    index = await long.index()
    retriever = WithNeighbours(inner=await _hybrid(long), index=index, reach=7)
    assert len(await retriever.search("delta", k=1, where='kind == "l"')) == len(WORDS)
    assert await retriever.search("delta", tenant="other") == []
    assert await retriever.search("delta", where='kind == "none"') == []


async def test_a_neighbour_that_does_not_pass_the_filter_is_left_out() -> None:
    index = MemoryIndex(IDENTITY)
    parts = [
        replace(make_chunk(text, uri="a", ordinal=n, page=page), start=10 * n, end=10 * n + 9)
        for n, (text, page) in enumerate([("one", 1), ("two", 1), ("three", 2)])
    ]
    await index.commit([await make_entry("a", *parts)])
    retriever = WithNeighbours(inner=HybridRetriever(index=index, embedder=None), index=index)
    for where, wanted in ((None, ["two", "one", "three"]), ("page == 1", ["two", "one"])):
        hits = await retriever.search("two", legs=["bm25"], where=where)
        assert [hit.chunk.text for hit in hits] == wanted


# By the settings


async def test_nothing_is_on_unless_it_is_set(rag: AsyncRAG) -> None:
    index = await rag.index()

    def kinds(settings: RetrievalSettings) -> list[str]:
        found: list[str] = []
        whole = Settings(retrieval=settings)
        retriever: Retriever = build_retriever(whole, index=index, embedder=EMBEDDER)
        while isinstance(retriever, RetrieverWrapper):
            found.append(type(retriever).__name__)
            retriever = retriever.inner
        assert isinstance(retriever, HybridRetriever)
        return found

    assert kinds(RetrievalSettings()) == []
    everything = RetrievalSettings(transform="feedback", mmr_lambda=0.5, neighbours=1)
    assert kinds(everything) == ["WithNeighbours", "Diverse", "Feedback"]


async def test_the_settings_reach_every_search() -> None:
    config = RetrievalSettings(transform="feedback", mmr_lambda=0.5, neighbours=1, k=1)
    async with AsyncRAG(Settings(retrieval=config), index=":memory:", embedder=EMBEDDER) as rag:
        await rag.ingest(*(_document(uri, text) for uri, text in ALIKE.items()))
        hits = await rag.search("zebra", explain=True)
        assert hits.explanation is not None
        stages = ["dense", "bm25", "fusion", "feedback", "mmr", "neighbours"]
        assert [*hits.explanation.stages] == stages


async def test_the_context_has_the_best_first_or_at_the_ends() -> None:
    orders: list[list[str]] = []
    for ends in (False, True):
        config = RetrievalSettings(best_at_the_ends=ends)
        async with AsyncRAG(Settings(retrieval=config), index=":memory:", embedder=EMBEDDER) as rag:
            await rag.ingest(*(_document(uri, text) for uri, text in ALIKE.items()))
            orders.append([passage.uri for passage in await rag.context("zebra stripes")])
    first, second, third, fourth = orders[0]
    assert orders[1] == [first, third, fourth, second]
