"""The lexical form of a text: what BM25 counts, in any script."""

LEXICAL_FORM = "scripts-1"
"""Name and version of the rules. An index keeps it, and is searched only with the same ones."""


def lexical_form(text: str, *, passage: bool = False) -> str:
    """Return the words and n-grams of a text, in order, with spaces between them.

    ASCII stays as it is, and so does every word between spaces whose letters are written in one way
    only. The rest is treated by its script (`ragkit.core.scripts`), so mixed texts and short
    queries need no language.

    Args:
        text: A query or a passage.
        passage: Also give the n-grams that are one character shorter, for queries of one word.
    """
    if text.isascii():
        return text
    # Loaded where it is needed: Unicode's tables take their time.
    from ragkit.core.scripts import written_alike

    return written_alike(text, passage=passage)
