"""The synchronous face of the asynchronous core: one background loop for the whole process."""

import asyncio
import functools
import queue
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from concurrent.futures import Future
from contextlib import aclosing
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
    with _start:
        loop = _loop()
    if _running_loop() is loop:
        raise RuntimeError("The synchronous API was called from ragkit's own loop: await instead.")
    return asyncio.run_coroutine_threadsafe(job(), loop)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
