"""Plain text of Markdown, reStructuredText and HTML fragments, with the place of each character.

An answer shows plain text and cites the source, so every character that is kept knows its offset
in the source. Only inline markup is removed here; `units` finds the blocks.
"""

import html
import re
from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

_LITERAL_SUFFIXES = frozenset(
    """
    .htm .html .xhtml .pdf .docx .docm .pptx .pptm .xlsx .xlsm .odt .odp .ods .csv .tsv .epub
    .srt .vtt
    """.split()  # noqa: SIM905 - a list would take 20 lines
)
"""Formats whose loaders give text without markup; what looks like markup in them is content."""
_MARKUP_SUFFIXES = frozenset(
    {".md", ".markdown", ".mdown", ".rst", ".rest", ".adoc", ".asciidoc", ".txt", ".ipynb"}
)
"""Formats whose loaders keep the markup."""

_TAGS = (
    "a abbr b blockquote br button center cite code dd del details div dl dt em embed figcaption "
    "figure font h1 h2 h3 h4 h5 h6 hr i iframe img input kbd label li mark nav ol p picture pre s "
    "script section small source span strike strong style sub summary sup svg table tbody td th "
    "thead tr tt u ul var video"
).replace(" ", "|")
_DESTINATION = r"\((?:[^()\n]|\n(?!\n)|\([^()\n]*\))*\)"
_LABEL = r"(?:[^\[\]`]|`[^`]*`|\[[^\[\]]*\](?:\([^()]*\))?)+"
_INLINE = re.compile(
    rf"""
    (?P<code>(?::[a-zA-Z][\w:.+-]*:|\{{[a-zA-Z][\w:.+-]*\}})?(?P<ticks>`+)
        (?P<literal>(?:(?!\n[ \t]*\n).)+?)(?P=ticks)(?!`)(?:__?(?!\w))?)
    |(?P<escape>\\[!-/:-@\[-`{{-~])
    |(?P<drop><!--.*?-->|</?(?:{_TAGS})\b[^<>]*(?:>|\Z)
        |\A[^<>\n]*="[^<>]*>|\[\^[^\]\s]+\]|\[[ xX]\][ ]
        |[ ]?\{{[ ]?[:.\#][^{{}}\n]*\}}|!\[{_LABEL}?\](?:{_DESTINATION}|\[[^\]\n]*\])
        |\[\]{_DESTINATION}|(?<=[\w`)*\]])::(?=\s*\Z))
    |(?P<link>\[(?P<label>{_LABEL})\](?:{_DESTINATION}|\[[^\[\]\n]*\]))
    |(?P<reference>(?<![\w\])])\[(?P<name>`[^`\n]+`|[A-Za-z][\w .'\u2019-]*)\](?![\w(\[]))
    |<(?P<url>(?:https?|ftp|mailto):[^<>\s]+|[^<>\s@]+@[^<>\s@]+)>
    |(?P<entity>&(?:[a-zA-Z]+|\#\d+|\#[xX][\da-fA-F]+);)
    |(?P<mark>\*\*\*|\*\*|__|~~|\*|_)
    |(?P<space>\\?\s*\n[ \t]*(?:>[ \t]?)+|\\?\s+)
    """,
    re.VERBOSE | re.DOTALL,
)
_SPACE = re.compile(r"(?P<space>\s+)")
_TARGET = re.compile(r"(?P<label>.+?)\s*<[^<>]+>\Z", re.DOTALL)
_OBJECT = re.compile(r"[\w. ]+\s<[~!]?\w+(?:\.\w+)+>\Z")
"""The name of an object of Python with its place, as in `Schema.load <marshmallow.Schema.load>`."""
_DUNDER = re.compile(r"__[a-z][a-z0-9_]*__")
_KEYWORDS = re.compile(r"\*\*(?:\w*kw\w*|[a-z]+_\w+|[a-z_]+(?=[),\]]))")
"""Arguments of Python written without marks for code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainText:
    """Text without markup.

    Attributes:
        text: The text.
        offsets: For each of its characters, the offset in the source that it comes from.
        units: Start and end in `text` of links, emphasis and code, which are never divided.
        parts: Those of what a short answer lies within, the cells of a row; empty for all of it.
    """

    text: str
    offsets: tuple[int, ...]
    units: tuple[tuple[int, int], ...] = ()
    parts: tuple[tuple[int, int], ...] = ()

    def locate(self, offset: int) -> int:
        """Return the first character that comes from this offset of the source or a later one."""
        return bisect_left(self.offsets, offset)

    def snapped(self, start: int, end: int) -> tuple[int, int]:
        """Widen a span of `text` so that it divides no word and no link, emphasis or code."""
        text = self.text
        while 0 < start < len(text) and _in_word(text, start):
            start -= 1
        while 0 < end < len(text) and _in_word(text, end):
            end += 1
        outermost = sorted(self.units, key=lambda unit: unit[0] - unit[1])
        for first, last in outermost:
            if first < end and last > start:
                start, end = min(start, first), max(end, last)
        return start, end


@dataclass(slots=True)
class _Writer:
    """The plain text as it grows."""

    characters: list[str] = field(default_factory=list[str])
    offsets: list[int] = field(default_factory=list[int])
    units: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])

    def add(self, text: str, offset: int, *, fixed: bool = False) -> None:
        """Append text; all of a `fixed` text comes from this one offset."""
        self.characters += text
        self.offsets += [offset] * len(text) if fixed else range(offset, offset + len(text))

    def space(self, offset: int) -> None:
        """Append a space, unless the text is empty or ends in one."""
        if self.characters and self.characters[-1] not in " \n":
            self.add(" ", offset)

    def plain(self) -> PlainText:
        """Return what was written, without space around it."""
        text = "".join(self.characters)
        first, last = len(text) - len(text.lstrip()), len(text.rstrip())
        units = ((max(a, first) - first, min(b, last) - first) for a, b in self.units)
        return PlainText(
            text=text[first:last],
            offsets=tuple(self.offsets[first:last]),
            units=tuple((a, b) for a, b in units if b > a),
        )


def is_literal(uri: str) -> bool:
    """Return True for documents in whose text nothing is markup, by the extension of the uri.

    What the web gives is HTML where no extension says otherwise.
    """
    if uri.startswith(("http://", "https://")):
        path = re.split("[?#]", uri, maxsplit=1)[0].split("/", 3)[3:]
        return PurePosixPath(*path).suffix.lower() not in _MARKUP_SUFFIXES
    return PurePosixPath(uri).suffix.lower() in _LITERAL_SUFFIXES


def plain_text(source: str, start: int, end: int, *, literal: bool = False) -> PlainText:
    """Return `source[start:end]` without inline markup, its white space collapsed.

    Links keep their text, images are left out, code keeps its content. `literal` text has no
    markup to remove.
    """
    writer = _Writer()
    _write(source, start, end, writer, _SPACE if literal else _INLINE)
    return writer.plain()


def verbatim_text(source: str, start: int, end: int) -> PlainText:
    """Return `source[start:end]` as it is, without common indentation: the text of code.

    At the start of the source the first line may have lost its indentation; it does not count
    where it opens no block.
    """
    lines = source[start:end].split("\n")
    lost = start == 0 and not lines[0].rstrip().endswith((":", "{", "(", "[", ","))
    counted = lines[1:] if lost and any(map(str.strip, lines[1:])) else lines
    indent = min((len(line) - len(line.lstrip()) for line in counted if line.strip()), default=0)
    writer, offset = _Writer(), start
    for number, line in enumerate(lines):
        if number:
            writer.add("\n", offset - 1)
        dropped = min(indent, len(line) - len(line.lstrip()))
        writer.add(line[dropped:], offset + dropped)
        offset += len(line) + 1
    text = "".join(writer.characters)
    return PlainText(text=text.rstrip(), offsets=tuple(writer.offsets[: len(text.rstrip())]))


def _write(source: str, start: int, end: int, writer: _Writer, tokens: re.Pattern[str]) -> None:
    position = start
    while position < end:
        found = tokens.search(source, position, end)
        if found is None:
            break
        writer.add(source[position : found.start()], position)
        kind = found.lastgroup or ""
        # `lastgroup` is the outermost group that closed last, the alternative that matched.
        position = _WRITERS[kind](source, found, end, writer)
    writer.add(source[position:end], position)


def _inside(source: str, start: int, end: int, writer: _Writer) -> None:
    """Write what a link or emphasis encloses, as one unit."""
    first = len(writer.characters)
    _write(source, start, end, writer, _INLINE)
    writer.units.append((first, len(writer.characters)))


def _code(source: str, found: re.Match[str], end: int, writer: _Writer) -> int:
    start, stop = found.span("literal")
    named = found[0][0] in ":{" or found[0][-1] == "_" or _OBJECT.match(source, start, stop)
    interpreted = len(found["ticks"]) == 1 and named
    if interpreted and (target := _TARGET.match(source, start, stop)):
        start, stop = target.span("label")
    elif interpreted and source[start] == "~":
        start = source.rfind(".", start, stop) + 1 or start + 1
    first = len(writer.characters)
    _write(source, start, stop, writer, _SPACE)
    while len(writer.characters) > first and writer.characters[-1] == " ":
        writer.characters.pop()
        writer.offsets.pop()
    writer.units.append((first, len(writer.characters)))
    return found.end()


def _escape(source: str, found: re.Match[str], end: int, writer: _Writer) -> int:
    writer.add(found[0][1], found.start() + 1)
    return found.end()


def _drop(source: str, found: re.Match[str], end: int, writer: _Writer) -> int:
    if found[0] == "::":
        writer.add(":", found.start())
    elif found[0].lower().startswith(("<br", "<p", "<li", "<td", "<th", "<dd", "<dt", "<div")):
        writer.space(found.start())
    return found.end()


def _link(source: str, found: re.Match[str], end: int, writer: _Writer) -> int:
    _inside(source, *found.span("label"), writer)
    return found.end()


def _reference(source: str, found: re.Match[str], end: int, writer: _Writer) -> int:
    _inside(source, *found.span("name"), writer)
    return found.end()


def _url(source: str, found: re.Match[str], end: int, writer: _Writer) -> int:
    first = len(writer.characters)
    writer.add(found["url"], found.start("url"))
    writer.units.append((first, len(writer.characters)))
    return found.end()


def _entity(source: str, found: re.Match[str], end: int, writer: _Writer) -> int:
    writer.add(html.unescape(found[0]).replace("\xa0", " "), found.start(), fixed=True)
    return found.end()


def _space(source: str, found: re.Match[str], end: int, writer: _Writer) -> int:
    writer.space(found.end() - 1)
    return found.end()


def _mark(source: str, found: re.Match[str], end: int, writer: _Writer) -> int:
    """Write emphasised text, or the mark itself where it is none."""
    mark, start, inner = found[0], found.start(), found.end()
    before = source[start - 1] if start else " "
    opens = inner < end and not source[inner].isspace() and not before.isalnum()
    dunder = _DUNDER.match(source, start, end) if mark == "__" else None
    if opens and dunder is None:
        close = _closing(source, mark, inner, end)
        if close is not None:
            _inside(source, inner, close, writer)
            return close + len(mark)
        if mark in {"**", "***"} and not _KEYWORDS.match(source, start, end):
            return inner
    if mark in {"**", "***"} and not before.isspace() and (inner == end or source[inner] in " \n"):
        return inner
    if mark == "_" and _ends_reference(source, start, end):
        return inner
    stop = dunder.end() if dunder else inner
    writer.add(source[start:stop], start)
    return stop


def _closing(source: str, mark: str, inner: int, end: int) -> int | None:
    """Return where the emphasis that this mark opens is closed."""
    loose = mark in {"**", "***", "~~"}
    for found in re.finditer(
        rf"(?<![\s\\]){re.escape(mark)}(?![{re.escape(mark[0])}])", source[inner:end]
    ):
        after = inner + found.end()
        if found.start() and (loose or after >= end or not source[after].isalnum()):
            return inner + found.start()
    return None


def _ends_reference(source: str, at: int, end: int) -> bool:
    """Return True for the underscore of a reference such as `Python_` in reStructuredText."""
    word = re.search(r"[^\W_]+\Z", source[max(0, at - 40) : at])
    begins = word is not None and source[at - len(word[0]) - 1 : at - len(word[0])] != "_"
    return begins and (at + 1 == end or source[at + 1] in " \n.,;:!?)")


def _in_word(text: str, at: int) -> bool:
    """Return True where a place has word characters on both sides."""
    joins = "_'\u2019"
    before, after = text[at - 1], text[at]
    return (before.isalnum() or before in joins) and (after.isalnum() or after in joins)


_WRITERS: Mapping[str, Callable[[str, re.Match[str], int, _Writer], int]] = {
    "code": _code,
    "escape": _escape,
    "drop": _drop,
    "link": _link,
    "reference": _reference,
    "url": _url,
    "entity": _entity,
    "mark": _mark,
    "space": _space,
}
