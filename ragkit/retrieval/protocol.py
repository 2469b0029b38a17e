"""`Retriever`: the seam between a question and the chunks that fit it."""

from typing import Protocol, Unpack

from ragkit.core.protocols import Reranker
from ragkit.core.settings import RetrievalSettings
from ragkit.retrieval.query import Query
from ragkit.retrieval.request import SearchOptions
from ragkit.retrieval.results import Hits


class Retriever(Protocol):
    """Finds the chunks that fit a query; a wrapper around a retriever is one too."""

    @property
    def settings(self) -> RetrievalSettings:
        """Numbers of hits and candidates, and the fusion of the legs."""
        ...

    @property
    def reranker(self) -> Reranker | None:
        """The model that scores the candidates last, None without reranking."""
        ...

    @property
    def rerank_depth(self) -> int:
        """Number of candidates that are reranked."""
        ...

    def unreranked(self) -> "Retriever":
        """Return the same without its reranker, for a wrapper that reranks at the end."""
        ...

    async def search(self, query: str | Query, **options: Unpack[SearchOptions]) -> Hits:
        """Return the `k` best chunks, each with its rank and score in every stage.

        Args:
            query: A question or some words, or a `Query` with a vector of its own.
            **options: See `SearchOptions`.

        Raises:
            InputError: The query, the filter or another option cannot be used.
        """
        ...
