"""Sections: runs of text units between headings, joined where small and divided where long."""

import math
from collections.abc import Iterable, Iterator, Sequence

from ragkit.ingest.chunkers.units import TextUnit

_SMALL = 0.25
"""A section below this share of the chunk size is joined to the next."""


def sections_of(units: Sequence[TextUnit], size: int) -> Iterator[list[TextUnit]]:
    """Yield runs of units between headings; a run that is small is joined to the next."""
    current: list[TextUnit] = []
    tokens = 0
    for run in _runs(units):
        following = sum(unit.tokens for unit in run)
        is_joined = tokens < size * _SMALL and tokens + following <= size
        if current and not is_joined:
            yield current
            current, tokens = [], 0
        current += run
        tokens += following
    if current:
        yield current


def _runs(units: Iterable[TextUnit]) -> Iterator[list[TextUnit]]:
    """Yield each heading, or several in a row, with what follows up to the next heading."""
    run: list[TextUnit] = []
    for unit in units:
        if unit.is_heading and run and not run[-1].is_heading:
            yield run
            run = []
        run.append(unit)
    if run:
        yield run


def split_section(section: Sequence[TextUnit], size: int) -> Iterator[list[TextUnit]]:
    """Divide a section into parts of at most `size` tokens, about equal in length."""
    total = sum(unit.tokens for unit in section)
    target = math.ceil(total / max(1, math.ceil(total / size)))
    current: list[TextUnit] = []
    tokens = 0
    for unit in section:
        over = tokens + unit.tokens > size
        full = tokens >= target or (
            tokens + unit.tokens / 2 > target and not current[-1].is_heading
        )
        if current and (over or full):
            yield current
            current, tokens = [], 0
        current.append(unit)
        tokens += unit.tokens
    if current:
        yield current
