"""Pseudo-relevance feedback: the query moves towards what it found first. No model is asked."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ragkit.core.protocols import Embedder
from ragkit.core.vectors import unit
from ragkit.retrieval.hybrid import Leg
from ragkit.retrieval.query import Query
from ragkit.retrieval.query_transform import NO_DENSE_LEG, Find, Rewritten, Transformed
from ragkit.retrieval.rerank import candidate_text
from ragkit.retrieval.vectors import query_vector

NOTHING_FOUND = "Nothing was found to learn from: the query is as it was."


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback(Transformed):
    """Searches twice: the second time for the query and what the first time found.

    The dense leg's vector is `query + weight * mean of the first hits' vectors` (Rocchio 1971, with
    no negative examples); the BM25 leg keeps the query.

    Attributes:
        embedder: That of the index.
        learn_from: How many hits of the first search count as relevant.
        weight: Of their mean; the query's is 1.
    """

    embedder: Embedder
    learn_from: int = 5
    weight: float = 0.75

    @property
    def name(self) -> str:
        """`feedback`."""
        return "feedback"

    async def rewrite(self, query: Query, *, legs: Sequence[Leg], find: Find) -> Rewritten:
        """The query with a vector nearer to the first hits."""
        if "dense" not in legs:
            return Rewritten(queries=(query,), note=NO_DENSE_LEG)
        hits = await find(query, k=self.learn_from)
        if not hits:
            return Rewritten(queries=(query,), note=NOTHING_FOUND)
        vectors = await self.embedder.embed([candidate_text(hit.chunk) for hit in hits])
        own = await query_vector(query, self.embedder)
        source = f"{query.source or query.text!r}, moved towards its first {len(hits)} chunks"
        moved = unit(own + self.weight * np.mean(vectors, axis=0))
        return Rewritten(queries=(Query(text=query.text, vector=moved, source=source),))
