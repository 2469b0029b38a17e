"""Sentences of scripts whose marks sentencex does not know: Thai, Lao, Khmer and Tibetan.

Thai and Lao have no full stop: a space ends a clause or a sentence, and also stands in lists and
around numbers. A sentence ends here at a space between two letters, after as many characters as a
clause has at least; a dot is that of an abbreviation.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import pairwise

_CLAUSE = 60
_LOOK_BACK = 8
_SCRIPTS = re.compile("[\u0e00-\u0fff\u1780-\u17ff]")
_ABBREVIATED = re.compile(r"[\u0e01-\u0eff]\.[ \t\xa0]*\Z")
_LETTER = "[\u0e01-\u0e4e\u0e81-\u0ece\u0edc-\u0edf]"
_END = re.compile(
    "(?P<mark>(?:[\u0f0d-\u0f11\u17d4\u17d5][\"')\\]\u201d\u2019\xbb]*\\s*)+)"
    f"|(?P<space>(?<={_LETTER})[ \\t\\xa0\u200b]+(?={_LETTER}))"
)


def refined(text: str, spans: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield the spans of sentences, joined and divided as these scripts need it."""
    if not _SCRIPTS.search(text):
        yield from spans
        return
    for start, end in _joined(text, spans):
        yield from pairwise([start, *_cuts(text, start, end), end])


def _joined(text: str, spans: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    begun: tuple[int, int] | None = None
    for start, end in spans:
        if (
            begun
            and begun[1] == start
            and _ABBREVIATED.search(text, max(0, start - _LOOK_BACK), start)
        ):
            begun = begun[0], end
            continue
        if begun:
            yield begun
        begun = start, end
    if begun:
        yield begun


def _cuts(text: str, start: int, end: int) -> Iterator[int]:
    for found in _END.finditer(text, start, end):
        is_end = found["mark"] is not None or found.start() - start >= _CLAUSE
        if is_end and found.end() < end:
            start = found.end()
            yield start
