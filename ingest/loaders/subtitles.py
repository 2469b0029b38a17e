"""Subtitles: what is said, in paragraphs of about a minute that begin with their time."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ragkit.core.errors import InputError
from ragkit.core.types import Document
from ragkit.ingest.loaders.blocks import TextBuilder
from ragkit.ingest.loaders.charset import decode_text
from ragkit.ingest.loaders.identity import EncodedLoader, content_hash
from ragkit.ingest.loaders.titles import stem_title

_TIMES = re.compile(r"\s*(?:(\d{1,3}):)?(\d{1,2}):(\d{2})[.,]\d{1,3}\s*-->")
_MARKUP = re.compile(r"<[^<>\n]{0,200}>|\{\\[^{}\n]{0,200}\}")
_PARAGRAPH_S = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class SubtitleLoader(EncodedLoader):
    """A loader of SubRip (.srt) and WebVTT (.vtt).

    `encoding` applies where the file has no byte order mark.
    """

    version = "subtitles-1"

    def load(self, data: bytes, *, uri: str) -> Document:
        """Read the cues in order; markup and repeated lines are left out.

        Raises:
            InputError: The file is empty, binary, in another encoding, or has no cue.
        """
        source = decode_text(data, uri=uri, encoding=self.encoding)
        content = TextBuilder()
        started = 0
        lines: list[str] = []
        for seconds, line in _spoken(source):
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


def _spoken(source: str) -> Iterator[tuple[int, str]]:
    """Yield each line that is said, with the second at which its cue begins."""
    seconds: int | None = None
    for line in source.split("\n"):
        if times := _TIMES.match(line):
            hours, minutes, rest = times.groups()
            seconds = 3600 * int(hours or 0) + 60 * int(minutes) + int(rest)
        elif not line.strip():
            seconds = None
        elif seconds is not None and (text := " ".join(_MARKUP.sub("", line).split())):
            yield seconds, text


def _paragraph(started: int, lines: list[str]) -> str:
    minutes, seconds = divmod(started, 60)
    return f"[{minutes // 60:02}:{minutes % 60:02}:{seconds:02}] {' '.join(lines)}"
