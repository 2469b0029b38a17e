"""Runs a function, sync or async, so that its caller can always leave in time."""

import asyncio
import contextvars
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

from ragkit.agents.tools.slots import Slots


@dataclass(frozen=True, slots=True)
class Returned:
    """What a function returned."""

    value: object


@dataclass(frozen=True, slots=True)
class Raised:
    """What a function raised."""

    error: BaseException


Outcome: TypeAlias = Returned | Raised

_left_behind: set["asyncio.Future[Outcome]"] = set()


async def run_job(
    function: Callable[[], object], *, asynchronous: bool, timeout_s: float, slots: Slots
) -> Outcome:
    """Call a function once a slot is free.

    A sync function runs in a daemon thread of its own: one that hangs neither blocks the
    interpreter's exit nor takes a thread from a pool that others share. It keeps its slot until
    it really ends, which bounds the number of such threads.

    Raises:
        TimeoutError: It took longer than `timeout_s`, the wait for a slot included. An async
            function is cancelled, a sync one goes on unheard.
    """
    loop = asyncio.get_running_loop()
    ends = loop.time() + timeout_s
    try:
        async with asyncio.timeout(timeout_s):
            await slots.acquire()
    except TimeoutError as error:
        raise TimeoutError(f"no free slot within {timeout_s:g} s: earlier calls go on") from error
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


def _leave(job: "asyncio.Future[Outcome]") -> None:
    # The loop itself holds tasks by weak references only.
    _left_behind.add(job)
    job.add_done_callback(_left_behind.discard)
    job.cancel()


def _start_task(
    function: Callable[[], object], release: Callable[[], None]
) -> "asyncio.Future[Outcome]":
    async def run() -> Outcome:
        try:
            return Returned(await cast(Awaitable[object], function()))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - handed to the caller as it is
            return Raised(error)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task and task.cancelling():
                raise
            return Raised(error)  # its own doing: nobody cancelled the call

    task = asyncio.ensure_future(run())
    task.add_done_callback(lambda _: release())  # also where it is cancelled before it began
    return task


def _start_thread(
    function: Callable[[], object], release: Callable[[], None]
) -> "asyncio.Future[Outcome]":
    ended: Future[Outcome] = Future()
    ended.set_running_or_notify_cancel()  # from now on a caller that leaves cannot cancel it
    context: contextvars.Context = contextvars.copy_context()

    def run() -> None:
        try:
            outcome: Outcome = Returned(context.run(cast(Callable[[], Any], function)))
        except BaseException as error:  # noqa: BLE001 - handed to the caller as it is
            outcome = Raised(error)
        release()
        ended.set_result(outcome)

    threading.Thread(target=run, name="ragkit-tool", daemon=True).start()
    return asyncio.wrap_future(ended)
