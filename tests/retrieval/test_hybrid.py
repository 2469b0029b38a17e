from collections.abc import Sequence
from dataclasses import replace

import pytest

from ragkit import AsyncRAG, ConfigError, Document, InputError, Settings
from ragkit.core.protocols import LegQuery, Legs
from ragkit.core.settings import IndexSettings, RetrievalSettings
from ragkit.core.types import FloatArray
from ragkit.index.memory import MemoryIndex
from ragkit.retrieval.hybrid import HybridRetriever
from ragkit.testing.embedder import HashEmbedder
from ragkit.testing.index_examples import IDENTITY, make_entry

TEXTS = {
    "zebra": "The zebra has black and white stripes.",
    "horse": "A horse gallops over the green field.",
    "copy": "The zebra has black and   white stripes.",
    "lion": "The lion sleeps under a tree at noon.",
}


class _Lengths:
    """A reranker that likes short passages."""

    async def rerank(self, query: str, passages: Sequence[str]) -> FloatArray:
        import numpy as np

        return np.array([-len(passage) for passage in passages], dtype=np.float32)


@pytest.fixture
async def rag() -> AsyncRAG:
    rag = AsyncRAG(
        Settings(index=IndexSettings(fields={"legs": "integer"})),
        index=":memory:",
        embedder=HashEmbedder(dimensions=256),
    )
    await rag.ingest(
        *(
            Document(uri=uri, title=uri, text=text, content_hash=uri, metadata={"legs": 4})
            for uri, text in TEXTS.items()
        )
    )
    return rag


async def _retriever(rag: AsyncRAG, **parts: object) -> HybridRetriever:
    return HybridRetriever(index=await rag.index(), embedder=rag.embedder, **parts)  # type: ignore[arg-type]


async def test_every_hit_has_its_rank_and_score_in_every_stage(rag: AsyncRAG) -> None:
    hits = await rag.search("horse in a green field")
    best = hits[0]
    assert best.chunk.uri == "horse"
    assert best.trace["dense"].rank == best.trace["bm25"].rank == best.trace["fusion"].rank == 1
    assert best.score == best.trace["fusion"].score == pytest.approx(1.0)


async def test_legs_may_be_fused_by_reciprocal_ranks(rag: AsyncRAG) -> None:
    settings = RetrievalSettings(fusion="rrf", bm25_weight=1.0)
    hits = await (await _retriever(rag, settings=settings)).search("horse in a green field")
    assert hits[0].score == pytest.approx(2 / 61)


async def test_more_hits_than_the_depth_may_be_asked_for(rag: AsyncRAG) -> None:
    settings = RetrievalSettings(depth=1, drop_duplicates=False)
    retriever = await _retriever(rag, settings=settings)
    assert len(await retriever.search("zebra", k=3, legs=("dense",))) == 3
    read = replace(retriever, reranker=_Lengths(), rerank_depth=3)
    hits = await read.search("zebra", k=1, legs=("dense",), explain=True)
    assert hits.explanation is not None
    assert len(hits.explanation.stages["rerank"]) == 3


async def test_only_the_first_are_reranked_and_the_others_follow(rag: AsyncRAG) -> None:
    plain = [hit.chunk.id for hit in await (await _retriever(rag)).search("zebra", k=3)]
    retriever = await _retriever(rag, reranker=_Lengths(), rerank_depth=2)
    hits = await retriever.search("zebra", k=3)
    assert {hit.chunk.id for hit in hits[:2]} == {*plain[:2]}
    assert hits[2].chunk.id == plain[2]
    assert "rerank" not in hits[2].trace
    assert hits[1].score >= hits[2].score


async def test_a_reranker_has_the_share_that_it_says(rag: AsyncRAG) -> None:
    class Modest(_Lengths):
        weight = 0.0

    plain = await (await _retriever(rag)).search("zebra stripes", k=3)
    hits = await (await _retriever(rag, reranker=Modest())).search("zebra stripes", k=3)
    assert [hit.chunk.id for hit in hits] == [hit.chunk.id for hit in plain]


async def test_a_text_that_is_there_twice_is_shown_once(rag: AsyncRAG) -> None:
    hits = await rag.search("zebra stripes", explain=True)
    assert len([hit for hit in hits if "zebra" in hit.chunk.text]) == 1
    assert hits.explanation is not None
    (dropped, kept) = next(iter(hits.explanation.duplicates.items()))
    assert kept == hits[0].chunk.id != dropped


