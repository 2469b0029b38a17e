"""The sections of a document: the text between two headings, with the headings above it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ragkit.core.types import Document
from ragkit.evaluation.fingerprint import digest
from ragkit.ingest.loaders import heading_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """The text under a heading: `document` holds it, `path` the headings above it."""

    document: Document
    path: tuple[str, ...]


def sections_of(document: Document, *, headed: bool) -> Iterator[Section]:
    """Yield the sections of a document without the empty ones.

    With `headed`, a section's title holds the document's and the headings above it; otherwise it
    is empty, since a document's title is often its first heading.
    """
    path: list[tuple[int, str]] = []
    start = 0
    blocks = [block for block in document.blocks if block.kind == "heading"]
    for block in blocks:
        yield from _section(document, path, slice(start, block.start), headed=headed)
        while path and path[-1][0] >= block.level:
            path.pop()
        path.append((block.level, heading_text(block)))
        start = block.end
    yield from _section(document, path, slice(start, None), headed=headed)


def _section(
    document: Document, path: Sequence[tuple[int, str]], span: slice, *, headed: bool
) -> Iterator[Section]:
    text = document.text[span].strip()
    if not text:
        return
    names = tuple(name for _, name in path)
    title = " > ".join(dict.fromkeys((document.title, *names))) if headed else ""
    uri = f"{document.uri}#{span.start}"
    part = Document(uri=uri, title=title, text=text, content_hash=digest(title, text))
    yield Section(document=part, path=names)
