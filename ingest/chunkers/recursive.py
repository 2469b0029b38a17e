"""The default chunker: cuts at sections, else blocks, else sentences, else tokens."""

import bisect
from collections.abc import Iterator, Sequence
from itertools import pairwise

from ragkit.core.errors import ConfigError
from ragkit.core.protocols import Tokenizer
from ragkit.core.text import check_language, sentences
from ragkit.core.types import DEFAULT_TENANT, Block, Chunk, Document, stable_id
from ragkit.ingest.chunkers.sections import TextUnit, sections_of, split_section
from ragkit.ingest.loaders import heading_text
from ragkit.ingest.passage import HEADER_TOKENS

_PIECE_CHARACTERS = 50_000
_LONGEST_TOKEN = 16
_CHARACTERS_PER_TOKEN = 4
"""A longer token that is not ASCII is text that the model does not know, such as Thai to an English
one: it is counted, and may be cut, as if it had a token for each few characters."""


class RecursiveChunker:
    """A chunker that cuts at headings, blocks and sentences; `chunk_tokens` is the maximum.

    The spans of the chunks tile the document: joined in order (each from where the one before it
    ended) they give its text back. A section longer than a chunk is divided evenly.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        chunk_tokens: int = 200,
        overlap_tokens: int = 0,
        language: str = "english",
    ) -> None:
        """Check the sizes against what the model reads.

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
        self._tokenizer = tokenizer
        self._size = chunk_tokens - overlap_tokens
        self._overlap = overlap_tokens
        self._language = check_language(language)

    @property
    def identity(self) -> str:
        """Name, version and parameters."""
        return f"recursive-1:{self._size}+{self._overlap}:{self._language}"

    def chunk(self, document: Document, *, tenant: str = DEFAULT_TENANT) -> list[Chunk]:
        """Return chunks in reading order whose spans cover the whole text."""
        units = list(self._units(document))
        groups = [
            group
            for section in sections_of(units, self._size)
            for group in split_section(section, self._size)
        ]
        return [
            self._chunk(document, units, group, ordinal, tenant)
            for ordinal, group in enumerate(groups)
        ]

    def _chunk(
        self,
        document: Document,
        units: Sequence[TextUnit],
        group: Sequence[TextUnit],
        ordinal: int,
        tenant: str,
    ) -> Chunk:
        first = group[0]
        overlaps = ordinal and self._overlap
        start = self._overlap_start(units, first) if overlaps else first.start
        end = group[-1].end
        return Chunk(
            id=stable_id(tenant, document.uri, document.content_hash, self.identity, ordinal),
            uri=document.uri,
            title=document.title,
            text=document.text[start:end],
            start=start,
            end=end,
            heading_path=first.path,
            page=first.page,
            metadata=document.metadata,
        )

    def _overlap_start(self, units: Sequence[TextUnit], first: TextUnit) -> int:
        start, room = first.start, self._overlap
        position = bisect.bisect_left(units, first.start, key=lambda unit: unit.start)
        while position > 0 and not first.is_heading:
            position -= 1
            room -= units[position].tokens
            if room < 0:
                break
            start = units[position].start
        return start

    def _units(self, document: Document) -> Iterator[TextUnit]:
        path: list[tuple[int, str]] = []
        for block, start, end in _tiles(document):
            if block.kind == "heading":
                path = [item for item in path if item[0] < block.level]
                path.append((block.level, heading_text(block)))
            headings = tuple(name for _, name in path)
            for piece_start, piece_end, tokens in self._pieces(document.text, block, start, end):
                yield TextUnit(
                    start=piece_start,
                    end=piece_end,
                    tokens=tokens,
                    is_heading=block.kind == "heading",
                    path=headings,
                    page=block.page,
                )

    def _pieces(
        self, text: str, block: Block, start: int, end: int
    ) -> Iterator[tuple[int, int, int]]:
        for first, last in _slabs(text, start, end):
            starts = _divided(self._tokenizer.token_starts(text[first:last]), text[first:last])
            if len(starts) <= self._size:
                yield first, last, len(starts)
                continue
            slab, known = text[first:last], set(starts)
            # A cut inside a token would make two of it.
            whole = [
                start
                for start in self._inner_spans(slab, block)
                if start in known or slab[start - 1 : start].isspace()
            ]
            for a, b in _tiled(whole, last - first):
                inside = starts[bisect.bisect_left(starts, a) : bisect.bisect_left(starts, b)]
                # Sentences longer than a chunk are cut between tokens.
                cuts = [a, *inside[self._size :: self._size], b]
                for number, (low, high) in enumerate(pairwise(cuts)):
                    left = len(inside) - number * self._size
                    yield first + low, first + high, min(left, self._size)

    def _inner_spans(self, text: str, block: Block) -> list[int]:
        if block.kind == "paragraph":
            return [start for start, _ in sentences(text, language=self._language)]
        return [0, *(i + 1 for i, character in enumerate(text) if character == "\n")]


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
