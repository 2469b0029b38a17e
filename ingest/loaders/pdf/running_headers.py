"""Running headers, footers and page numbers: lines that recur at the edges of pages."""

import re
from collections import defaultdict
from collections.abc import Hashable, Sequence
from itertools import product

from ragkit.ingest.loaders.pdf.layout import CLEARLY_LARGER, body_size
from ragkit.ingest.loaders.pdf.lines import Line

_MARGIN = 0.17  # of the page's height: LaTeX sets page numbers as high as 0.16
_MANY_PAGES = 3
_MOST_NUMBERS = 4
_NUMBER = re.compile(r"\d{1,9}")
_ROMAN = re.compile(r"[ivxlc]+", re.IGNORECASE)
_PAGE_NUMBER = re.compile(r"^(\d{1,4})\b|\b(\d{1,4})$")


def without_running_lines(lines: Sequence[Line], *, pages: int) -> list[Line]:
    """Return the lines without headers, footers and page numbers.

    A line recurs if it stands at the same height on three pages, or on more than half of them, in
    the same words, and with numbers that are the same or grow with the pages. Larger type than the
    body's must be the same to the digit: chapters begin at the top of a page, too.
    """
    limit = body_size(lines) * CLEARLY_LARGER
    keys = [_recurring_keys(line, counting=line.size <= limit) for line in lines]
    seen: defaultdict[Hashable, set[int]] = defaultdict(set)
    for line, own in zip(lines, keys, strict=True):
        for key in own:
            seen[key].add(line.page)
    enough = min(_MANY_PAGES, max(1, pages // 2) + 1)
    running = {key for key, found in seen.items() if len(found) >= enough}
    kept = [line for line, own in zip(lines, keys, strict=True) if running.isdisjoint(own)]
    return kept or list(lines)


def _recurring_keys(line: Line, *, counting: bool) -> set[Hashable]:
    """Return what a line at a page's edge would share with its like on other pages."""
    if _MARGIN < line.height < 1 - _MARGIN:
        return set()
    place = round(line.y / 5)
    keys: set[Hashable] = {(place, line.text)}
    if not counting:
        return keys
    if _ROMAN.fullmatch(line.text):
        keys.add((place, "roman"))
    # "18 WAYS AND KNOTS" and "PLANES 19": the page's number, beside a changing title.
    for start, end in _PAGE_NUMBER.findall(line.text):
        keys.add((place, int(start or end) - line.page))
    numbers = [int(number) for number in _NUMBER.findall(line.text)]
    if len(numbers) <= _MOST_NUMBERS:
        words = _NUMBER.sub("#", line.text)
        readings = (((False, n), (True, n - line.page)) for n in numbers)
        keys.update((place, words, reading) for reading in product(*readings))
    return keys
