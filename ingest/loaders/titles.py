"""Titles, taken from a heading's source, a document's headings, or its URI."""

import functools
import re
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import unquote

from ragkit.core.types import Block

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

_MARKS = re.compile(r"(?:#{1,6}(?:[ \t]+|$)|={1,6}[ \t]+(?=\S))")
_CLOSING_MARKS = re.compile(r"(?:^|[ \t])(?:#+|=+)$")
_RULE = re.compile(r"[ \t]*(?:=+|-+|([!-/:-@\[-`{-~])\1{2,})[ \t]*")
_INLINE_MARKUP = re.compile(r"[*_`\[\\&<]")
_LONGEST_TITLE = 500


def heading_text(block: Block) -> str:
    """Return a heading without `#` marks, underline and inline markup, on one line.

    Only source in the notation of Markdown, AsciiDoc or reStructuredText is changed: a heading
    taken from HTML or PDF, which has neither mark nor underline, is returned as it is.
    """
    lines = block.text.strip().split("\n")
    if marks := _MARKS.match(lines[0]):
        return _plain(_CLOSING_MARKS.sub("", lines[0][marks.end() :].strip()))
    title = " ".join(line.strip() for line in lines if not _RULE.fullmatch(line))
    underlined = len(lines) > 1 and _RULE.fullmatch(lines[-1])
    return _plain(title) if underlined else " ".join(block.text.split())


def title_from(blocks: Sequence[Block], *, uri: str) -> str:
    """Return the first heading of level 1, else the first heading, else the name in the URI."""
    headings = [block for block in blocks if block.kind == "heading"]
    ranked = sorted(headings, key=lambda block: block.level != 1)
    titles = (heading_text(block) for block in ranked)
    return next((title for title in titles if title), "") or stem_title(uri)


def stem_title(uri: str) -> str:
    """Return the file name without its extension, with dashes and underscores as spaces."""
    stem = PurePosixPath(path_of(uri)).stem
    return " ".join(re.sub(r"[-_]+", " ", stem).split()) or uri


def path_of(uri: str) -> str:
    """Return the path in a URI (percent signs decoded), or a plain path, with forward slashes."""
    scheme, separator, rest = uri.partition("://")
    if not separator:
        return uri.replace("\\", "/")
    return unquote(re.split(r"[?#]", rest, maxsplit=1)[0] or scheme)


def _plain(source: str) -> str:
    if len(source) > _LONGEST_TITLE or not _INLINE_MARKUP.search(source):
        return " ".join(source.split())
    (inline,) = _inline_parser().parseInline(source)
    return " ".join("".join(map(_visible, inline.children or ())).split())


def _visible(token: "Token") -> str:
    # An image's `content` is its alternative text.
    shown = {"text", "code_inline", "image"}
    return token.content if token.type in shown else " " * token.type.endswith("break")


@functools.cache
def _inline_parser() -> "MarkdownIt":
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark")
    # Rules are compiled on first use, which must not happen in two threads at once.
    parser.parseInline("")
    return parser
