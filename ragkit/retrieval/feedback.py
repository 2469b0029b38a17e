"""Pseudo-relevance feedback: the query's vector moves towards the first hits, without a model."""

from dataclasses import dataclass

import numpy as np

from ragkit.core.protocols import Embedder
from ragkit.core.vectors import unit
from ragkit.retrieval.query import Query, query_vector
from ragkit.retrieval.query_transform import (
    NO_DENSE_LEG,
    FirstSearch,
    QueryTransform,
    TransformedQuery,
)
from ragkit.retrieval.rerank import candidate_text

NOTHING_FOUND = "Nothing was found to learn from: the query is unchanged."


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback(QueryTransform):
    """Searches twice: the second time with a vector moved towards what the first time found.

    The dense leg's vector is `query + weight * mean of the first hits' vectors` (Rocchio 1971, with
    no negative examples); the BM25 leg keeps the query.

    Attributes:
        embedder: The index's embedder.
        learn_from: Number of first hits that count as relevant.
        weight: Weight of their mean; the query's is 1.
    """

    embedder: Embedder
    learn_from: int = 5
    weight: float = 0.75

    @property
    def name(self) -> str:
        """The stage's name, `feedback`."""
        return "feedback"

    async def transform(self, query: Query, first: FirstSearch) -> TransformedQuery:
        """Return the query with a vector nearer to the first hits."""
        if "dense" not in first.request.legs:
            return TransformedQuery(queries=(query,), note=NO_DENSE_LEG)
        hits = await first.search(query, k=self.learn_from)
        if not hits:
            return TransformedQuery(queries=(query,), note=NOTHING_FOUND)
        vectors = await self.embedder.embed([candidate_text(hit.chunk) for hit in hits])
        own = await query_vector(query, self.embedder)
        source = f"{query.source or query.text!r}, moved towards its first {len(hits)} chunks"
        moved = unit(own + self.weight * np.mean(vectors, axis=0))
        return TransformedQuery(queries=(Query(text=query.text, vector=moved, source=source),))
