from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.retrievers import BaseRetriever
from langchain_tests.integration_tests import RetrieversIntegrationTests

from ragkit import RAG, InputError, Settings
from ragkit.core.settings import IndexSettings
from ragkit.sdk.langchain import RagkitRetriever
from ragkit.testing.embedder import HashEmbedder

TEXTS = [{"uri": f"river{n}", "text": f"River number {n} is long."} for n in range(8)]


def _rag() -> RAG:
    settings = Settings(index=IndexSettings(fields={"year": "integer"}))
    rag = RAG(settings, index=":memory:", embedder=HashEmbedder(dimensions=64))
    rag.ingest([{**text, "metadata": {"year": 2020}} for text in TEXTS])
    return rag


@pytest.fixture(name="rag", scope="module")
def _shared() -> Iterator[RAG]:
    with _rag() as rag:
        yield rag


class TestStandard(RetrieversIntegrationTests):
    @property
    def retriever_constructor(self) -> type[BaseRetriever]:
        return RagkitRetriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        return {"rag": _rag()}

    @property
    def retriever_query_example(self) -> str:
        return "a long river"


def test_documents_have_the_place_of_their_passage(rag: RAG) -> None:
    (found,) = RagkitRetriever(rag=rag, k=1).invoke("river number 3")
    chunk = rag.search("river number 3", k=1)[0].chunk
    assert (found.id, found.page_content) == (chunk.id, chunk.text)
    assert found.metadata["uri"] == "river3"
    assert (found.metadata["start"], found.metadata["end"]) == (0, len(chunk.text))
    assert found.metadata["year"] == 2020
    assert found.metadata["score"] > 0


async def test_options_filter_and_override(rag: RAG) -> None:
    retriever = RagkitRetriever(rag=rag.asynchronous, options={"where": {"uri": "river5"}})
    assert [found.metadata["uri"] for found in await retriever.ainvoke("river")] == ["river5"]
    assert len(await retriever.ainvoke("river", where=None, k=3)) == 3


def test_an_unknown_option_is_refused(rag: RAG) -> None:
    with pytest.raises(InputError, match=r"search has no option 'top'\. Fix: use one of .*k, legs"):
        RagkitRetriever(rag=rag).invoke("river", top=3)
