"""`Concurrency`: a bound on the calls in flight, with a short queue."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from ragkit.core.errors import CallRefused
from ragkit.core.protocols import LLM
from ragkit.core.types import Delta
from ragkit.llm.call import Call, Deadline, LLMWrapper


class Concurrency(LLMWrapper):
    """Bounds the calls in flight; refuses early what would wait too long (admission control).

    Attributes:
        running: Calls in flight.
        waiting: Calls in the queue.
    """

    def __init__(self, llm: LLM, *, limit: int, queue: int = 64, wait_s: float = 60.0) -> None:
        """Wrap; to be used in one event loop.

        Args:
            llm: The model that is called.
            limit: Calls at the same time.
            queue: Calls that may wait; the next one is refused at once.
            wait_s: Seconds that a call may wait.
        """
        super().__init__(llm)
        self._slots = asyncio.Semaphore(limit)
        self._limit = limit
        self._queue = queue
        self._wait_s = wait_s
        self.waiting = 0
        self.running = 0

    async def respond(self, call: Call) -> AsyncGenerator[Delta]:
        """Make the call when a slot is free.

        Raises:
            CallRefused: The queue is full, or the wait was longer than `wait_s`.
            ProviderError: The wait was longer than the call's `timeout_s`.
        """
        deadline = call.deadline()
        await self._acquire(deadline)
        self.running += 1
        try:
            async with aclosing(call.within(deadline).stream(self.inner)) as deltas:
                async for delta in deltas:
                    yield delta
        finally:
            self.running -= 1
            self._slots.release()

    async def _acquire(self, deadline: Deadline) -> None:
        if self._slots.locked() and self.waiting >= self._queue:
            raise self._refused(f"{self.waiting} calls wait already")
        self.waiting += 1
        try:
            async with asyncio.timeout(min(self._wait_s, deadline.left())):
                await self._slots.acquire()
        except TimeoutError as error:
            deadline.left()
            raise self._refused(f"no call ended in {self._wait_s:g} s") from error
        finally:
            self.waiting -= 1

    def _refused(self, reason: str) -> CallRefused:
        return CallRefused(
            f"{self._limit} calls of {self.model or 'the model'} are in flight and {reason}. "
            "Fix: try later, or raise the limit.",
            provider="concurrency",
        )
