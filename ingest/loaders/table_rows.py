"""Rows of a table as text: cells with bars between them, in parts that repeat the header."""

from collections.abc import Iterable, Sequence

from ragkit.ingest.loaders.blocks import TextBuilder

MAX_ROWS = 200_000
"""Rows of a sheet or table that are read."""
MAX_COLUMNS = 500
ROWS = 25
"""Rows of a part, so that a passage of a long table has its header in it or near."""


def append_table(
    content: TextBuilder, rows: Iterable[Sequence[str]], *, page: int | None = None
) -> int:
    """Append a table whose first row is its header, and return the number of rows below it.

    Rows without text are left out. A long table becomes several blocks, each under the header.
    """
    header = ""
    part: list[str] = []
    count = 0
    for cells in rows:
        line = row_text(cells)
        if not line:
            continue
        if not header:
            header = line
            continue
        part.append(line)
        count += 1
        if len(part) == ROWS:
            content.append("table", "\n".join([header, *part]), page=page)
            part = []
    if part or (header and not count):
        content.append("table", "\n".join([header, *part]), page=page)
    return count


def row_text(cells: Sequence[str]) -> str:
    """Return a row on one line, empty where no cell has text."""
    plain = [" ".join(cell.split()) for cell in cells]
    while plain and not plain[-1]:
        plain.pop()
    return " | ".join(plain).strip() if any(plain) else ""
