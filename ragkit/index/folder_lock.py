"""A lock on a folder that processes hand to each other: the holder sees that another one waits.

Two files in the folder are locked with `flock`: `ragkit.lock` by the holder, and `ragkit.queue` by
the one that waits for it next. The operating system releases both when a process ends.
"""

import contextlib
import errno
import fcntl
import json
import os
import time
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from ragkit.core.errors import IndexLocked
from ragkit.index.process import describe_this_process

LOCK, QUEUE = "ragkit.lock", "ragkit.queue"
_POLL_S = 0.005


class LockHolder(BaseModel):
    """The process that holds a lock, as it is written into the lock's file."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    pid: int
    program: str
    host: str
    since: datetime

    def __str__(self) -> str:
        """Name the process for people."""
        since = self.since.astimezone().strftime("%H:%M:%S")
        return f"process {self.pid} ({self.program}) on {self.host} since {since}"


class FolderLock:
    """A lock that is held by one process at a time, and by one object in it."""

    def __init__(self, folder: Path, *, wait_s: float) -> None:
        """Name the folder, which must be there; nothing is locked yet.

        Args:
            folder: The folder to lock.
            wait_s: Seconds to wait for another holder.
        """
        self._folder = folder
        self._wait_s = wait_s
        self._lock: int | None = None

    def acquire(self) -> None:
        """Wait for the lock, and take it.

        Raises:
            IndexLocked: Another holder did not release it in time; the message names it.
        """
        deadline = time.monotonic() + self._wait_s
        with contextlib.ExitStack() as stack:
            queue = _opened(self._folder / QUEUE)
            stack.callback(_unlock, queue)
            self._wait(queue, deadline)
            lock = _opened(self._folder / LOCK)
            try:
                self._wait(lock, deadline)
                _sign(lock)
            except BaseException:
                os.close(lock)
                raise
        self._lock = lock

    def _wait(self, descriptor: int, deadline: float) -> None:
        while not _locked(descriptor):
            if time.monotonic() >= deadline:
                raise self._in_use()
            time.sleep(_POLL_S)

    def _in_use(self) -> IndexLocked:
        holder = self.holder()
        who = str(holder) if holder else "another process"
        return IndexLocked(
            f"The index at {str(self._folder)!r} is in use by {who}, which did not release it "
            f"within {self._wait_s:g} s. Fix: try again, raise index.wait_s, or let several "
            "share a Qdrant server: --index http://HOST:6333"
        )

    def holder(self) -> LockHolder | None:
        """Return the last process that took the lock, None where its file cannot be read."""
        return holder_of(self._folder / LOCK)

    def is_wanted(self) -> bool:
        """Return whether another process waits for the lock."""
        try:
            queue = _opened(self._folder / QUEUE)
        except OSError:
            return False  # the folder was removed
        try:
            return not _locked(queue)
        finally:
            _unlock(queue)

    def release(self) -> None:
        """Give the lock up; safe to call twice."""
        if self._lock is not None:
            _unlock(self._lock)
            self._lock = None

    def forget(self) -> None:
        """Drop a lock that a forked process shares with its parent, which still holds it."""
        if self._lock is not None:
            os.close(self._lock)  # without unlocking, which would release the parent's
            self._lock = None


@contextmanager
def sole(file: Path) -> Generator[int | None]:
    """Lock a file while a job is done that one process does; yield None where another does it.

    Else its descriptor is yielded: a child that has it and outlives this process keeps others out.
    """
    lock = _opened(file)
    try:
        if not _locked(lock):
            yield None
            return
        _sign(lock)
        yield lock
    finally:
        os.close(lock)  # without unlocking, which would release it for the child too


def holder_of(file: Path) -> LockHolder | None:
    """Return the last process that locked a file, None where that cannot be read."""
    try:
        return LockHolder.model_validate_json(file.read_bytes())
    except (OSError, ValidationError):
        return None


def _sign(lock: int) -> None:
    """Write into a file that this process has locked who that is."""
    holder = {**describe_this_process(), "since": datetime.now(UTC).isoformat()}
    os.ftruncate(lock, 0)
    os.pwrite(lock, json.dumps(holder).encode(), 0)


def _opened(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)


def _unlock(descriptor: int) -> None:
    # Closing alone would leave it locked while a process that was forked meanwhile has a copy.
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in {errno.EWOULDBLOCK, errno.EACCES}:
            return False
        raise
    return True
