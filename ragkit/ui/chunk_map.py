"""The chunks of a document in place over its text, as HTML."""

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape

from ragkit.core.types import Chunk
from ragkit.ui.document_text import IndexedDocument

_HUES = (172, 262, 32, 212)


@dataclass(frozen=True, slots=True, kw_only=True)
class MappedChunk:
    """A chunk with what it shares with the one before: the first `shared` characters."""

    number: int
    chunk: Chunk
    shared: int


def mapped_chunks(document: IndexedDocument) -> Iterator[MappedChunk]:
    """Yield the chunks in reading order, numbered from 1."""
    covered = 0
    for number, chunk in enumerate(document.chunks, start=1):
        yield MappedChunk(number=number, chunk=chunk, shared=max(0, covered - chunk.start))
        covered = max(covered, chunk.end)


def chunks_html(document: IndexedDocument) -> str:
    """Return every chunk with its border, headings, page and place in the text."""
    parts = "".join(map(_chunk_html, mapped_chunks(document)))
    return f'<div class="rk-chunks" tabindex="0">{parts}</div>'


def _chunk_html(mapped: MappedChunk) -> str:
    chunk = mapped.chunk
    facts = [f"<b>{mapped.number}</b>", escape(" > ".join(chunk.heading_path))]
    facts += [] if chunk.page is None else [f"page {chunk.page}"]
    facts.append(f"characters {chunk.start:,} to {chunk.end:,}")
    facts += [f"{mapped.shared} shared with the one before"] if mapped.shared else []
    head = "".join(f"<span>{fact}</span>" for fact in facts if fact)
    shared, own = chunk.text[: mapped.shared], chunk.text[mapped.shared :]
    marked = f'<span class="rk-shared">{escape(shared)}</span>' if shared else ""
    colour = f"hsl({_HUES[mapped.number % len(_HUES)]} 62% 45%)"
    return (
        f'<article class="rk-chunk" style="--rk-hue:{colour}" aria-label="Passage {mapped.number}">'
        f"<header>{head}</header>{marked}{escape(own)}</article>"
    )
