"""HTML tables as text: a line for each row, with a bar between its cells."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from ragkit.ingest.loaders.html.tree import BLOCK_TAGS, inline_text, joined, walk

if TYPE_CHECKING:
    from selectolax.lexbor import LexborNode


def read_table(
    node: "LexborNode", *, skip: "Callable[[LexborNode], bool]"
) -> tuple[str, list[str]]:
    """The caption, and the rows that hold anything; nodes for which `skip` holds are left out."""
    captions: list[str] = []
    rows: list[str] = []
    for tag, cells in _rows(node, skip):
        if tag == "tr" and any(cells):
            rows.append(" | ".join(cells).strip())
        elif tag == "caption":
            captions += cells
    return " ".join(captions), rows


def _rows(
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
