"""HTML elements to blocks: headings, paragraphs, lists, tables and code."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from ragkit.ingest.loaders.assembly import GrowingText
from ragkit.ingest.loaders.html.tables import read_table
from ragkit.ingest.loaders.html.tree import (
    BLOCK_TAGS,
    inline_text,
    is_hidden,
    joined,
    role,
    verbatim_text,
    walk,
)

if TYPE_CHECKING:
    from selectolax.lexbor import LexborNode

DROPPED = frozenset(
    """script style noscript template svg nav footer aside form iframe head button select textarea
    datalist object canvas audio video annotation annotation-xml""".split()  # noqa: SIM905 (names read best as words)
)
"""Elements that hold no text of the document."""

# What nav, footer and aside say by their names, other elements say by their role.
_DROPPED_ROLES = frozenset({"navigation", "contentinfo", "complementary"})
_HEADINGS: Mapping[str, int] = {f"h{level}": level for level in range(1, 7)}
_LISTS = frozenset({"ul", "ol", "menu", "dir", "dl"})
_STRUCTURE = "h1, h2, h3, h4, h5, h6, pre, table"
_DEEPEST_INDENT = 8


def write_blocks(root: "LexborNode", *, dropped: frozenset[str]) -> GrowingText:
    """The blocks under `root`, without the `dropped` elements and what is hidden."""

    def skip(node: "LexborNode") -> bool:
        if not node.is_element_node:
            return not node.is_text_node
        return node.tag in dropped or is_hidden(node) or role(node) in _DROPPED_ROLES

    layout = _layout_tables(root)

    def opaque(node: "LexborNode") -> bool:
        return node.tag == "pre" or (node.tag == "table" and node.mem_id not in layout)

    writer = _Writer(skip)
    for node, entering in walk(root, skip=skip, opaque=opaque):
        if node.is_text_node:
            writer.text(node if entering else None)
        elif opaque(node):
            writer.opaque(node if entering else None)
        elif entering:
            writer.enter(node)
        else:
            writer.leave(node)
    writer.finish()
    return writer.content


class _Writer:
    """Gathers inline text, and turns it into a block or a list's line where an element ends."""

    def __init__(self, skip: "Callable[[LexborNode], bool]") -> None:
        self.content = GrowingText()
        self._skip = skip
        self._inline: list[str] = []
        self._heading = 0
        self._lists: list[int | None] = []  # the next number of each open list; None for bullets
        self._marker = ""
        self._lines: list[str] = []

    def text(self, node: "LexborNode | None") -> None:
        if node:
            self._inline.append(inline_text(node))

    def opaque(self, node: "LexborNode | None") -> None:
        """Write a table or preformatted text as a block of its own."""
        if not node:
            return
        self._flush()
        self._end_list()
        if node.tag == "pre":
            self.content.append("code", _code(node, self._skip))
            return
        caption, rows = read_table(node, skip=self._skip)
        self.content.append("paragraph", caption)
        self.content.append("table", "\n".join(rows))

    def enter(self, node: "LexborNode") -> None:
        tag = node.tag or ""
        if tag == "br":
            self._inline.append("\n")
        if tag not in BLOCK_TAGS:
            return
        self._flush()
        self._heading = _HEADINGS.get(tag, self._heading)
        if tag in _LISTS:
            self._lists.append(_first_number(node) if tag == "ol" else None)
        elif tag in {"li", "dt"}:
            self._marker = self._next_marker()

    def leave(self, node: "LexborNode") -> None:
        tag = node.tag or ""
        if tag not in BLOCK_TAGS:
            return
        self._flush()
        if tag in _HEADINGS:
            self._heading = 0
        elif tag in {"li", "dt"}:
            self._marker = ""
        elif tag in _LISTS:
            self._lists.pop()
            if not self._lists:
                self._end_list()

    def finish(self) -> None:
        self._flush()
        self._end_list()

    def _next_marker(self) -> str:
        number = self._lists[-1] if self._lists else None
        if number is None:
            return "- "
        self._lists[-1] = number + 1
        return f"{number}. "

    def _flush(self) -> None:
        text = joined(self._inline)
        self._inline.clear()
        if not text:
            return
        if self._heading:
            self._end_list()
            self.content.append("heading", text.replace("\n", " "), level=self._heading)
        elif self._lists:
            self._add_lines(text)
        else:
            self.content.append("paragraph", text)

    def _add_lines(self, text: str) -> None:
        indent = "  " * min(len(self._lists) - 1, _DEEPEST_INDENT)
        for line in text.split("\n"):
            self._lines.append(f"{indent}{self._marker or '  '}{line}")
            self._marker = ""

    def _end_list(self) -> None:
        self.content.append("list", "\n".join(self._lines))
        self._lines.clear()


def _first_number(node: "LexborNode") -> int:
    start = (node.attributes.get("start") or "").strip()
    return int(start) if start.isascii() and start.isdigit() and len(start) < 10 else 1


def _layout_tables(root: "LexborNode") -> set[int]:
    """Ids of the elements that hold headings, code or tables: such a table is no data."""
    marked: set[int] = set()
    for node in root.css(_STRUCTURE):
        parent = node.parent
        while parent is not None and parent.mem_id not in marked:
            marked.add(parent.mem_id)
            parent = parent.parent
    return marked


def _code(node: "LexborNode", skip: "Callable[[LexborNode], bool]") -> str:
    pieces: list[str] = []
    for part, entering in walk(node, skip=skip):
        if part.is_text_node:
            pieces.append(verbatim_text(part) if entering else "")
        elif (part.tag == "br" and entering) or (
            part.tag in BLOCK_TAGS and not entering and not "".join(pieces[-2:]).endswith("\n")
        ):
            pieces.append("\n")
    return "".join(pieces)
