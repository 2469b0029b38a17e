"""Sentences of a chunk that an answer may cite, and citations of them."""

import re
from collections.abc import Iterator

from ragkit.core.text import sentences
from ragkit.core.types import Chunk, Citation

_LONGEST_HEADING_WORDS = 12
_UNDERLINED = re.compile(r"\n(-{2,}|={2,})\Z")
_ENDS_PARAGRAPH = re.compile(r"(\A|\n[ \t]*\n)[ \t]*\Z")
_STARTS_PARAGRAPH = re.compile(r"[ \t]*(\Z|\n[ \t]*(\n|\Z))")


def citable(chunk: Chunk, language: str) -> list[tuple[int, int]]:
    """Return the offsets of sentences and table rows in the chunk's text, without headings."""
    text, headings = chunk.text, {*chunk.heading_path, chunk.title}
    return [
        (start, end)
        for sentence in sentences(text, language=language)
        for start, end in _table_rows(text, *sentence)
        if text[start:end].strip("#=- \n") not in headings and not _is_heading(text, start, end)
    ]


def citation(chunk: Chunk, start: int, end: int) -> Citation:
    """Return a citation of `chunk.text[start:end]`."""
    return Citation(
        chunk_id=chunk.id,
        uri=chunk.uri,
        quote=chunk.text[start:end],
        start=chunk.start + start,
        end=chunk.start + end,
    )


def _table_rows(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield the rows of a table without the rules between them, or the sentence itself."""
    if "|" not in text[start:end]:
        yield start, end
        return
    for line in text[start:end].split("\n"):
        row = line.strip()
        if row.strip("|-: "):
            first = start + line.index(row)
            yield first, first + len(row)
        start += len(line) + 1


def _is_heading(text: str, start: int, end: int) -> bool:
    """Return True for a sentence marked as a heading, or alone, short and without an end mark."""
    sentence = text[start:end]
    if sentence.startswith("#") or _UNDERLINED.search(sentence):
        return True
    alone = _ENDS_PARAGRAPH.search(text[:start]) and _STARTS_PARAGRAPH.match(text[end:])
    is_row = sentence[0] in "-*+" or "|" in sentence
    short = len(sentence.split()) <= _LONGEST_HEADING_WORDS
    return bool(alone) and short and sentence[-1].isalnum() and not is_row
