"""The synchronous face of the asynchronous core: one background loop for the whole process."""

import asyncio
import os
import queue
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from concurrent.futures import Future
from contextlib import aclosing
from typing import Any, TypeVar

T = TypeVar("T")


class _BackgroundLoop:
    """The process's event loop, in a thread that starts on first use."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Start again on the next use: a forked child has neither the thread nor its locks."""
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def get(self) -> asyncio.AbstractEventLoop:
        """Return the running loop."""
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                start = self._loop.run_forever
                threading.Thread(target=start, name="ragkit-loop", daemon=True).start()
            return self._loop


_background = _BackgroundLoop()
os.register_at_fork(after_in_child=_background.forget)


def run_sync(job: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine to its end on the background loop and return its result.

    Works in a script, a thread, a notebook and inside a running event loop (which it blocks
    meanwhile). An interrupt cancels the coroutine.

    Raises:
        RuntimeError: Called from the background loop itself, where it could never return.
    """
    future = _submit(job)
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


def iterate_sync(job: Callable[[], AsyncGenerator[T]]) -> Generator[T]:
    """Iterate an asynchronous generator that runs on the background loop.

    It runs ahead of the caller. Closing this generator cancels and closes it.

    Raises:
        RuntimeError: Called from the background loop itself, where it could never return.
    """
    items: queue.SimpleQueue[tuple[T] | None] = queue.SimpleQueue()

    async def pump() -> None:
        try:
            async with aclosing(job()) as source:
                async for item in source:
                    items.put((item,))
        finally:
            items.put(None)

    future = _submit(pump)
    try:
        while (item := items.get()) is not None:
            yield item[0]
        future.result()
    finally:
        future.cancel()


def _submit(job: Callable[[], Coroutine[Any, Any, T]]) -> Future[T]:
    loop = _background.get()
    if _running_loop() is loop:
        raise RuntimeError("The synchronous API was called from ragkit's own loop: await instead.")
    return asyncio.run_coroutine_threadsafe(job(), loop)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
