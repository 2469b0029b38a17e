"""The lines of a source text with their places, and where runs of them end."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple


class SourceLine(NamedTuple):
    """A line without its end, and its place in the text."""

    text: str
    start: int
    end: int

    @property
    def is_blank(self) -> bool:
        """It has no character but white space."""
        return not self.text.strip()


def source_lines(text: str) -> Iterator[SourceLine]:
    """Yield the lines of a text."""
    start = 0
    for line in text.split("\n"):
        yield SourceLine(line, start, start + len(line))
        start += len(line) + 1


def paragraph_end(lines: Sequence[SourceLine], first: int) -> int:
    """Return the line behind a run of lines that are not blank."""
    end = first
    while end < len(lines) and not lines[end].is_blank:
        end += 1
    return end


def indented_end(lines: Sequence[SourceLine], first: int) -> int:
    """Return the line behind the last indented one of a run of indented and blank lines."""
    end = first
    for position in range(first, len(lines)):
        line = lines[position]
        if line.is_blank:
            continue
        if not line.text[0].isspace():
            break
        end = position + 1
    return end
