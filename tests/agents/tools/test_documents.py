from collections.abc import AsyncIterator, Iterator, Mapping

import pytest
import pytest_asyncio

from ragkit import RAG, AsyncRAG, Document
from ragkit.agents.tools.documents import search_documents
from ragkit.core.errors import ToolError
from ragkit.core.protocols import Tool
from ragkit.core.types import Json
from ragkit.testing.embedder import HashEmbedder
from ragkit.testing.tool_contract import ToolContract

VOLGA = "The Volga is the longest river of Europe."


@pytest_asyncio.fixture
async def rag() -> AsyncIterator[AsyncRAG]:
    """Two tenants' documents."""
    async with AsyncRAG(index=":memory:", embedder=HashEmbedder()) as made:
        await made.ingest(
            Document(uri="volga", title="Volga", text=VOLGA, content_hash="1"),
            Document(uri="alps", title="Alps", text="Mont Blanc is a mountain.", content_hash="2"),
        )
        secret = Document(uri="plan", title="Plan", text="The secret river plan.", content_hash="3")
        await made.ingest(secret, tenant="other")
        yield made


class TestSearchDocuments(ToolContract):
    @pytest.fixture(autouse=True)
    def _open(self) -> Iterator[None]:
        with RAG(index=":memory:", embedder=HashEmbedder()) as rag:
            rag.ingest(Document(uri="volga", title="Volga", text=VOLGA, content_hash="1"))
            self.rag = rag.asynchronous
            yield

    def make_tool(self) -> Tool:
        return search_documents(self.rag)

    def arguments(self) -> Mapping[str, Json]:
        return {"query": "Which river is the longest?"}


async def test_passages_come_with_ids_and_citations(rag: AsyncRAG) -> None:
    result = await search_documents(rag, k=1).call({"query": "longest river"}, key="k")
    (citation,) = result.citations
    assert (citation.uri, citation.quote, citation.start) == ("volga", VOLGA, 0)
    assert result.value == [
        {"id": citation.chunk_id, "uri": "volga", "title": "Volga", "text": VOLGA}
    ]
    assert result.text == f"[{citation.chunk_id}] Volga\n{VOLGA}"


async def test_the_model_cannot_choose_tenant_or_filter(rag: AsyncRAG) -> None:
    made = search_documents(rag, where="uri == 'alps'")
    result = await made.call({"query": "river plan"}, key="k")
    assert [citation.uri for citation in result.citations] == ["alps"]
    other = await search_documents(rag, tenant="other").call({"query": "river plan"}, key="k")
    assert [citation.uri for citation in other.citations] == ["plan"]
    with pytest.raises(ToolError, match="tenant"):
        await made.call({"query": "river", "tenant": "other"}, key="k")


async def test_nothing_found_is_said(rag: AsyncRAG) -> None:
    result = await search_documents(rag, tenant="nobody").call({"query": "river"}, key="k")
    assert (result.text, result.value) == ("No passage was found; try other words.", [])


async def test_a_query_without_words_is_told_to_the_model(rag: AsyncRAG) -> None:
    with pytest.raises(ToolError, match="no letter or digit"):
        await search_documents(rag).call({"query": "?!"}, key="k")
