"""`Retriever`: what finds chunks; a wrapper around one is a retriever too."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, Self

from ragkit.core.filters import Filter
from ragkit.core.protocols import Reranker
from ragkit.core.settings import RetrievalSettings
from ragkit.core.types import DEFAULT_TENANT
from ragkit.retrieval.hybrid import BOTH, Hits, Leg
from ragkit.retrieval.query import Query


class Retriever(Protocol):
    """Finds the chunks that fit a query; `HybridRetriever` and all that wraps one."""

    @property
    def settings(self) -> RetrievalSettings:
        """Numbers of hits and candidates, and how ranks are fused."""
        ...

    @property
    def reranker(self) -> Reranker | None:
        """What scores the candidates last, if anything does."""
        ...

    @property
    def rerank_depth(self) -> int:
        """How many candidates it scores."""
        ...

    def unreranked(self) -> "Retriever":
        """The same without its reranker, for a wrapper that reranks at the end."""
        ...

    async def search(
        self,
        query: str | Query,
        *,
        k: int | None = None,
        where: Filter | str | None = None,
        tenant: str = DEFAULT_TENANT,
        legs: Sequence[Leg] = BOTH,
        explain: bool = False,
    ) -> Hits:
        """See `HybridRetriever.search`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrapper(ABC):
    """A retriever around another one, with its settings and reranker."""

    inner: Retriever

    @property
    def settings(self) -> RetrievalSettings:
        """The wrapped retriever's."""
        return self.inner.settings

    @property
    def reranker(self) -> Reranker | None:
        """The wrapped retriever's."""
        return self.inner.reranker

    @property
    def rerank_depth(self) -> int:
        """The wrapped retriever's."""
        return self.inner.rerank_depth

    def unreranked(self) -> Self:
        """The same around a retriever without its reranker."""
        return replace(self, inner=self.inner.unreranked())

    @abstractmethod
    async def search(
        self,
        query: str | Query,
        *,
        k: int | None = None,
        where: Filter | str | None = None,
        tenant: str = DEFAULT_TENANT,
        legs: Sequence[Leg] = BOTH,
        explain: bool = False,
    ) -> Hits:
        """See `HybridRetriever.search`."""
