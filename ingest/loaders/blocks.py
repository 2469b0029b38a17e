"""Blocks with exact offsets, over a source text or over a text that is built from them."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ragkit.core.errors import InputError
from ragkit.core.types import Block, BlockKind
from ragkit.ingest.loaders.charset import valid_text

DEEPEST_HEADING = 6
"""The level of a heading below which formats with more of them are cut off."""


class Span(NamedTuple):
    """The place of a block in a source text; `level` is that of a heading."""

    kind: BlockKind
    start: int
    end: int
    level: int = 0


def blocks_over(text: str, spans: Iterable[Span]) -> tuple[Block, ...]:
    """Return blocks for the spans, in order and trimmed; text between them becomes paragraphs.

    Everything in `text` that is not white space lies in exactly one block.
    """
    return tuple(
        Block(kind=kind, start=start, end=end, level=level, text=text[start:end])
        for span in _covering(text, spans)
        for kind, start, end, level in _trimmed(text, span)
    )


MAX_CHARACTERS = 100_000_000
"""The longest text that is built, so that a small hostile file cannot fill the memory."""


class TextBuilder:
    """A text built block by block, with a blank line between two of them."""

    def __init__(self) -> None:
        """Start empty."""
        self._parts: list[str] = []
        self._blocks: list[Block] = []
        self._length = 0

    @property
    def text(self) -> str:
        """The text so far."""
        return "".join(self._parts)

    @property
    def blocks(self) -> tuple[Block, ...]:
        """The blocks so far; `text[block.start:block.end]` is the text of each."""
        return tuple(self._blocks)

    def append(
        self, kind: BlockKind, text: str, *, level: int = 0, page: int | None = None
    ) -> None:
        """Add a block without the white space around it; a blank one is left out."""
        for _, start, end, _ in _trimmed(text, Span(kind, 0, len(text))):
            content = valid_text(text[start:end])
            if self._parts:
                self._parts.append("\n\n")
                self._length += 2
            offset = self._length
            self._parts.append(content)
            self._length += len(content)
            if self._length > MAX_CHARACTERS:
                raise InputError(
                    f"Its text has more than {MAX_CHARACTERS} characters. Fix: divide the file."
                )
            self._blocks.append(
                Block(
                    kind=kind,
                    start=offset,
                    end=self._length,
                    level=level,
                    page=page,
                    text=content,
                )
            )


def _covering(text: str, spans: Iterable[Span]) -> Iterator[Span]:
    cursor = 0
    for span in spans:
        start = max(span.start, cursor)
        yield Span("paragraph", cursor, start)
        yield span._replace(start=start)
        cursor = max(cursor, span.end)
    yield Span("paragraph", cursor, len(text))


def _trimmed(text: str, span: Span) -> Iterator[Span]:
    content = text[span.start : span.end]
    if not content.strip():
        return
    lead = len(content) - len(content.lstrip())
    if span.kind == "code":  # The first line keeps its indentation.
        lead = content.rfind("\n", 0, lead) + 1
    yield span._replace(start=span.start + lead, end=span.start + len(content.rstrip()))
