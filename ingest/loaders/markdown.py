"""Markdown: the source is kept, and the CommonMark parser finds its blocks."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ragkit.core.types import Block, BlockKind, Document, MetadataValue
from ragkit.ingest.loaders.blocks import Span, blocks_over
from ragkit.ingest.loaders.charset import decode_text, empty_error
from ragkit.ingest.loaders.front_matter import split_front_matter
from ragkit.ingest.loaders.identity import EncodedLoader, content_hash
from ragkit.ingest.loaders.titles import title_from

if TYPE_CHECKING:
    from markdown_it.token import Token

_LINE_END = re.compile(r"\r\n?|\n")  # as the parser counts lines
_KINDS: Mapping[str, BlockKind] = {
    "heading_open": "heading",
    "fence": "code",
    "code_block": "code",
    "bullet_list_open": "list",
    "ordered_list_open": "list",
    "table_open": "table",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkdownLoader(EncodedLoader):
    """A loader of Markdown; `encoding` applies where the file has no byte order mark."""

    version = "markdown-1"

    def load(self, data: bytes, *, uri: str) -> Document:
        """Decode the source, move its front matter to the metadata, and find its blocks.

        The title is that of the front matter, else the first heading of level 1, else the first
        heading, else the file's name.

        Raises:
            InputError: The file is empty, binary or in another encoding, or its front matter is
                broken.
        """
        source = decode_text(data, uri=uri, encoding=self.encoding)
        metadata, text = split_front_matter(source, uri=uri)
        if not text.strip():
            raise empty_error(uri)
        blocks = markdown_blocks(text)
        return Document(
            uri=uri,
            title=_title(metadata, blocks, uri=uri),
            text=text,
            blocks=blocks,
            metadata=metadata,
            content_hash=content_hash(data),
        )


def markdown_blocks(text: str) -> tuple[Block, ...]:
    """Return the blocks of a text in Markdown's notation."""
    return blocks_over(text, _spans(text))


def _title(metadata: Mapping[str, MetadataValue], blocks: tuple[Block, ...], *, uri: str) -> str:
    title = metadata.get("title", "")
    named = "" if isinstance(title, tuple) else " ".join(str(title).split())
    return named or title_from(blocks, uri=uri)


def _spans(text: str) -> Iterator[Span]:
    starts = [0, *(end.end() for end in _LINE_END.finditer(text)), len(text)]
    for token in _block_tokens(text):
        if token.level == 0 and token.map and token.nesting >= 0:
            first, last = token.map
            level = int(token.tag[1]) if token.type == "heading_open" else 0
            kind = _KINDS.get(token.type, "paragraph")
            yield Span(kind, starts[first], starts[last], level)


def _block_tokens(text: str) -> "list[Token]":
    from markdown_it import MarkdownIt

    # Inline markup is not needed for offsets, and is most of the parser's work.
    parser = MarkdownIt("commonmark").enable("table").disable("inline")
    return parser.parse(text)
