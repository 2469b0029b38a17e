"""AsciiDoc: the text as it is, with its sections, delimited blocks, tables and lists."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ragkit.core.types import BlockKind, Document
from ragkit.ingest.loaders.blocks import Span, blocks_over
from ragkit.ingest.loaders.charset import decode_text
from ragkit.ingest.loaders.identity import EncodedLoader, content_hash
from ragkit.ingest.loaders.source_lines import SourceLine, source_lines
from ragkit.ingest.loaders.titles import title_from

_HEADING = re.compile(r"(={1,6}|#{1,6})[ \t]+\S.*")
_DELIMITER = re.compile(r"(?P<mark>-{4,}+|\.{4,}+|`{3,}+|[|,:!]={3,}+)[^`|]*")
_ITEM = re.compile(r"(?:\*{1,5}|-|\.{1,5}|\d+\.)[ \t]+\S|\S.*(?:::|;;)(?:[ \t]|$)")
_KINDS: Mapping[str, BlockKind] = {"-": "code", ".": "code", "`": "code"}


@dataclass(frozen=True, slots=True, kw_only=True)
class AsciiDocLoader(EncodedLoader):
    """A loader of AsciiDoc, whose text is the source.

    `encoding` applies where the file has no byte order mark.
    """

    version = "asciidoc-1"

    def load(self, data: bytes, *, uri: str) -> Document:
        """Decode the text and find its blocks; nothing is included.

        Raises:
            InputError: The file is empty, binary or in another encoding.
        """
        text = decode_text(data, uri=uri, encoding=self.encoding)
        blocks = blocks_over(text, _spans(list(source_lines(text))))
        return Document(
            uri=uri,
            title=title_from(blocks, uri=uri),
            text=text,
            blocks=blocks,
            content_hash=content_hash(data),
        )


def _spans(lines: Sequence[SourceLine]) -> Iterator[Span]:
    at = 0
    last = {line.text.rstrip(): position for position, line in enumerate(lines)}
    while at < len(lines):
        line = lines[at]
        level, end = 0, at + 1
        kind: BlockKind = "paragraph"
        if heading := _HEADING.fullmatch(line.text):
            kind, level = "heading", len(heading[1])
        elif delimiter := _DELIMITER.fullmatch(line.text.rstrip()):
            mark = delimiter["mark"]
            kind = _KINDS.get(mark[0], "table")
            if last.get(mark, at) > at:  # a block that is not closed is a line
                end = _closed(lines, at, mark)
        elif not line.is_blank:
            end = _paragraph_end(lines, at)
            kind = "list" if _ITEM.match(line.text.lstrip()) else "paragraph"
        if not line.is_blank:
            yield Span(kind, line.start, lines[end - 1].end, level)
        at = end


def _closed(lines: Sequence[SourceLine], at: int, mark: str) -> int:
    """Return the line behind a delimited block."""
    closing = range(at + 1, len(lines))
    return next(line for line in closing if lines[line].text.rstrip() == mark) + 1


def _paragraph_end(lines: Sequence[SourceLine], at: int) -> int:
    """Return the line behind a paragraph: the next blank line, heading or delimited block."""
    for position in range(at + 1, len(lines)):
        text = lines[position].text.rstrip()
        if not text or _HEADING.fullmatch(text) or _DELIMITER.fullmatch(text):
            return position
    return len(lines)
