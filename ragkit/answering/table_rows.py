"""Rows of tables: Markdown's, and those that the HTML loader writes as `a | b`."""

import re
from collections.abc import Sequence
from itertools import pairwise

from ragkit.answering.markup import PlainText, plain_text
from ragkit.core.types import Chunk

COLUMNS = "Columns: "
"""Stands before the head of a table above a chunk that goes on with it."""

_RULE = re.compile(r"[ \t]*[|+]?[ \t]*:?(?:[-=]{2,}|-[ \t]*:?[ \t]*\|)[-=:|+ \t]*\Z")


def is_row(line: str, literal: bool) -> bool:
    """Return True for a row of a table or the rule below its head."""
    stripped = line.strip()
    rule = ("|" in stripped or stripped.startswith("+")) and is_rule(stripped)
    return stripped.startswith("|") or rule or (literal and " | " in stripped)


def is_rule(line: str) -> bool:
    """Return True for the line between the head of a table and its body."""
    return bool(_RULE.match(line))


def is_ruled(lines: Sequence[str]) -> bool:
    """Return True for a table whose first row is its head: over a rule, in a frame a double one."""
    at = next((number for number, line in enumerate(lines) if not is_rule(line)), 0)
    after = "".join(lines[at + 1 : at + 2])
    framed = at > 0 or after.lstrip().startswith("+")
    return is_rule(after) and ("=" in after or not framed)


def cells_of(source: str, start: int, end: int, *, literal: bool) -> list[PlainText]:
    """Return the cells of the row `source[start:end]`; bars in code divide none."""
    row = source[start:end]
    edges = [start - 1]
    quoted = False
    for offset, character in enumerate(row, start=start):
        quoted ^= character == "`"
        if character == "|" and not quoted and source[offset - 1 : offset] != "\\":
            edges.append(offset)
    edges.append(end)
    parts = [plain_text(source, low + 1, high, literal=literal) for low, high in pairwise(edges)]
    first = int(row.lstrip().startswith("|"))
    return parts[first : len(parts) - int(row.rstrip().endswith("|"))]


def columns_above(chunk: Chunk) -> str:
    """Return the head of the table that a chunk goes on with, empty where it begins otherwise."""
    lines = (chunk.context or "").splitlines()
    return next((line[len(COLUMNS) :] for line in lines if line.startswith(COLUMNS)), "")


def joined(cells: Sequence[PlainText], names: Sequence[str]) -> PlainText:
    """Return the cells of a row as one text, each after the name of its column."""
    text, offsets, units = "", list[int](), list[tuple[int, int]]()
    parts: list[tuple[int, int]] = []
    for number, cell in enumerate(cells):
        if not cell.text:
            continue
        name = names[number] if number < len(names) else ""
        lead = ("; " if text else "") + (f"{name}: " if name else "")
        offsets += [cell.offsets[0]] * len(lead)
        text += lead
        units += [(start + len(text), end + len(text)) for start, end in cell.units]
        offsets += cell.offsets
        parts.append((len(text), len(text) + len(cell.text)))
        text += cell.text
    return PlainText(text=text, offsets=tuple(offsets), units=tuple(units), parts=tuple(parts))
