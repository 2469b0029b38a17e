"""What a query must be before anything is spent on it."""

from ragkit.core.errors import InputError

MAX_QUERY_CHARACTERS = 10_000


def check_query(query: str) -> str:
    """The query without the white space around it.

    Raises:
        InputError: It is empty, has no letter or digit, or is longer than 10,000 characters.
    """
    query = query.strip()
    if not query:
        raise InputError("The query is empty: ask a question or give some words.")
    if len(query) > MAX_QUERY_CHARACTERS:
        raise InputError(
            f"The query {query[:40]!r}... has {len(query)} characters, more than "
            f"{MAX_QUERY_CHARACTERS}: shorten it, or ingest it as a document."
        )
    if not any(character.isalnum() for character in query):
        raise InputError(f"The query {query[:40]!r} has no letter or digit: give some words.")
    return query
