"""reStructuredText: the text as it is, with its sections, code, tables and lists."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ragkit.core.types import BlockKind, Document
from ragkit.ingest.loaders.blocks import DEEPEST_HEADING, Span, blocks_over
from ragkit.ingest.loaders.charset import decode_text
from ragkit.ingest.loaders.identity import EncodedLoader, content_hash
from ragkit.ingest.loaders.source_lines import SourceLine, indented_end, paragraph_end, source_lines
from ragkit.ingest.loaders.titles import title_from

_ADORNMENT = re.compile(r"([!-/:-@\[-`{-~])\1{2,}[ \t]*")
_CODE = re.compile(r"\.\.[ ](?:code-block|code|sourcecode|parsed-literal|literalinclude)::")
_LITERAL = re.compile(r"(?!\.\.[ ]).*::[ \t]*")
_GRID = re.compile(r"[+|].*[+|][ \t]*")
_SIMPLE = re.compile(r"=+(?:[ ]+=+)+[ \t]*")
_ITEM = re.compile(r"(?:[-*+•]|(?:\d+|#|[a-zA-Z])[.)]|\((?:\d+|#|[a-zA-Z])\))[ \t]+\S")


@dataclass(frozen=True, slots=True, kw_only=True)
class RestructuredTextLoader(EncodedLoader):
    """A loader of reStructuredText, whose text is the source.

    `encoding` applies where the file has no byte order mark.
    """

    version = "restructured-text-1"

    def load(self, data: bytes, *, uri: str) -> Document:
        """Decode the text and find its blocks; nothing is included or executed.

        The levels of headings follow the order in which their underlines are first used.

        Raises:
            InputError: The file is empty, binary or in another encoding.
        """
        text = decode_text(data, uri=uri, encoding=self.encoding)
        blocks = blocks_over(text, _Blocks(lines=list(source_lines(text))).spans())
        return Document(
            uri=uri,
            title=title_from(blocks, uri=uri),
            text=text,
            blocks=blocks,
            content_hash=content_hash(data),
        )


@dataclass(slots=True, kw_only=True)
class _Blocks:
    """The blocks of some lines, and the styles of headings that were met so far."""

    lines: Sequence[SourceLine]
    styles: list[str] = field(default_factory=list[str])

    def spans(self) -> Iterator[Span]:
        """Yield the spans of all blocks, in order."""
        at = 0
        while at < len(self.lines):
            if self.lines[at].is_blank:
                at += 1
                continue
            level, end = self._heading(at)
            kind: BlockKind = "heading"
            if not level:
                kind, end = self._block(at)
            yield Span(kind, self.lines[at].start, self.lines[end - 1].end, level)
            at = end
            if kind == "paragraph" and _LITERAL.fullmatch(self.lines[end - 1].text):
                at = indented_end(self.lines, end)
                if at > end:
                    yield Span("code", self.lines[end].start, self.lines[at - 1].end)

    def _heading(self, at: int) -> tuple[int, int]:
        """Return the level of a heading and the line behind it; 0 where none begins."""
        texts = [line.text.rstrip() for line in self.lines[at : at + 3]]
        rules = [bool(_ADORNMENT.fullmatch(text)) for text in texts]
        if len(texts) == 3 and rules == [True, False, True] and texts[0] == texts[2] and texts[1]:
            return self._level(texts[0][0] * 2), at + 3
        is_title = len(texts) > 1 and not rules[0] and rules[1] and not texts[0][0].isspace()
        if is_title and len(texts[1]) >= len(texts[0]):
            return self._level(texts[1][0]), at + 2
        return 0, at

    def _level(self, style: str) -> int:
        if style not in self.styles:
            self.styles.append(style)
        return min(self.styles.index(style) + 1, DEEPEST_HEADING)

    def _block(self, at: int) -> tuple[BlockKind, int]:
        text = self.lines[at].text
        if _CODE.match(text):
            return "code", max(at + 1, indented_end(self.lines, at + 1))
        if text[0] == "+" and _GRID.fullmatch(text):
            return "table", paragraph_end(self.lines, at)
        if _SIMPLE.fullmatch(text):
            return "table", self._simple_table_end(at)
        kind: BlockKind = "list" if _ITEM.match(text.lstrip()) else "paragraph"
        return kind, paragraph_end(self.lines, at)

    def _simple_table_end(self, at: int) -> int:
        """Return the line behind the last rule of a simple table."""
        end = at + 1
        for position in range(at + 1, len(self.lines)):
            line = self.lines[position]
            if _SIMPLE.fullmatch(line.text):
                end = position + 1
                following = self.lines[end : end + 1]
                if not following or following[0].is_blank:
                    break
        return end
