"""Text units: the spans that chunkers put together, sized in the embedder's tokens."""

import bisect
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

from ragkit.answering.table_rows import COLUMNS, is_rule
from ragkit.core.errors import ConfigError
from ragkit.core.protocols import Tokenizer
from ragkit.core.text import check_language, sentences
from ragkit.core.types import Block, Chunk, Document, stable_id
from ragkit.ingest.loaders import heading_text
from ragkit.ingest.passage import HEADER_TOKENS

_PIECE_CHARACTERS = 50_000
_LONGEST_TOKEN = 16
_LONGEST_HEAD = 400
"""Characters of the head of a table that is repeated."""
_CHARACTERS_PER_TOKEN = 4
"""A longer token that is not ASCII is text that the model does not know, such as Thai to an English
one: it is counted, and may be cut, as if it had a token for each few characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextUnit:
    """A span that is not divided further, with its length in tokens and its place.

    `columns` is the head of the table that it goes on with, empty for one that begins a block.
    """

    start: int
    end: int
    tokens: int
    is_heading: bool
    path: tuple[str, ...]
    page: int | None
    columns: str = ""


def check_sizes(tokenizer: Tokenizer, *, chunk_tokens: int, overlap_tokens: int = 0) -> None:
    """Check sizes against what the model reads.

    Raises:
        ConfigError: The chunk and its header do not fit, or the overlap is half a chunk.
    """
    largest = tokenizer.max_tokens - HEADER_TOKENS
    if chunk_tokens > largest:
        raise ConfigError(
            f"ingest.chunk_tokens is {chunk_tokens}, but the embedding model reads "
            f"{tokenizer.max_tokens} tokens and {HEADER_TOKENS} are kept for titles: "
            f"set it to {largest} or less."
        )
    if overlap_tokens * 2 > chunk_tokens:
        raise ConfigError(
            f"ingest.overlap_tokens is {overlap_tokens}: more than half of chunk_tokens "
            f"({chunk_tokens})."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitDivider:
    """Divides documents into units of at most `size` tokens that tile the text.

    Blocks that are longer are cut at sentences or lines, and those between tokens. With `cut`
    every block is, at sentences or at words.
    """

    tokenizer: Tokenizer
    size: int
    language: str = "english"
    cut: Literal["blocks", "sentences", "words"] = "blocks"

    def __post_init__(self) -> None:
        """Check the language."""
        check_language(self.language)

    def units(self, document: Document) -> Iterator[TextUnit]:
        """Yield the units of a document, in order."""
        path: list[tuple[int, str]] = []
        for block, start, end in _tiles(document):
            if block.kind == "heading":
                path = [item for item in path if item[0] < block.level]
                path.append((block.level, heading_text(block)))
            headings = tuple(name for _, name in path)
            columns = _columns(block)
            for piece_start, piece_end, tokens in self._pieces(document.text, block, start, end):
                yield TextUnit(
                    start=piece_start,
                    end=piece_end,
                    tokens=tokens,
                    is_heading=block.kind == "heading",
                    path=headings,
                    page=block.page,
                    columns=columns if piece_start > start else "",
                )

    def _pieces(
        self, text: str, block: Block, start: int, end: int
    ) -> Iterator[tuple[int, int, int]]:
        for first, last in _slabs(text, start, end):
            starts = _divided(self.tokenizer.token_starts(text[first:last]), text[first:last])
            if len(starts) <= self.size and self.cut == "blocks":
                yield first, last, len(starts)
                continue
            for a, b in _tiled(self._inner_spans(text[first:last], starts, block), last - first):
                inside = starts[bisect.bisect_left(starts, a) : bisect.bisect_left(starts, b)]
                # Sentences longer than a chunk are cut between tokens.
                cuts = [a, *inside[self.size :: self.size], b]
                for number, (low, high) in enumerate(pairwise(cuts)):
                    left = len(inside) - number * self.size
                    yield first + low, first + high, min(left, self.size)

    def _inner_spans(self, text: str, starts: Sequence[int], block: Block) -> list[int]:
        """Return where sentences, lines or words begin; none of them inside a token."""
        if self.cut == "words":
            return [start for start in starts if not _is_inside_word(text, start)]
        if block.kind == "heading":
            return [0]
        if block.kind == "paragraph":
            found = [start for start, _ in sentences(text, language=self.language)]
        else:
            found = [0, *(i + 1 for i, character in enumerate(text) if character == "\n")]
        known = set(starts)
        return [start for start in found if start in known or text[start - 1 : start].isspace()]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkSource:
    """The document that chunks are made of, and the chunker that makes them."""

    document: Document
    tenant: str
    identity: str

    def chunk(
        self,
        ordinal: int,
        units: Sequence[TextUnit],
        *,
        begins: TextUnit | None = None,
        window: tuple[int, int] | None = None,
    ) -> Chunk:
        """Return the chunk of some units; it `begins` before them where it repeats what was there.

        Above one that goes on with a table stands the head of the table.
        """
        document, first, end = self.document, units[0], units[-1].end
        begins = first if begins is None else begins
        chunk = Chunk(
            id=stable_id(self.tenant, document.uri, document.content_hash, self.identity, ordinal),
            uri=document.uri,
            title=document.title,
            text=document.text[begins.start : end],
            start=begins.start,
            end=end,
            heading_path=first.path,
            page=first.page,
            metadata=document.metadata,
            window=window,
        )
        if not begins.columns:
            return chunk
        return replace(chunk, context=f"{chunk.header}\n{COLUMNS}{begins.columns}".strip())


def _divided(starts: Sequence[int], text: str) -> list[int]:
    """Return the starts of tokens, with more of them in stretches that are unknown to the model."""
    found: list[int] = []
    for start, following in pairwise([*starts, len(text)]):
        found.append(start)
        token = text[start:following].rstrip()
        if len(token) > _LONGEST_TOKEN and not token.isascii():
            end = start + len(token)
            found += range(start + _CHARACTERS_PER_TOKEN, end, _CHARACTERS_PER_TOKEN)
    return found


def _columns(block: Block) -> str:
    """Return the head of a table, empty where it has none with several cells.

    A framed table says which row is its head: a double rule or a blank line comes after it.
    """
    if block.kind != "table":
        return ""
    lines = [line.strip() for line in block.text.splitlines()]
    at = next((number for number, line in enumerate(lines) if line and not is_rule(line)), 0)
    head, after = lines[at], "".join(lines[at + 1 : at + 2])
    marked = at == 0 or not after or (is_rule(after) and "=" in after)
    several = "|" in head.strip("|") and len(head) <= _LONGEST_HEAD
    return head if marked and several else ""


def _is_inside_word(text: str, at: int) -> bool:
    around = text[max(0, at - 1) : at + 1]
    return at > 0 and all(unicodedata.category(character)[0] in "LMN" for character in around)


def _tiles(document: Document) -> Iterator[tuple[Block, int, int]]:
    """Yield blocks with spans that include the white space up to the next block."""
    text = document.text
    blocks = document.blocks or (Block(kind="paragraph", start=0, end=len(text), text=text),)
    starts = [0, *(block.start for block in blocks[1:]), len(text)]
    yield from zip(blocks, starts, starts[1:], strict=False)


def _slabs(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield spans short enough to tokenize at once, cut after white space where there is any."""
    while end - start > _PIECE_CHARACTERS:
        limit = start + _PIECE_CHARACTERS
        cut = max(text.rfind(" ", start, limit), text.rfind("\n", start, limit)) + 1
        yield start, (cut if cut > start else limit)
        start = cut if cut > start else limit
    yield start, end


def _tiled(starts: Sequence[int], end: int) -> Iterator[tuple[int, int]]:
    """Yield spans from each start to the next that together cover `0..end`."""
    edges = sorted({0, end, *(start for start in starts if start < end)})
    yield from pairwise(edges)
