"""Lines of text with their place and size, read from PDFium's text pages."""

import ctypes
import math
import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

_LINE_ENDS = frozenset({0x0A, 0x0D})
_HYPHEN_MARK = 0x02  # PDFium's code for a hyphen at the end of a line.
_SAMPLES = 8
_FAR_AWAY = 1e7  # points
_COLUMN_GAP = 1.6  # in font sizes; justified text stays well below
_LEADER = re.compile(r"(?:\. ?){4}")
_BOLD_WEIGHT = 600
_BOLD_NAME = re.compile(rb"bold|black|heavy|demi|-medi\b|bx\d", re.IGNORECASE)
_PRIVATE_USE = re.compile("[\ue000-\uf8ff]")
_CLEANED = str.maketrans(
    {
        **dict.fromkeys(map(chr, [*range(0x20), *range(0x7F, 0xA1)]), " "),
        **dict.fromkeys("\xad\u200b\u2060\ufeff\ufffe\uffff"),
        "\uf0b7": "•", "\uf0a7": "▪", "\uf076": "•", "\uf0d8": "•", "\uf0fc": "•",
        "ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "ﬅ": "st", "ﬆ": "st",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line of text, or a piece of one that PDFium set apart.

    Places are in points, in a frame turned so that the line runs to the right: `y` is the baseline
    and grows upwards; `height` is the same as a share of the page, 0 at its foot and 1 at its head.
    `gap` is the widest space between two words. `hyphenated` says that a word is
    divided at the line's end; the mark is not in `text`.
    """

    page: int
    text: str
    left: float
    right: float
    y: float
    size: float
    height: float = 0.5
    gap: float = 0.0
    bold: bool = False
    hyphenated: bool = False

    @property
    def is_row(self) -> bool:
        """True for a line with columns: a row of a table or of a table of contents."""
        return self.gap > _COLUMN_GAP * self.size or bool(_LEADER.search(self.text))


# Any, here and below: pypdfium2 and its generated bindings have no types.
def read_lines(pdf: Any, raw: Any) -> Iterator[Line]:
    """Yield the lines of all pages in PDFium's reading order, closing each page after its lines."""
    for index in range(len(pdf)):
        with closing(pdf[index]) as page, closing(page.get_textpage()) as text_page:
            yield from _page_lines(_TextPage(text_page.raw, raw, page.get_bbox()), index + 1)


def clean_text(text: str) -> str:
    """Remove controls, private-use characters, ligatures and repeated spaces from a text."""
    whole = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "ignore")
    return " ".join(_PRIVATE_USE.sub("", whole.translate(_CLEANED)).split())


class _TextPage:
    """A page's characters, as PDFium's text functions give them."""

    def __init__(self, handle: Any, raw: Any, bounds: tuple[float, float, float, float]) -> None:
        self.bounds = tuple(map(_finite, bounds))
        self._handle = handle
        self._raw = raw
        self._box = tuple(ctypes.c_double() for _ in range(4))

    def codes(self) -> list[int]:
        count = self._raw.FPDFText_CountChars(self._handle)
        return [self._raw.FPDFText_GetUnicode(self._handle, i) for i in range(count)]

    def is_hyphen(self, index: int) -> bool:
        return bool(self._raw.FPDFText_IsHyphen(self._handle, index) == 1)

    def matrix(self, index: int) -> tuple[float, float, float, float]:
        matrix = self._raw.FS_MATRIX()
        if not self._raw.FPDFText_GetMatrix(self._handle, index, matrix):
            return 1.0, 0.0, 0.0, 1.0
        return _finite(matrix.a), _finite(matrix.b), _finite(matrix.c), _finite(matrix.d)

    def size(self, index: int) -> float:
        """Font size in points as it appears on the page."""
        _, _, c, d = self.matrix(index)
        return _finite(self._raw.FPDFText_GetFontSize(self._handle, index) * math.hypot(c, d))

    def origin(self, index: int) -> tuple[float, float]:
        x, y = ctypes.c_double(), ctypes.c_double()
        self._raw.FPDFText_GetCharOrigin(self._handle, index, x, y)
        return _finite(x.value), _finite(y.value)

    def corners(self, index: int) -> tuple[tuple[float, float], tuple[float, float]]:
        left, right, bottom, top = self._box
        self._raw.FPDFText_GetCharBox(self._handle, index, left, right, bottom, top)
        return (
            (_finite(left.value), _finite(bottom.value)),
            (_finite(right.value), _finite(top.value)),
        )

    def is_bold(self, index: int) -> bool:
        if self._raw.FPDFText_GetFontWeight(self._handle, index) >= _BOLD_WEIGHT:
            return True
        name = ctypes.create_string_buffer(128)
        self._raw.FPDFText_GetFontInfo(self._handle, index, name, len(name), ctypes.c_int())
        return bool(_BOLD_NAME.search(name.value))


def _finite(value: float) -> float:
    """Return the number, or 0 for one that a damaged page made useless."""
    return float(value) if abs(value) < _FAR_AWAY else 0.0


def _page_lines(page: _TextPage, number: int) -> Iterator[Line]:
    codes = page.codes()
    for run, hyphenated in _runs(codes, page):
        text = clean_text("".join(chr(codes[index]) for index in run))
        visible = [index for index in run if not chr(codes[index]).isspace()]
        if text and visible:
            yield _line(page, number, text, visible, hyphenated)


def _runs(codes: list[int], page: _TextPage) -> Iterator[tuple[list[int], bool]]:
    """Yield the characters' indexes of each line, with True where it ends in a divided word."""
    run: list[int] = []
    for index, code in enumerate(codes):
        hyphen = code == _HYPHEN_MARK and page.is_hyphen(index)
        if hyphen or code in _LINE_ENDS:
            yield run, hyphen
            run = []
        elif code < 0x110000:
            run.append(index)
    yield run, False


def _line(page: _TextPage, number: int, text: str, visible: list[int], hyphenated: bool) -> Line:
    samples = visible[:: max(1, len(visible) // _SAMPLES)]
    a, b, _, _ = page.matrix(visible[0])
    turn = math.atan2(b, a)
    cos, sin = math.cos(turn), math.sin(turn)

    def extent(index: int) -> tuple[float, float]:
        first, second = (x * cos + y * sin for x, y in page.corners(index))
        return min(first, second), max(first, second)

    ends = [*extent(visible[0]), *extent(visible[-1])]
    around = [(i, j) for i, j in pairwise(visible) if j > i + 1]
    x, y = page.origin(visible[0])
    baseline = y * cos - x * sin
    left, bottom, right, top = page.bounds
    levels = [v * cos - u * sin for u in (left, right) for v in (bottom, top)]
    return Line(
        page=number,
        text=text,
        left=min(ends),
        right=max(ends),
        y=baseline,
        height=(baseline - min(levels)) / max(max(levels) - min(levels), 1.0),
        size=abs(sorted(map(page.size, samples))[len(samples) // 2]) or 1.0,
        gap=max((extent(j)[0] - extent(i)[1] for i, j in around), default=0.0),
        bold=all(map(page.is_bold, samples)),
        hyphenated=hyphenated,
    )
