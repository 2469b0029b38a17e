"""The synchronous face of the asynchronous core: one background loop for the whole process."""

import asyncio
import functools
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


@functools.cache
def _loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="ragkit-loop", daemon=True).start()
    return loop


_start = threading.Lock()


def run_sync(job: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine to its end on the background loop and return its result.

    Works in a script, a thread, a notebook and inside a running event loop (which it blocks
    meanwhile). An interrupt cancels the coroutine.

    Raises:
        RuntimeError: Called from the background loop itself, where it could never return.
    """
    with _start:
        loop = _loop()
    if _running_loop() is loop:
        raise RuntimeError("The synchronous API was called from ragkit's own loop: await instead.")
    future = asyncio.run_coroutine_threadsafe(job(), loop)
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
