"""Queries: their checks, and their vectors."""

from dataclasses import dataclass
from typing import cast

from ragkit.core.errors import InputError
from ragkit.core.protocols import Embedder
from ragkit.core.text import is_unicode
from ragkit.core.types import FloatArray

MAX_QUERY_CHARACTERS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Query:
    """A query whose two legs search for different things.

    Attributes:
        text: Text of the BM25 leg, and of a reranker's comparison.
        vector: Vector of the dense leg, float32 `[d]` of unit length; the embedded text where
            None.
        source: Description of the vector's origin, for explanations.
    """

    text: str
    vector: FloatArray | None = None
    source: str = ""


def as_query(query: str | Query) -> Query:
    """Return the query, checked.

    Raises:
        InputError: It is neither a text nor a `Query`, or its text cannot be searched for; see
            `check_query`.
    """
    if isinstance(query, str):
        return Query(text=check_query(query))
    given = cast("object", query)  # callers need not be checked by types
    if not isinstance(given, Query):
        raise InputError(f"The query is {given!r}. Fix: give a text.")
    return Query(text=check_query(query.text), vector=query.vector, source=query.source)


def check_query(query: str) -> str:
    """Return the query without the white space around it.

    Raises:
        InputError: It is empty, is not Unicode text, has no letter or digit, or is longer than
            10,000 characters.
    """
    query = query.strip()
    if not query:
        raise InputError("The query is empty. Fix: ask a question or give some words.")
    if not is_unicode(query):
        raise InputError(
            f"The query {query[:40]!r} holds bytes that are no UTF-8 text. Fix: decode it first."
        )
    if len(query) > MAX_QUERY_CHARACTERS:
        raise InputError(
            f"The query {query[:40]!r}... has {len(query)} characters, more than "
            f"{MAX_QUERY_CHARACTERS}. Fix: shorten it, or ingest it as a document."
        )
    if not any(character.isalnum() for character in query):
        raise InputError(f"The query {query[:40]!r} has no letter or digit. Fix: give some words.")
    return query


async def query_vector(query: Query, embedder: Embedder) -> FloatArray:
    """Return the query's own vector, or the embedding of its text."""
    if query.vector is not None:
        return query.vector
    embedded: FloatArray = (await embedder.embed([query.text], task="query"))[0]
    return embedded
