"""The mails of a mailbox in one file (mbox): the places where they begin and end."""

import os
from collections.abc import Sequence
from typing import IO, NamedTuple

_BREAK = os.linesep.encode()
_BEGINNING = b"From "


class MailSpan(NamedTuple):
    """The bytes of a mail, from its line "From " to before the next."""

    start: int
    stop: int


def mail_spans(file: IO[bytes]) -> Sequence[MailSpan]:
    """Return the mails of a file in one pass, as `mailbox.mbox` divides it.

    A line that begins with "From " begins a mail; the empty line before it belongs to neither.
    """
    file.seek(0)
    spans: list[MailSpan] = []
    start: int | None = None
    position, blank = 0, 0
    for line in file:
        if line.startswith(_BEGINNING):
            if start is not None:
                spans.append(MailSpan(start, position - blank))
            start = position
        blank = len(line) if line == _BREAK else 0
        position += len(line)
    if start is not None:
        spans.append(MailSpan(start, position - blank))
    return spans


def mail_at(file: IO[bytes], span: MailSpan) -> bytes:
    """Return a mail without its line "From "."""
    file.seek(span.start)
    file.readline()
    return file.read(max(span.stop - file.tell(), 0)).replace(_BREAK, b"\n")
