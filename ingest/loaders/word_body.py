"""The body of a Word document: its paragraphs, text boxes and tables as they are shown.

Part 17 of ECMA-376: text stands in runs, which insertions, fields, links and content controls
may enclose at any depth.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_ALTERNATIVES = "{http://schemas.openxmlformats.org/markup-compatibility/2006}AlternateContent"
_FORMULA_TEXT = "{http://schemas.openxmlformats.org/officeDocument/2006/math}t"
_TEXT = f"{_W}t"
_BREAK = f"{_W}br"
_BOX = f"{_W}txbxContent"
PARAGRAPH = f"{_W}p"
TABLE = f"{_W}tbl"
NUMBERING = f"{_W}pPr/{_W}numPr"

_SIGNS: Mapping[str, str] = {
    f"{_W}tab": "\t",
    f"{_W}ptab": "\t",
    f"{_W}cr": "\n",
    f"{_W}noBreakHyphen": "-",
}
# Deleted and moved text is not shown; `w:rt` is how a character is read (furigana). Properties
# have elements of the same names as text, such as the tab stops.
_LEFT_OUT = frozenset(f"{_W}{name}" for name in ("del", "moveFrom", "rt", "pPr", "rPr", "sdtPr"))


def body_blocks(container: "Element") -> Iterator["Element"]:
    """Yield the paragraphs and tables in order; a text box follows its paragraph."""
    for child in _shown(container):
        if child.tag == TABLE:
            yield child
        elif child.tag == PARAGRAPH:
            yield child
            for box in _boxes(child):
                yield from body_blocks(box)
        else:
            yield from body_blocks(child)


def paragraph_text(paragraph: "Element") -> str:
    """Return the text of a paragraph, without that of its text boxes."""
    return "".join(_pieces(paragraph))


def table_cells(table: "Element") -> Iterator[list[str]]:
    """Yield the texts of each row's cells.

    A cell that spans columns is given once; one that spans rows is given in each of them.
    """
    above: dict[int, str] = {}
    for row in _parts(table, f"{_W}tr"):
        column = _number(row, f"{_W}trPr/{_W}gridBefore")
        texts: list[str] = []
        for cell in _parts(row, f"{_W}tc"):
            if not _continues(cell):
                above[column] = _cell_text(cell)
            texts.append(above.get(column, ""))
            column += _number(cell, f"{_W}tcPr/{_W}gridSpan", default=1)
        yield texts


def _shown(element: "Element") -> Iterator["Element"]:
    """Yield the children that are shown, of alternatives one that has text."""
    for child in element:
        if child.tag in _LEFT_OUT:
            continue
        if child.tag != _ALTERNATIVES:
            yield child
            continue
        chosen = next((one for one in child if any(text.text for text in one.iter(_TEXT))), None)
        if chosen is not None:
            yield from _shown(chosen)


def _pieces(element: "Element") -> Iterator[str]:
    for child in _shown(element):
        if child.tag in {_TEXT, _FORMULA_TEXT}:
            yield child.text or ""
        elif child.tag == _BREAK:  # others than of lines are breaks of pages and columns
            yield "\n" if child.get(f"{_W}type", "textWrapping") == "textWrapping" else ""
        elif child.tag in _SIGNS:
            yield _SIGNS[child.tag]
        elif child.tag != _BOX:
            yield from _pieces(child)


def _boxes(element: "Element") -> Iterator["Element"]:
    for child in _shown(element):
        if child.tag == _BOX:
            yield child
        else:
            yield from _boxes(child)


def _parts(element: "Element", tag: str) -> Iterator["Element"]:
    """Yield the rows of a table or the cells of a row, content controls around them opened."""
    for child in _shown(element):
        if child.tag == tag:
            yield child
        else:
            yield from _parts(child, tag)


def _cell_text(cell: "Element") -> str:
    return "\n".join(_block_text(block) for block in body_blocks(cell))


def _block_text(block: "Element") -> str:
    if block.tag == PARAGRAPH:
        return paragraph_text(block)
    return "\n".join(" ".join(cells) for cells in table_cells(block))


def _continues(cell: "Element") -> bool:
    """Return whether a cell is the lower part of the one above it."""
    merged = cell.find(f"{_W}tcPr/{_W}vMerge")
    return merged is not None and merged.get(f"{_W}val", "continue") == "continue"


def _number(element: "Element", path: str, *, default: int = 0) -> int:
    found = element.find(path)
    return default if found is None else int(found.get(f"{_W}val") or default)
