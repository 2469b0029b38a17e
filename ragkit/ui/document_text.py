"""A document's text put together from its chunks, and the passages marked in it."""

from collections.abc import Sequence
from dataclasses import dataclass

from ragkit.core.document_text import text_of
from ragkit.core.errors import InputError
from ragkit.core.sync import run_sync
from ragkit.core.types import Chunk
from ragkit.ui.workspace import Workspace

AROUND = 1200
"""Characters shown before and after a passage."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A stretch of text, marked or not."""

    text: str
    marked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexedDocument:
    """A document as the index holds it: its chunks in reading order and the text they cover."""

    uri: str
    title: str
    text: str
    chunks: tuple[Chunk, ...]

    def page_of(self, offset: int) -> int | None:
        """Return the page on which a character stands, where there are pages."""
        found = None
        for chunk in self.chunks:
            if chunk.start <= offset:
                found = chunk.page if chunk.page is not None else found
        return found


def load_document(workspace: Workspace, uri: str) -> IndexedDocument:
    """Read a document of the tenant from the index.

    Raises:
        InputError: There is no such document.
    """

    async def chunks() -> list[Chunk]:
        index = await workspace.rag.index()
        return await index.chunks([uri], tenant=workspace.tenant)

    return indexed_document(uri, run_sync(chunks))


def indexed_document(uri: str, chunks: Sequence[Chunk]) -> IndexedDocument:
    """Put a document together from its chunks, in any order; their overlap appears once.

    Raises:
        InputError: There is no chunk.
    """
    if not chunks:
        raise InputError(
            f"There is no document {uri!r} in the index any more. Fix: ingest it again."
        )
    ordered = tuple(sorted(chunks, key=lambda chunk: (chunk.start, chunk.end)))
    return IndexedDocument(
        uri=uri, title=ordered[0].title or uri, text=text_of(ordered), chunks=ordered
    )


def around(text: str, start: int, end: int, *, reach: int | None = AROUND) -> list[Segment]:
    """Return the text around a span as segments, the span marked; `reach` None gives it all.

    The cuts are at white space, and an ellipsis stands where something is left out.
    """
    start, end = max(0, min(start, len(text))), max(0, min(end, len(text)))
    first, last = 0, len(text)
    if reach is not None:
        first, last = max(0, start - reach), min(len(text), end + reach)
        while 0 < first < start and not text[first - 1].isspace():
            first += 1
        while end < last < len(text) and not text[last].isspace():
            last -= 1
    before = ("… " if first else "") + text[first:start]
    after = text[end:last] + (" …" if last < len(text) else "")
    segments = [Segment(text=before), Segment(text=text[start:end], marked=True)]
    return [part for part in (*segments, Segment(text=after)) if part.text]
