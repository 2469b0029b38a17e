"""Subtitles: what is said, in paragraphs of about a minute that begin with their time."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ragkit.core.errors import InputError
from ragkit.core.types import Document
from ragkit.ingest.loaders.blocks import TextBuilder
from ragkit.ingest.loaders.charset import decode_text
from ragkit.ingest.loaders.identity import EncodedLoader, content_hash
from ragkit.ingest.loaders.titles import stem_title

_TIMES = re.compile(r"\s*(?:(\d{1,3}):)?(\d{1,2}):(\d{1,2})(?:[.,]\d+)?\s*-->")
_ARROW = "-->"
_COMMENT = re.compile(r"(?:NOTE|STYLE|REGION)(?:\s|$)")
"""The first line of a WebVTT block that is not shown (https://www.w3.org/TR/webvtt1/#file-structure)."""
_MARKUP = re.compile(r"<[^<>\n]{0,200}>|\{\\[^{}\n]{0,200}\}")
_PARAGRAPH_S = 60
_SHOWN = 80  # characters of a line in a message


@dataclass(frozen=True, slots=True, kw_only=True)
class SubtitleLoader(EncodedLoader):
    """A loader of SubRip (.srt) and WebVTT (.vtt).

    `encoding` applies where the file has no byte order mark.
    """

    version = "subtitles-2"

    def load(self, data: bytes, *, uri: str) -> Document:
        """Read the cues in order; markup and repeated lines are left out.

        A cue lasts to the next one, beyond blank lines in its text.

        Raises:
            InputError: The file is empty, binary or in another encoding, has no cue, or has one
                whose time cannot be read.
        """
        source = decode_text(data, uri=uri, encoding=self.encoding)
        content = TextBuilder()
        started = 0
        lines: list[str] = []
        for seconds, line in _spoken(source, uri):
            if lines and seconds - started >= _PARAGRAPH_S:
                content.append("paragraph", _paragraph(started, lines))
                lines = []
            started = started if lines else seconds
            if not lines or lines[-1] != line:
                lines.append(line)
        if lines:
            content.append("paragraph", _paragraph(started, lines))
        if not content.blocks:
            raise InputError(f"{uri!r} has no subtitle with a time. Fix: save it as SRT or WebVTT.")
        return Document(
            uri=uri,
            title=stem_title(uri),
            text=content.text,
            blocks=content.blocks,
            content_hash=content_hash(data),
        )


def _spoken(source: str, uri: str) -> Iterator[tuple[int, str]]:
    """Yield each line that is said, with the second at which its cue begins."""
    seconds: int | None = None
    lines = source.split("\n")
    has_comments = lines[0].startswith("WEBVTT")
    in_comment = False
    for index, line in enumerate(lines):
        if _ARROW in line:
            seconds = _seconds(line, index + 1, uri)
            in_comment = False
            continue
        if _is_blank(lines, index - 1):
            in_comment = has_comments and _COMMENT.match(line) is not None
        if seconds is None or in_comment or _is_label(lines, index):
            continue
        if text := " ".join(_MARKUP.sub("", line).split()):
            yield seconds, text


def _seconds(line: str, number: int, uri: str) -> int:
    times = _TIMES.match(line)
    if times is None:
        raise InputError(
            f"{uri!r} has no readable time in line {number}: {line.strip()[:_SHOWN]!r}. "
            "Fix: write it as 00:01:02,500 --> 00:01:04,000."
        )
    hours, minutes, rest = times.groups()
    return 3600 * int(hours or 0) + 60 * int(minutes) + int(rest)


def _is_label(lines: Sequence[str], index: int) -> bool:
    """Return whether a line is the number or name of the cue that follows."""
    is_number = lines[index].strip().isdecimal()
    follows_blank = _is_blank(lines, index - 1)
    if is_number and follows_blank and _is_blank(lines, index + 1):
        index += 1  # some programs write a blank line after each line
    is_last = index + 1 < len(lines) and _ARROW in lines[index + 1]
    return is_last and (is_number or follows_blank)


def _is_blank(lines: Sequence[str], index: int) -> bool:
    return not 0 <= index < len(lines) or not lines[index].strip()


def _paragraph(started: int, lines: list[str]) -> str:
    minutes, seconds = divmod(started, 60)
    return f"[{minutes // 60:02}:{minutes % 60:02}:{seconds:02}] {' '.join(lines)}"
