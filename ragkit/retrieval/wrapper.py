"""The common part of retrievers that wrap another one."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Self, Unpack

from ragkit.core.protocols import Reranker
from ragkit.core.settings import RetrievalSettings
from ragkit.retrieval.protocol import Retriever
from ragkit.retrieval.query import Query
from ragkit.retrieval.request import SearchOptions
from ragkit.retrieval.results import Hits


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrieverWrapper(ABC):
    """A retriever around another one, with its settings and reranker."""

    inner: Retriever

    @property
    def settings(self) -> RetrievalSettings:
        """Settings of the wrapped retriever."""
        return self.inner.settings

    @property
    def reranker(self) -> Reranker | None:
        """Reranker of the wrapped retriever."""
        return self.inner.reranker

    @property
    def rerank_depth(self) -> int:
        """Rerank depth of the wrapped retriever."""
        return self.inner.rerank_depth

    def unreranked(self) -> Self:
        """Return the same around a retriever without its reranker."""
        return replace(self, inner=self.inner.unreranked())

    @abstractmethod
    async def search(self, query: str | Query, **options: Unpack[SearchOptions]) -> Hits:
        """Search as `Retriever.search` does."""
