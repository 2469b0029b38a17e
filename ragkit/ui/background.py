"""Work that outlives a rerun of a page: tasks on ragkit's own loop, watched from any thread."""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any, Generic, Literal, TypeAlias, TypeVar

from ragkit.core.errors import RagkitError
from ragkit.core.sync import run_sync

T = TypeVar("T")
JobState: TypeAlias = Literal["running", "done", "failed", "cancelled"]


class Job(Generic[T]):
    """A coroutine that runs on ragkit's loop while pages look at it.

    Attributes:
        state: How far it is.
        result: What it returned, once it is done.
        error: Its error in a sentence, where it failed.
    """

    def __init__(self, work: Callable[[], Coroutine[Any, Any, T]]) -> None:
        """Start the work."""
        self.state: JobState = "running"
        self.result: T | None = None
        self.error = ""
        self.exception: Exception | None = None
        self._started = time.monotonic()
        self._ended: float | None = None
        self._finished = threading.Event()
        self._task = run_sync(lambda: self._start(work))

    @property
    def seconds(self) -> float:
        """Time since the start, or from start to end."""
        return (self._ended or time.monotonic()) - self._started

    @property
    def running(self) -> bool:
        """True until the work has ended in any way."""
        return not self._finished.is_set()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for the end, at most so long; returns True once it has ended."""
        return self._finished.wait(seconds)

    def cancel(self) -> None:
        """Stop the work and wait until it has stopped."""
        self._task.get_loop().call_soon_threadsafe(self._task.cancel)
        self._finished.wait()

    async def _start(self, work: Callable[[], Coroutine[Any, Any, T]]) -> "asyncio.Task[None]":
        return asyncio.create_task(self._run(work))

    async def _run(self, work: Callable[[], Coroutine[Any, Any, T]]) -> None:
        try:
            self.result = await work()
            self.state = "done"
        except asyncio.CancelledError:
            self.state = "cancelled"
        except Exception as error:  # noqa: BLE001  # a job's failure is shown, whatever it is
            self.exception, self.state = error, "failed"
            self.error = sentence(error)
        finally:
            self._ended = time.monotonic()
            self._finished.set()


def sentence(error: Exception) -> str:
    """Return an error as one sentence for a page: ragkit's own message, or the kind of error."""
    if isinstance(error, RagkitError):
        return str(error)
    detail = " ".join(str(error).split())[:300]
    return (
        f"Unexpected {type(error).__name__}: {detail}. Fix: report it with the log of the server."
    )