async def test_duplicates_stay_where_that_is_set(rag: AsyncRAG) -> None:
    retriever = await _retriever(rag, settings=RetrievalSettings(drop_duplicates=False))
    hits = await retriever.search("zebra stripes")
    assert len([hit for hit in hits if "zebra" in hit.chunk.text]) == 2


async def test_an_explanation_shows_every_candidate_of_every_stage(rag: AsyncRAG) -> None:
    explanation = (await rag.search("zebra stripes", k=1, explain=True)).explanation
    assert explanation is not None
    assert list(explanation.stages) == ["dense", "bm25", "fusion"]
    assert [rank for _, rank, _ in explanation.stages["fusion"]] == [1, 2, 3, 4]
    assert explanation.embedded == "zebra stripes"
    assert set(explanation.seconds) == {"embed", "search", "fusion", "fetch"}
    assert (await rag.search("zebra")).explanation is None


async def test_a_reranker_decides_the_order_and_is_traced(rag: AsyncRAG) -> None:
    hits = await (await _retriever(rag, reranker=_Lengths())).search("zebra stripes", k=2)
    assert hits[0].chunk.uri == "horse" or len(hits[0].chunk.text) <= len(hits[1].chunk.text)
    assert [hit.trace["rerank"].rank for hit in hits] == [1, 2]
    assert hits[0].score == hits[0].trace["rerank"].score


async def test_the_fused_score_has_the_share_that_the_reranker_has_not(rag: AsyncRAG) -> None:
    retriever = await _retriever(rag, reranker=_Lengths())
    orders: dict[float, list[str]] = {}
    for weight in (0.0, 0.5, 1.0):
        settings = retriever.settings.model_copy(update={"rerank_weight": weight})
        hits = await replace(retriever, settings=settings).search("zebra stripes", k=3)
        orders[weight] = [hit.chunk.id for hit in hits]
    plain = await replace(retriever, reranker=None).search("zebra stripes", k=3)
    assert orders[0.0] == [hit.chunk.id for hit in plain]
    assert orders[1.0] != orders[0.0]
    assert sorted(orders[0.5]) == sorted(orders[1.0])


async def test_one_leg_alone(rag: AsyncRAG) -> None:
    retriever = await _retriever(rag)
    hits = await retriever.search("zebra", legs=["bm25"])
    assert {hit.chunk.uri for hit in hits} <= {"zebra", "copy"}
    assert set(hits[0].trace) == {"bm25"}
    dense = await retriever.search("zebra", legs=["dense"])
    assert set(dense[0].trace) == {"dense"}


async def test_filters_bind_every_leg(rag: AsyncRAG) -> None:
    assert await rag.search("zebra", where="legs < 4") == []
    assert [hit.chunk.uri for hit in await rag.search("zebra", where='uri == "lion"')] == ["lion"]


async def test_an_unknown_field_is_named_with_those_known(rag: AsyncRAG) -> None:
    with pytest.raises(InputError, match=r"Unknown field 'wings'.*legs, page, title, uri"):
        await rag.search("zebra", where="wings == 2")


async def test_dense_search_without_an_embedder_says_so(rag: AsyncRAG) -> None:
    retriever = HybridRetriever(index=await rag.index(), embedder=None)
    assert await retriever.search("zebra", legs=["bm25"])
    with pytest.raises(ConfigError, match="no vectors"):
        await retriever.search("zebra")


async def test_an_index_that_is_not_there_is_named_with_the_command_that_makes_it(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    missing = tmp_path_factory.mktemp("x") / "none"
    rag = AsyncRAG(Settings(), index=missing, embedder=HashEmbedder(dimensions=8))
    with pytest.raises(InputError, match="ragkit ingest PATH --index"):
        await rag.search("zebra")
    assert not missing.exists()


class _Replaced(MemoryIndex):
    """Another process replaces documents after a search, before its chunks are fetched."""

    times = 1

    async def search(self, query: LegQuery) -> Legs:
        found = await super().search(query)
        if self.times:
            self.times -= 1
            await self.commit([await make_entry("a", f"zebra {self.times}", "zebra stripes")])
        return replace(found, chunks={})


async def test_a_document_that_is_replaced_while_it_is_searched_is_found_again() -> None:
    for times, found in ((1, ["zebra 0"]), (3, ["zebra 0"]), (100, list[str]())):
        index = _Replaced(IDENTITY)
        index.times = times
        await index.commit([await make_entry("a", "old zebra")])
        retriever = HybridRetriever(index=index, embedder=HashEmbedder(dimensions=64))
        hits = await retriever.search("zebra", k=1, legs=["bm25"])
        assert [hit.chunk.text for hit in hits] == found
        assert len({hit.chunk.generation for hit in hits}) <= 1
