"""Running headers, footers and page numbers: what recurs at the edges of a PDF's pages."""

import re
from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from itertools import groupby

from ragkit.ingest.loaders.pdf_layout import CLEARLY_LARGER, body_size
from ragkit.ingest.loaders.pdf_lines import Line

_EDGE_ROWS = 3
_MANY_PAGES = 3
_ROMAN = re.compile(r"[ivxlc]+", re.IGNORECASE)
_PAGE_NUMBER = re.compile(r"^(\d{1,4})\b|\b(\d{1,4})$")


def without_running_lines(lines: Sequence[Line], *, pages: int) -> list[Line]:
    """Leave out headers, footers and page numbers: what recurs at the edge of the pages."""
    limit = body_size(lines) * CLEARLY_LARGER
    none: frozenset[Hashable] = frozenset()
    keys = [
        _recurring_keys(line, with_numbers=line.size <= limit) if at_edge else none
        for line, at_edge in zip(lines, _at_edge(lines), strict=True)
    ]
    seen: defaultdict[Hashable, set[int]] = defaultdict(set)
    for line, own in zip(lines, keys, strict=True):
        for key in own:
            seen[key].add(line.page)
    running = {key for key, found in seen.items() if _recurs(len(found), pages)}
    kept = [line for line, own in zip(lines, keys, strict=True) if running.isdisjoint(own)]
    return kept or list(lines)


def _at_edge(lines: Sequence[Line]) -> Iterator[bool]:
    """For each line, whether it is in the uppermost or lowermost rows of its page."""
    for _, group in groupby(lines, key=lambda line: line.page):
        heights = [round(line.y) for line in group]
        rows = sorted(set(heights))
        edge = {*rows[:_EDGE_ROWS], *rows[-_EDGE_ROWS:]}
        yield from (height in edge for height in heights)


def _recurring_keys(line: Line, *, with_numbers: bool) -> frozenset[Hashable]:
    """What a line has in common with the same header or footer on other pages."""
    height = round(line.y / 5)
    keys: set[Hashable] = {(line.text, height)}
    if with_numbers:
        masked = "#" if _ROMAN.fullmatch(line.text) else re.sub(r"\d+", "#", line.text)
        keys.add((masked, height))
        # "18 WAYS AND KNOTS" and "PLANES 19": the page's number, beside a changing title.
        for start, end in _PAGE_NUMBER.findall(line.text):
            keys.add((int(start or end) - line.page, height))
    return frozenset(keys)


def _recurs(count: int, pages: int) -> bool:
    return count >= _MANY_PAGES or (count > 1 and count > pages / 2)
