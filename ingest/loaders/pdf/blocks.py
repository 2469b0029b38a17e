"""Blocks of a PDF: hyphenation and line breaks in them, headings, lists and tables."""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise

from ragkit.core.types import BlockKind
from ragkit.ingest.loaders.blocks import TextBuilder
from ragkit.ingest.loaders.pdf.layout import (
    CLEARLY_LARGER,
    body_size,
    breaks_by_hand,
    is_bulleted,
    paragraphs,
)
from ragkit.ingest.loaders.pdf.lines import Line

_LONGEST_HEADING = 200
_LONGEST_BOLD_HEADING = 100
_MOST_HEADING_LINES = 3
_LEAST_LETTERS = 3
_LOWEST_LEVEL = 3
_OFTEN = 0.3
_ROW_DISTANCE = 3  # in font sizes
_LOOKS_ALIKE = 1.08
_LAST_WORD = re.compile(r"(\w+)-?$")
_FIRST_WORD = re.compile(r"\w+")
_PAGE_NUMBER = re.compile(r"(?:page )?\d+(?: ?(?:of|/) ?\d+)?", re.IGNORECASE)


def write_blocks(lines: Sequence[Line]) -> TextBuilder:
    """Return the document's text; a block lies on one page."""
    content = TextBuilder()
    words = _word_counts(lines)
    groups = _gathered(paragraphs(lines))
    levels = _heading_levels(groups, body=body_size(lines), bold_body=_is_mostly_bold(lines))
    for group, level in zip(groups, levels, strict=True):
        kind: BlockKind = "heading" if level else _kind(group)
        content.append(kind, _text(group, words, level), level=level, page=group[0].page)
    return content


def _kind(group: list[Line]) -> BlockKind:
    if is_bulleted(group[0]):
        return "list"
    rows = sum(line.is_row for line in group)
    return "table" if rows > 1 and 2 * rows >= len(group) else "paragraph"


def _gathered(groups: Sequence[list[Line]]) -> list[list[Line]]:
    """Join the items of a list, and the rows of a table."""
    gathered: list[list[Line]] = []
    for group in groups:
        if gathered and _belong_together(gathered[-1], group):
            gathered[-1].extend(group)
        else:
            gathered.append(group)
    return gathered


def _belong_together(group: list[Line], following: list[Line]) -> bool:
    last, line = group[-1], following[0]
    if last.page != line.page:
        return False
    if is_bulleted(group[0]):
        return is_bulleted(line)
    rows = all(member.is_row for member in [*group, *following])
    return rows and 0 < last.y - line.y < _ROW_DISTANCE * line.size


def _text(group: list[Line], words: Mapping[str, int], level: int) -> str:
    by_hand = [False] * (len(group) - 1) if level else _line_breaks(group)
    # Prose has such a break now and then; verses, addresses and forms have one at most line ends.
    every = any(by_hand) and sum(by_hand) >= _OFTEN * len(by_hand)
    parts: list[str] = []
    for (last, line), broken in zip(pairwise(group), by_hand, strict=True):
        if is_bulleted(line) or ((broken or every) and not last.hyphenated):
            parts.append(f"{last.text}\n")
        else:
            parts.append(line_with_break(last.text, line.text, words, divided=last.hyphenated))
    return "".join([*parts, group[-1].text])


def _line_breaks(group: list[Line]) -> list[bool]:
    """Return True for each line but the last that ends before its margin."""
    margins: list[float] = []
    for column in _columns(group):
        margins += [max(line.right for line in column)] * len(column)
    return [
        _share_column(last, line) and breaks_by_hand(last, line, margin)
        for (last, line), margin in zip(pairwise(group), margins, strict=False)
    ]


def _columns(group: list[Line]) -> list[list[Line]]:
    columns = [[group[0]]]
    for last, line in pairwise(group):
        if _share_column(last, line):
            columns[-1].append(line)
        else:
            columns.append([line])
    return columns


def _share_column(line: Line, other: Line) -> bool:
    return line.left < other.right and other.left < line.right


def _heading_levels(groups: Sequence[list[Line]], *, body: float, bold_body: bool) -> list[int]:
    """Return a level for each group, 0 for one that is no heading; larger type is a lower level."""
    large = [_is_heading(group) and group[0].size >= CLEARLY_LARGER * body for group in groups]
    ranks = _ranks([g[0].size for g, is_large in zip(groups, large, strict=True) if is_large])
    below = max(ranks.values(), default=0) + 1
    levels: list[int] = []
    for group, is_large in zip(groups, large, strict=True):
        bold = not bold_body and group[0].size > 0.95 * body and _is_bold_heading(group)
        rank = ranks[group[0].size] if is_large else below if bold else 0
        levels.append(min(rank, _LOWEST_LEVEL))
    return levels


def _ranks(sizes: Sequence[float]) -> dict[float, int]:
    """Return the rank of each size from the largest; sizes that look alike share one."""
    ranks: dict[float, int] = {}
    rank, leader = 0, math.inf
    for size in sorted(set(sizes), reverse=True):
        if size < leader / _LOOKS_ALIKE:
            rank, leader = rank + 1, size
        ranks[size] = rank
    return ranks


def _is_heading(group: list[Line]) -> bool:
    text = " ".join(line.text for line in group)
    letters = sum(map(str.isalpha, text))
    short = len(group) <= _MOST_HEADING_LINES and len(text) <= _LONGEST_HEADING
    if not short or letters < _LEAST_LETTERS or letters <= sum(map(str.isdigit, text)):
        return False
    if _PAGE_NUMBER.fullmatch(text) or is_bulleted(group[0]):
        return False
    return not any(line.is_row for line in group)


def _is_bold_heading(group: list[Line]) -> bool:
    line = group[0]
    short = len(group) == 1 and len(line.text) <= _LONGEST_BOLD_HEADING
    return short and line.bold and line.text[-1] not in ".,;" and _is_heading(group)


def _is_mostly_bold(lines: Sequence[Line]) -> bool:
    bold = sum(len(line.text) for line in lines if line.bold)
    return 2 * bold > sum(len(line.text) for line in lines)


def _word_counts(lines: Sequence[Line]) -> Counter[str]:
    """Count the words in lower case, with their hyphens, without parts of divided words."""
    counts: Counter[str] = Counter()
    divided = False
    for line in lines:
        words = re.findall(r"\w+(?:-\w+)*", line.text.lower())
        last = line.hyphenated or line.text.endswith("-")
        counts.update(words[divided : -1 if last else None])
        divided = last
    return counts


def line_with_break(line: str, following: str, words: Mapping[str, int], *, divided: bool) -> str:
    """Return a line's text with its joint to the next one: a space, a hyphen, or nothing."""
    last, first = _LAST_WORD.search(line), _FIRST_WORD.match(following)
    if not (divided or line.endswith("-")) or not last or not first:
        return f"{line} "
    stem = line.removesuffix("-")
    return f"{stem}-" if _keeps_hyphen(last[1], first[0], words) else stem


def _keeps_hyphen(last: str, first: str, words: Mapping[str, int]) -> bool:
    """Return whether a hyphen at a line's end belongs to the word, by the document's own words."""
    if not first[0].islower() or last[-1].isdigit():
        return True
    whole, compound = f"{last}{first}".lower(), f"{last}-{first}".lower()
    if whole in words or compound in words:
        return words.get(compound, 0) > words.get(whole, 0)
    return min(len(last), len(first)) > 2 and last.lower() in words and first in words
