"""Vectors of queries."""

from ragkit.core.protocols import Embedder
from ragkit.core.types import FloatArray
from ragkit.retrieval.query import Query


async def query_vector(query: Query, embedder: Embedder) -> FloatArray:
    """The query's own vector, or that of its text."""
    if query.vector is not None:
        return query.vector
    embedded: FloatArray = (await embedder.embed([query.text], task="query"))[0]
    return embedded
