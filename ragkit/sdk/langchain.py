"""`RagkitRetriever`: a LangChain retriever over an index of ragkit."""

from typing import Any, cast

from langchain_core.callbacks import (
    AsyncCallbackManagerForRetrieverRun,
    CallbackManagerForRetrieverRun,
)
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from pydantic import ConfigDict, Field

from ragkit.core.sync import run_sync
from ragkit.core.types import Hit
from ragkit.sdk.facade import RAG
from ragkit.sdk.options import RetrievalOptions, check_names
from ragkit.sdk.rag import AsyncRAG


class RagkitRetriever(BaseRetriever):
    """Hybrid search of a `RAG` or `AsyncRAG` as LangChain's retriever.

    Documents have the chunk's id and text; their metadata are the document's own, and `uri`,
    `title`, `heading_path`, `page`, `start`, `end` (offsets in the document) and `score`.

    Attributes:
        rag: The documents; it is not closed.
        k: Number of documents; the settings' own if None.
        options: Further options of a search, such as `{"where": "year >= 2020"}`; see
            `RetrievalOptions`.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    rag: RAG | AsyncRAG = Field(exclude=True)
    k: int | None = None
    options: dict[str, Any] = Field(default_factory=dict[str, Any])

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, **options: Any
    ) -> list[Document]:
        return await self._search(query, options)

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, **options: Any
    ) -> list[Document]:
        return run_sync(lambda: self._search(query, options))

    async def _search(self, query: str, options: dict[str, Any]) -> list[Document]:
        rag = self.rag.asynchronous if isinstance(self.rag, RAG) else self.rag
        given = {**({} if self.k is None else {"k": self.k}), **self.options, **options}
        check_names(given, RetrievalOptions.__optional_keys__, call="search")
        hits = await rag.search(query, **cast("RetrievalOptions", given))
        return [_document(hit) for hit in hits]


def _document(hit: Hit) -> Document:
    chunk = hit.chunk
    place = {
        "uri": chunk.uri,
        "title": chunk.title,
        "heading_path": list(chunk.heading_path),
        "page": chunk.page,
        "start": chunk.start,
        "end": chunk.end,
        "score": hit.score,
    }
    return Document(id=chunk.id, page_content=chunk.text, metadata={**chunk.metadata, **place})
