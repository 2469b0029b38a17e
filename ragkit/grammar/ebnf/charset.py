"""Sets of Unicode scalar values, as sorted ranges of code points."""

import functools
import unicodedata
from collections.abc import Callable, Iterable

from ragkit.grammar.ebnf.expression import Ranges

SCALARS: Ranges = ((0, 0xD7FF), (0xE000, 0x10FFFF))
CONTROLS: Ranges = ((0x00, 0x07), (0x0B, 0x0B), (0x0E, 0x1F))
"""C0 controls without a short JSON escape; free text has none of them."""
DIGITS: Ranges = ((0x30, 0x39),)
WORD: Ranges = ((0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A))
LINE_ENDS: Ranges = ((0x0A, 0x0A), (0x0D, 0x0D), (0x2028, 0x2029))
_MANY_RANGES = 64
_LATIN_END = 0x250
_LONG_RANGE = 40
_ECMA_SPACE_ONLY: Ranges = ((0xFEFF, 0xFEFF),)


def union(*sets: Ranges) -> Ranges:
    """Return all code points of the sets."""
    merged: list[tuple[int, int]] = []
    for low, high in sorted(span for ranges in sets for span in ranges):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return tuple(merged)


def complement(ranges: Ranges) -> Ranges:
    """Return all scalar values outside the set."""
    gaps: list[tuple[int, int]] = []
    start = 0
    for low, high in ranges:
        gaps.append((start, low - 1))
        start = high + 1
    gaps.append((start, 0x10FFFF))
    return intersection(tuple(gap for gap in gaps if gap[0] <= gap[1]), SCALARS)


def intersection(left: Ranges, right: Ranges) -> Ranges:
    """Return the code points in both sets."""
    spans = ((max(a, c), min(b, d)) for a, b in left for c, d in right if a <= d and c <= b)
    return tuple(sorted(spans))


def difference(left: Ranges, right: Ranges) -> Ranges:
    """Return the code points of `left` that are not in `right`."""
    return intersection(left, complement(right))


def of(text: Iterable[str]) -> Ranges:
    """Return the set of the characters of a text."""
    return union(tuple((ord(char), ord(char)) for char in text))


TEXT: Ranges = difference(SCALARS, CONTROLS)
"""The characters of free text."""


def _scan(holds: Callable[[str], bool]) -> Ranges:
    return union(
        tuple((c, c) for low, high in SCALARS for c in range(low, high + 1) if holds(chr(c)))
    )


@functools.cache
def category(name: str, *, wide: bool) -> Ranges:
    r"""Return the set of `\d`, `\w` or `\s` (by its letter).

    ECMA 262 and Python's `re` disagree beyond ASCII: the narrow set is in both, the wide set in
    either. A class is read narrow and a negated class wide, so that a decoded text matches
    under both.
    """
    if name == "s":
        spaces = _scan(str.isspace)
        ecma = difference(union(spaces, _ECMA_SPACE_ONLY), of("\x1c\x1d\x1e\x1f\x85"))
        return union(spaces, ecma) if wide else intersection(spaces, ecma)
    narrow = DIGITS if name == "d" else WORD
    if not wide:
        return narrow
    return union(narrow, _scan(str.isdecimal if name == "d" else str.isalnum))


@functools.cache
def unicode_category(name: str) -> Ranges:
    """Return the characters whose general category begins with the name; empty if none do."""
    return _scan(lambda char: unicodedata.category(char).startswith(name))


def coarse(ranges: Ranges) -> Ranges:
    """Return the set without its short ranges beyond Latin letters, where it has very many.

    A class of 600 ranges, such as that of all letters, would be a grammar of its own.
    """
    if len(ranges) <= _MANY_RANGES:
        return ranges
    return tuple((a, b) for a, b in ranges if b < _LATIN_END or b - a >= _LONG_RANGE)
