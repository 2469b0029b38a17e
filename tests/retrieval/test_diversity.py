"""Maximal marginal relevance."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit import AsyncRAG, Document, Settings
from ragkit.core.settings import IndexSettings
from ragkit.core.types import FloatArray
from ragkit.retrieval.diversity import Diverse, maximal_marginal_relevance, scaled
from ragkit.retrieval.hybrid import HybridRetriever
from ragkit.retrieval.results import Hits
from ragkit.testing.embedder import HashEmbedder

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


async def test_a_hit_like_a_better_one_gives_way_to_another(rag: AsyncRAG) -> None:
    base = await _hybrid(rag)
    plain = await base.search("zebra stripes", k=2)
    assert set(_uris(plain)) == {"a", "b"}
    hits = await Diverse(inner=base, embedder=EMBEDDER, relevance_weight=0.5).search(
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
