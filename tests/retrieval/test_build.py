"""The retriever that the settings ask for."""

import pytest

from ragkit import AsyncRAG, Document, Settings
from ragkit.core.settings import IndexSettings, RetrievalSettings
from ragkit.retrieval.build import build_retriever
from ragkit.retrieval.hybrid import HybridRetriever
from ragkit.retrieval.protocol import Retriever
from ragkit.retrieval.wrapper import RetrieverWrapper
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

    assert kinds(RetrievalSettings()) == ["WithNeighbours"]  # for chunks that have a window
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
