"""What a query must be before anything is spent on it."""

from dataclasses import dataclass

from ragkit.core.errors import InputError
from ragkit.core.text import is_unicode
from ragkit.core.types import FloatArray

MAX_QUERY_CHARACTERS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Query:
    """A query whose two legs look for different things.

    Attributes:
        text: What the BM25 leg looks for, and what a reranker scores against.
        vector: What the dense leg looks for, float32 `[d]` of unit length; the embedded text
            where None.
        source: What the vector was made of, for explanations.
    """

    text: str
    vector: FloatArray | None = None
    source: str = ""


def as_query(query: str | Query) -> Query:
    """The query, checked.

    Raises:
        InputError: Its text cannot be searched for; see `check_query`.
    """
    if isinstance(query, str):
        return Query(text=check_query(query))
    return Query(text=check_query(query.text), vector=query.vector, source=query.source)


def check_query(query: str) -> str:
    """The query without the white space around it.

    Raises:
        InputError: It is empty, is not Unicode text, has no letter or digit, or is longer than
            10,000 characters.
    """
    query = query.strip()
    if not query:
        raise InputError("The query is empty: ask a question or give some words.")
    if not is_unicode(query):
        raise InputError(f"The query {query[:40]!r} has bytes that are no UTF-8 text.")
    if len(query) > MAX_QUERY_CHARACTERS:
        raise InputError(
            f"The query {query[:40]!r}... has {len(query)} characters, more than "
            f"{MAX_QUERY_CHARACTERS}: shorten it, or ingest it as a document."
        )
    if not any(character.isalnum() for character in query):
        raise InputError(f"The query {query[:40]!r} has no letter or digit: give some words.")
    return query
