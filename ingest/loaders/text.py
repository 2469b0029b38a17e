"""Plain text: paragraphs between blank lines, and underlined headings."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ragkit.core.types import Document
from ragkit.ingest.loaders.blocks import Span, blocks_over
from ragkit.ingest.loaders.charset import decode_text
from ragkit.ingest.loaders.identity import EncodedLoader, content_hash
from ragkit.ingest.loaders.titles import heading_text, stem_title

# An underlined line that opens its paragraph; reStructuredText may draw a line above it too.
_HEADING = re.compile(
    r"""(?:([=\-~^"'+*\#`:._])\1{2,}[ \t]*\n)?
    (?=[^\n]*\w)(?P<name>[^\n]{1,200})\n
    (?P<rule>([=\-~^"'+*\#`:._])\4{2,})[ \t]*(?=\n|\Z)""",
    re.VERBOSE,
)
_LEVELS = {"=": 1, "-": 2}
"""Characters that underline headings however short the line is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextLoader(EncodedLoader):
    """A loader of plain text; `encoding` applies where the file has no byte order mark."""

    version = "text-2"

    def load(self, data: bytes, *, uri: str) -> Document:
        """Decode the text and find its paragraphs.

        The title is an underlined heading that opens the text, else the file's name.

        Raises:
            InputError: The file is empty, binary or in another encoding.
        """
        text = decode_text(data, uri=uri, encoding=self.encoding)
        blocks = blocks_over(text, _spans(text))
        titled = blocks[0].kind == "heading"
        return Document(
            uri=uri,
            title=heading_text(blocks[0]) if titled else stem_title(uri),
            text=text,
            blocks=blocks,
            content_hash=content_hash(data),
        )


def _spans(text: str) -> Iterator[Span]:
    levels = dict(_LEVELS)
    for start, end in _paragraphs(text):
        heading = _HEADING.match(text, start, end)
        body = start
        if heading and _is_underlined(heading):
            body = heading.end()
            # Further styles of headings are as deep as they are late, as in docutils.
            level = levels.setdefault(heading["rule"][0], len(levels) + 1)
            yield Span("heading", start, body, level)
        yield Span("paragraph", body, end)


def _is_underlined(heading: re.Match[str]) -> bool:
    rule = heading["rule"]
    return rule[0] in _LEVELS or len(rule) + 2 >= len(heading["name"].strip())


def _paragraphs(text: str) -> Iterator[tuple[int, int]]:
    """Yield the spans of runs of lines that are not blank."""
    start = position = 0
    for line in text.split("\n"):
        if not line.strip():
            yield start, position
            start = position + len(line) + 1
        position += len(line) + 1
    yield start, len(text)
