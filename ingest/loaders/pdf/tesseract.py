"""Scanned pages, read by the Tesseract program: lines with the paragraphs that it found."""

import csv
import io
import math
import os
import re
import shutil
import statistics
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from ragkit.core.errors import ConfigError, InputError
from ragkit.ingest.loaders.pdf.lines import Line, clean_text

DEFAULT_TIMEOUT_S = 60.0
"""Seconds for a page."""
_PROGRAM = "tesseract"
_SCALE = 300 / 72  # pixels of a point at 300 dpi, which Tesseract is made for
_MOST_PIXELS = 40_000_000
_LEADING, _BETWEEN = 1.2, 3.0  # in font sizes
_HYPHEN = re.compile(r"\w[-\u2010]$")
_WORD = "5"
"""The level of words in the table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PageImage:
    """A page in grey.

    Attributes:
        page: Its number, from 1.
        scale: Pixels of a point.
        height: In pixels.
        data: The picture as a file of the format PGM.
    """

    page: int
    scale: float
    height: int
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Tesseract:
    """The Tesseract program.

    Attributes:
        languages: Of the text, as Tesseract names them: `eng`, or `deu+eng` for several.
        timeout_s: Seconds for a page.
    """

    languages: str = "eng"
    timeout_s: float = DEFAULT_TIMEOUT_S

    @property
    def identity(self) -> str:
        """The name, with the languages."""
        return f"tesseract-1:{self.languages}"

    def check(self) -> str:
        """Return the version of the program.

        Raises:
            ConfigError: It is not installed, or lacks a language.
        """
        try:
            known, version = self._run("--list-langs").split(), self._run("--version")
        except (subprocess.SubprocessError, OSError) as error:
            raise ConfigError(
                f"Tesseract does not run ({error}). Fix: apt-get install --reinstall tesseract-ocr"
            ) from error
        missing = [one for one in self.languages.split("+") if one not in known]
        if missing:
            raise ConfigError(
                f"Tesseract has no language {missing[0]!r}. Fix: apt-get install "
                f"tesseract-ocr-{missing[0].replace('_', '-')}, or choose another for ingest.ocr."
            )
        return version.split("\n")[0]

    def lines(self, image: PageImage, *, uri: str) -> list[Line]:
        """Return the lines of a page, in Tesseract's reading order.

        Raises:
            ConfigError: The program is not installed.
            InputError: It fails, or takes too long.
        """
        arguments = ("stdin", "stdout", "-l", self.languages, "--psm", "1", "tsv")
        try:
            said = self._run(*arguments, data=image.data)
        except subprocess.TimeoutExpired as error:
            raise InputError(
                f"Page {image.page} of {uri!r} took more than {self.timeout_s:.0f} s of OCR. Fix: "
                "raise ingest.ocr_timeout_s."
            ) from error
        except subprocess.CalledProcessError as error:
            reason = (
                error.stderr.decode("utf-8", "replace").strip().splitlines()
                or [f"status {error.returncode}"]
            )[-1]
            raise InputError(
                f"Page {image.page} of {uri!r} cannot be read by Tesseract: {reason}. Fix: repair "
                "the page, or leave the document out."
            ) from error
        return list(page_lines(said, image))

    def _run(self, *arguments: str, data: bytes = b"") -> str:
        program = shutil.which(_PROGRAM)
        if program is None:
            raise ConfigError(
                "Tesseract is not installed, and ingest.ocr needs it. Fix: apt-get install "
                "tesseract-ocr"
            )
        done = subprocess.run(
            [program, *arguments],
            input=data,
            capture_output=True,
            check=True,
            timeout=self.timeout_s,
            env={**os.environ, "OMP_THREAD_LIMIT": "1"},  # its threads wait for each other
        )
        return done.stdout.decode("utf-8", "replace")


# Any: pypdfium2 has no types.
def page_image(page: Any, number: int) -> PageImage:
    """Draw a page of PDFium at 300 dpi, or less where it is very large."""
    width, height = page.get_size()
    scale = min(_SCALE, math.sqrt(_MOST_PIXELS / max(width * height, 1.0)))
    bitmap = page.render(scale=scale, grayscale=True)
    rows = memoryview(bitmap.buffer).cast("B")
    lines = (
        rows[row * bitmap.stride : row * bitmap.stride + bitmap.width]
        for row in range(bitmap.height)
    )
    head = f"P5 {bitmap.width} {bitmap.height} 255\n".encode()
    return PageImage(page=number, scale=scale, height=bitmap.height, data=head + b"".join(lines))


def page_lines(table: str, image: PageImage) -> Iterator[Line]:
    """Yield the lines in Tesseract's table of words (TSV).

    Lines of a paragraph are put at even distances, and paragraphs further apart, since what is read
    from a picture varies by more than what tells paragraphs apart.
    """
    rows = csv.DictReader(io.StringIO(table), delimiter="\t", quoting=csv.QUOTE_NONE)
    words = [row for row in rows if row["level"] == _WORD and clean_text(row["text"])]
    y = 0.0
    for _, paragraph in groupby(words, key=_paragraph):
        lines = [list(line) for _, line in groupby(paragraph, key=lambda one: one["line_num"])]
        size = statistics.median(_height(line) for line in lines) / image.scale
        y -= _BETWEEN * size
        for number, line in enumerate(lines):
            made = _line(line, image, size=size, y=y - number * _LEADING * size)
            is_divided = number + 1 < len(lines) and _HYPHEN.search(made.text)
            yield replace(made, text=made.text[:-1], hyphenated=True) if is_divided else made
        y -= len(lines) * _LEADING * size


def _paragraph(word: Mapping[str, str]) -> tuple[str, str]:
    return word["block_num"], word["par_num"]


def _height(line: Sequence[Mapping[str, str]]) -> int:
    top = min(int(word["top"]) for word in line)
    return max(int(word["top"]) + int(word["height"]) for word in line) - top


def _line(words: Sequence[Mapping[str, str]], image: PageImage, *, size: float, y: float) -> Line:
    lefts = [int(word["left"]) for word in words]
    rights = [int(word["left"]) + int(word["width"]) for word in words]
    bottom = max(int(word["top"]) + int(word["height"]) for word in words)
    gaps = [left - right for left, right in zip(lefts[1:], rights, strict=False)]
    return Line(
        page=image.page,
        text=clean_text(" ".join(word["text"] for word in words)),
        left=min(lefts) / image.scale,
        right=max(rights) / image.scale,
        y=y,
        size=size or 1.0,
        height=1 - bottom / image.height,
        gap=max(gaps, default=0) / image.scale,
    )
