"""Paragraphs of a page: which lines adjoin on a row, and where a paragraph ends."""

import re
import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from ragkit.ingest.loaders.pdf.lines import Line

CLEARLY_LARGER = 1.15
"""The least size of a heading, as a multiple of the body's."""

_SAME_SIZE = 1.1
_SAME_ROW = 0.55
_LOOSE = 1.25
_INDENT = 0.8
_BULLET = re.compile(r"[•‣▪◦●○■□➢✓](?:\s|\w|$)|[-\u2013*·]\s+\w")
_NUMBERED = re.compile(r"(?:\(?\d{1,2}[.)]|\(?[a-z][.)])\s")


def body_size(lines: Sequence[Line]) -> float:
    """Return the font size of most text: the median over characters."""
    ranked = sorted((line.size, len(line.text)) for line in lines)
    rest = sum(count for _, count in ranked) / 2
    for size, count in ranked:
        rest -= count
        if rest <= 0:
            return size
    return 1.0


def is_bulleted(line: Line) -> bool:
    """Return whether a line begins with a bullet."""
    return bool(_BULLET.match(line.text))


def breaks_by_hand(line: Line, following: Line, right: float) -> bool:
    """Return whether the author ended the line: a table's row, or room for the next word."""
    if line.is_row or following.is_row:
        return True
    word = following.text.split(" ", 1)[0]
    width = (following.right - following.left) * len(word) / len(following.text)
    return not line.hyphenated and line.right + width + 0.5 * line.size < right


def merge_rows(lines: Sequence[Line]) -> list[Line]:
    """Join sub- and superscripts and other pieces that adjoin on one row."""
    rows: list[Line] = []
    for line in lines:
        if rows and _adjoin(rows[-1], line):
            rows[-1] = _merged(rows[-1], line)
        else:
            rows.append(line)
    return rows


def paragraphs(lines: Sequence[Line]) -> list[list[Line]]:
    """Group consecutive lines by page, size, spacing, indentation and bullets."""
    spacing = _usual_spacing(lines)
    groups: list[list[Line]] = []
    for line in lines:
        if groups and not _starts_paragraph(groups[-1], line, spacing):
            groups[-1].append(line)
        else:
            groups.append([line])
    return groups


def _adjoin(row: Line, line: Line) -> bool:
    size = max(row.size, line.size)
    return (
        row.page == line.page
        and not row.hyphenated
        and abs(row.y - line.y) < _SAME_ROW * size
        and -0.3 * size < line.left - row.right < 0.6 * size
    )


def _merged(row: Line, line: Line) -> Line:
    main = max(row, line, key=lambda part: (part.size, len(part.text)))
    gap = " " if line.left - row.right > 0.15 * main.size else ""
    return replace(
        main,
        text=f"{row.text}{gap}{line.text}",
        left=row.left,
        right=max(row.right, line.right),
        gap=max(row.gap, line.gap),
        bold=row.bold and line.bold,
        hyphenated=line.hyphenated,
    )


def _usual_spacing(lines: Sequence[Line]) -> dict[int, float]:
    """Return the median distance of baselines for each font size, in points."""
    distances: defaultdict[int, list[float]] = defaultdict(list)
    for line, following in pairwise(lines):
        distance = line.y - following.y
        alike = line.page == following.page and _same_size(line, following)
        if alike and _SAME_ROW * line.size < distance < 3 * line.size:
            distances[round(2 * line.size)].append(distance)
    usual = {size: statistics.median(found) for size, found in distances.items()}
    # Few lines are set in other sizes than the body's, so their median may be a distance of blocks.
    body = round(2 * body_size(lines))
    return {size: s if size == body else min(s, 0.65 * size) for size, s in usual.items()}


def _same_size(line: Line, other: Line) -> bool:
    return max(line.size, other.size) <= _SAME_SIZE * min(line.size, other.size)


def _starts_paragraph(group: list[Line], line: Line, spacing: dict[int, float]) -> bool:
    last = group[-1]
    if last.page != line.page or not _same_size(last, line) or is_bulleted(line):
        return True
    distance = last.y - line.y
    if distance < _SAME_ROW * line.size:  # beside it, or at the top of the next column
        return not _runs_on(last, line)
    usual = spacing.get(round(2 * line.size), 1.2 * line.size)
    if len(group) > 1 and group[-2].y > last.y:
        usual = min(usual, max(group[-2].y - last.y, line.size))
    if distance > _LOOSE * usual or _is_indented(group, line):
        return True
    if last.bold != line.bold:
        return not last.hyphenated
    if not _NUMBERED.match(line.text):
        return False
    return breaks_by_hand(last, line, max(member.right for member in [*group, line]))


def _runs_on(last: Line, line: Line) -> bool:
    """Return whether a sentence continues at the top of the next column."""
    above = line.y > last.y + 2 * line.size and line.left > last.right
    return above and (last.hyphenated or (line.text[0].islower() and last.text[-1] not in ".!?:"))


def _is_indented(group: list[Line], line: Line) -> bool:
    """Return whether a line is indented like a first line, or hangs like one of a list's item."""
    if len(group) < 2:
        return False
    shift = line.left - group[-1].left
    hanging = abs(line.left - group[0].left) < 0.5 * line.size
    return shift > _INDENT * line.size or (hanging and shift < -_INDENT * line.size)
