"""A call of a function, sync or async, that its caller can always leave in time."""

import asyncio
import contextvars
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeAlias, cast


@dataclass(frozen=True, slots=True)
class Returned:
    """The value that a function returned."""

    value: object


@dataclass(frozen=True, slots=True)
class Raised:
    """The error that a function raised."""

    error: BaseException


JobOutcome: TypeAlias = Returned | Raised

_left_behind: set["asyncio.Future[JobOutcome]"] = set()


class Slots:
    """A bound on concurrency of `count` slots.

    Unlike a semaphore of asyncio, any thread may release a slot, on any event loop.
    """

    def __init__(self, count: int) -> None:
        """Start with all slots free."""
        self._free = count
        self._lock = threading.Lock()
        self._waiting: deque[Future[None]] = deque()

    async def acquire(self) -> None:
        """Wait for a slot, first come, first served."""
        with self._lock:
            if self._free:
                self._free -= 1
                return
            turn: Future[None] = Future()
            self._waiting.append(turn)
        try:
            await asyncio.wrap_future(turn)
        except asyncio.CancelledError:
            if not turn.cancel():  # the slot came in the same moment
                self.release()
            raise

    def release(self) -> None:
        """Give a slot back, to the caller that has waited longest."""
        with self._lock:
            while self._waiting:
                turn = self._waiting.popleft()
                if turn.set_running_or_notify_cancel():
                    break
            else:
                self._free += 1
                return
        turn.set_result(None)


async def run_job(
    function: Callable[[], object], *, asynchronous: bool, timeout_s: float, slots: Slots
) -> JobOutcome:
    """Call a function as soon as a slot is free.

    A sync function runs in a daemon thread of its own: one that hangs neither blocks the
    interpreter's exit nor takes a thread from a pool that others share. It keeps its slot until
    it really ends, which bounds the number of such threads.

    Raises:
        TimeoutError: It took longer than `timeout_s`, including the wait for a slot. An async
            function is cancelled; a sync one keeps running and its result is dropped.
    """
    loop = asyncio.get_running_loop()
    ends = loop.time() + timeout_s
    try:
        async with asyncio.timeout(timeout_s):
            await slots.acquire()
    except TimeoutError as error:
        raise TimeoutError(
            f"no free slot within {timeout_s:g} s: earlier calls are still running"
        ) from error
    start = _start_task if asynchronous else _start_thread
    try:
        job = start(function, slots.release)
    except RuntimeError as error:  # the machine has no thread left
        slots.release()
        return Raised(error)
    try:
        done, _ = await asyncio.wait({job}, timeout=max(0.0, ends - loop.time()))
    except asyncio.CancelledError:
        _leave(job)
        raise
    if not done:
        _leave(job)
        raise TimeoutError(f"no result within {timeout_s:g} s")
    return job.result()


def _leave(job: "asyncio.Future[JobOutcome]") -> None:
    # The loop itself holds tasks by weak references only.
    _left_behind.add(job)
    job.add_done_callback(_left_behind.discard)
    job.cancel()


def _start_task(
    function: Callable[[], object], release: Callable[[], None]
) -> "asyncio.Future[JobOutcome]":
    async def run() -> JobOutcome:
        try:
            return Returned(await cast(Awaitable[object], function()))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - handed to the caller as it is
            return Raised(error)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task and task.cancelling():
                raise
            return Raised(error)  # raised by the function itself: nobody cancelled the call

    task = asyncio.ensure_future(run())
    task.add_done_callback(lambda _: release())  # also where it is cancelled before it began
    return task


def _start_thread(
    function: Callable[[], object], release: Callable[[], None]
) -> "asyncio.Future[JobOutcome]":
    ended: Future[JobOutcome] = Future()
    ended.set_running_or_notify_cancel()  # from now on a caller that leaves cannot cancel it
    context: contextvars.Context = contextvars.copy_context()

    def run() -> None:
        try:
            outcome: JobOutcome = Returned(context.run(cast(Callable[[], Any], function)))
        except BaseException as error:  # noqa: BLE001 - handed to the caller as it is
            outcome = Raised(error)
        release()
        ended.set_result(outcome)

    threading.Thread(target=run, name="ragkit-tool", daemon=True).start()
    return asyncio.wrap_future(ended)
