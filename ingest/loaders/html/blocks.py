"""Blocks of an HTML page: headings, paragraphs, lists, tables and code."""

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from ragkit.ingest.loaders.blocks import TextBuilder
from ragkit.ingest.loaders.html.tree import (
    BLOCK_TAGS,
    inline_text,
    is_hidden,
    is_permalink,
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

# Roles that mean the same as the elements nav, footer and aside.
_DROPPED_ROLES = frozenset({"navigation", "contentinfo", "complementary"})
_HEADINGS: Mapping[str, int] = {f"h{level}": level for level in range(1, 7)}
_LISTS = frozenset({"ul", "ol", "menu", "dir", "dl"})
_STRUCTURE = "h1, h2, h3, h4, h5, h6, pre, table"
_DEEPEST_INDENT = 8


def write_blocks(root: "LexborNode", *, dropped: frozenset[str]) -> TextBuilder:
    """Return the blocks under `root`, without the `dropped` elements and what is hidden."""
    return _BlockWriter(dropped, _layout_tables(root)).write(root)


def is_dropped(node: "LexborNode", dropped: frozenset[str]) -> bool:
    """Return whether an element is one of the `dropped`, has such a role, or is hidden."""
    hidden = is_hidden(node) or is_permalink(node)
    return node.tag in dropped or hidden or role(node) in _DROPPED_ROLES


class _BlockWriter:
    """A writer that makes a block or a list's line of the inline text where an element ends."""

    def __init__(self, dropped: frozenset[str], layout: set[int]) -> None:
        self._content = TextBuilder()
        self._dropped = dropped
        self._layout = layout
        self._inline: list[str] = []
        self._heading = 0
        self._lists: list[int | None] = []  # the next number of each open list; None for bullets
        self._marker = ""
        self._lines: list[str] = []

    def write(self, root: "LexborNode") -> TextBuilder:
        """Return the text and blocks under `root`."""
        for node, entering in walk(root, skip=self._is_dropped, opaque=self._is_opaque):
            if node.is_text_node:
                self._inline.append(inline_text(node) if entering else "")
            elif self._is_opaque(node):
                if entering:
                    self._write_opaque(node)
            elif entering:
                self._enter(node)
            else:
                self._leave(node)
        self._flush()
        self._end_list()
        return self._content

    def _is_dropped(self, node: "LexborNode") -> bool:
        if not node.is_element_node:
            return not node.is_text_node
        return is_dropped(node, self._dropped)

    def _is_opaque(self, node: "LexborNode") -> bool:
        return node.tag == "pre" or (node.tag == "table" and node.mem_id not in self._layout)

    def _write_opaque(self, node: "LexborNode") -> None:
        """Write a table or preformatted text as a block of its own."""
        self._flush()
        self._end_list()
        if node.tag == "pre":
            self._content.append("code", _code(node, self._is_dropped))
            return
        caption, rows = _read_table(node, self._is_dropped)
        self._content.append("paragraph", caption)
        self._content.append("table", "\n".join(rows))

    def _enter(self, node: "LexborNode") -> None:
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

    def _leave(self, node: "LexborNode") -> None:
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
            self._content.append("heading", text.replace("\n", " "), level=self._heading)
        elif self._lists:
            self._add_lines(text)
        else:
            self._content.append("paragraph", text)

    def _add_lines(self, text: str) -> None:
        indent = "  " * min(len(self._lists) - 1, _DEEPEST_INDENT)
        for line in text.split("\n"):
            self._lines.append(f"{indent}{self._marker or '  '}{line}")
            self._marker = ""

    def _end_list(self) -> None:
        self._content.append("list", "\n".join(self._lines))
        self._lines.clear()


def _first_number(node: "LexborNode") -> int:
    start = (node.attributes.get("start") or "").strip()
    return int(start) if start.isascii() and start.isdigit() and len(start) < 10 else 1


def _layout_tables(root: "LexborNode") -> set[int]:
    """Return ids of the elements with headings, code or tables in them; such a table is layout."""
    marked: set[int] = set()
    for node in root.css(_STRUCTURE):
        parent = node.parent
        while parent is not None and parent.mem_id not in marked:
            marked.add(parent.mem_id)
            parent = parent.parent
    return marked


def _read_table(node: "LexborNode", skip: "Callable[[LexborNode], bool]") -> tuple[str, list[str]]:
    """Return the caption, and a line for each row that holds anything, with bars between cells."""
    captions: list[str] = []
    rows: list[str] = []
    for tag, cells in _table_rows(node, skip):
        if tag == "tr" and any(cells):
            rows.append(" | ".join(cells).strip())
        elif tag == "caption":
            captions += cells
    return " ".join(captions), rows


def _table_rows(
    node: "LexborNode", skip: "Callable[[LexborNode], bool]"
) -> Iterator[tuple[str, list[str]]]:
    cells: list[str] = []
    inline: list[str] = []
    for part, entering in walk(node, skip=skip):
        tag = part.tag or ""
        if part.is_text_node:
            inline.append(inline_text(part) if entering else "")
        elif tag == "br" or tag in BLOCK_TAGS:
            inline.append(" ")
        if tag in {"td", "th", "caption"} and not entering:
            cells.append(joined(inline))
        if tag in {"td", "th", "caption", "tr"}:
            inline.clear()
        if tag in {"tr", "caption"} and not entering:
            yield tag, cells
            cells = []


def _code(node: "LexborNode", skip: "Callable[[LexborNode], bool]") -> str:
    pieces: list[str] = []
    lines = {child.mem_id for child in node.iter() if child.tag == "code"}
    for part, entering in walk(node, skip=skip):
        if part.is_text_node:
            pieces.append(verbatim_text(part) if entering else "")
            continue
        ends_line = part.tag in BLOCK_TAGS and not entering
        if entering and part.prev is not None and part.mem_id in lines:
            ends_line = part.prev.mem_id in lines  # an element for each line
        if (part.tag == "br" and entering) or (
            ends_line and not "".join(pieces[-2:]).endswith("\n")
        ):
            pieces.append("\n")
    return "".join(pieces)
