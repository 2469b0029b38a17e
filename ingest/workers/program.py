"""The program of a process that loads documents, one after the other, for an ingestion."""

import contextlib
import ctypes
import errno
import logging
import os
import resource
import signal
import sys
import traceback
from pathlib import Path
from typing import IO

from ragkit.core.types import Document
from ragkit.ingest.workers.message import (
    MEMORY,
    document_header,
    failure_header,
    read_request,
    write_answer,
)

_PR_SET_PDEATHSIG = 1
_MOST_LOGGED = 50
_LONGEST_LOGGED = 4000


def main(*, parent: int, memory_bytes: int, alarm_s: int) -> None:
    """Answer requests until there are no more.

    Args:
        parent: The process that asks; this one ends with it.
        memory_bytes: Memory beside what the process takes at its beginning.
        alarm_s: Seconds for a document after which the process ends even if nobody ends it.
    """
    _end_with(parent)
    source, sink = _taken_streams()
    base = _limit_memory(memory_bytes)
    log = _Log()
    logging.getLogger().addHandler(log)
    write_answer(sink, {})  # ready
    while True:
        signal.alarm(0)
        is_last = _size() - base > memory_bytes // 2  # what libraries do not give back
        header, text = _answer(source, log, alarm_s)
        if header is None:
            os._exit(0)  # there is nothing to clean up
        is_last = is_last or MEMORY in header
        write_answer(sink, {**header, "last": is_last, "logged": log.taken()}, text)
        if is_last:
            return


def _answer(source: IO[bytes], log: "_Log", alarm_s: int) -> tuple[dict[str, object] | None, str]:
    """Read a request and return its answer, None at the end of the requests."""
    document: Document | None = None
    try:
        call = read_request(source)
        if call is None:
            return None, ""
        signal.alarm(alarm_s)
        document = call()
        return document_header(document), document.text
    except MemoryError:
        pass  # answered below, where nothing of the document is held any more
    except Exception as error:  # noqa: BLE001 - whatever a document brings about is its own
        if _is_of_memory(error):
            return {MEMORY: True}, ""
        log.add(__name__, logging.DEBUG, traceback.format_exc())
        return failure_header(error), ""
    return {MEMORY: True}, ""


def _is_of_memory(error: BaseException | None) -> bool:
    """Return whether an error came about since the memory did not suffice, also for a library."""
    while error is not None:
        lacks = isinstance(error, OSError) and error.errno == errno.ENOMEM
        unmapped = isinstance(error, ImportError) and "failed to map segment" in str(error)
        if lacks or unmapped or isinstance(error, MemoryError):
            return True
        error = error.__cause__ or error.__context__
    return False


class _Log(logging.Handler):
    """Keeps what loaders log, for the process that asked."""

    def __init__(self) -> None:
        super().__init__()
        self._records: list[tuple[str, int, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record."""
        self.add(record.name, record.levelno, record.getMessage())

    def add(self, name: str, level: int, text: str) -> None:
        """Keep a text."""
        if len(self._records) < _MOST_LOGGED:
            self._records.append((name, level, text[:_LONGEST_LOGGED]))

    def taken(self) -> list[tuple[str, int, str]]:
        """Return what was kept, and forget it."""
        records, self._records = self._records, []
        return records


def _end_with(parent: int) -> None:
    """Let the system end this process with its parent, where it can."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(1)


def _taken_streams() -> tuple[IO[bytes], IO[bytes]]:
    """Return the streams of requests and answers, which nothing else reads or writes."""
    source, sink = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    return source, sink


def _limit_memory(allowed: int) -> int:
    """Bound the address space; return its present size."""
    base = _size()
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        limit = base + allowed
        if hard == resource.RLIM_INFINITY or limit < hard:
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    return base


def _size() -> int:
    """Return the bytes of this process's address space, 0 where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except (OSError, ValueError):
        return 0
    return pages * resource.getpagesize()
