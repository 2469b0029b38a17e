"""A bounded log of what failed in this process, for the page System."""

import logging
import threading
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedFailure:
    """Something that failed: when, in which part of the application, and the message."""

    at: datetime
    part: str
    message: str


class FailureLog:
    """The last failures, newest first."""

    def __init__(self, size: int = 200) -> None:
        """Keep at most `size` failures."""
        self._kept: deque[LoggedFailure] = deque(maxlen=size)
        self._lock = threading.Lock()

    def add(self, part: str, message: str) -> None:
        """Note a failure."""
        with self._lock:
            failure = LoggedFailure(at=datetime.now(UTC), part=part, message=message)
            self._kept.appendleft(failure)

    def all(self) -> list[LoggedFailure]:
        """Return the failures, newest first."""
        with self._lock:
            return list(self._kept)


class FailureHandler(logging.Handler):
    """Notes warnings and errors of ragkit's loggers."""

    def __init__(self, log: FailureLog) -> None:
        """Write into this log."""
        super().__init__(level=logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Note a record."""
        self._log.add(record.name, record.getMessage())
