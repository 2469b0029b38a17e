"""`Concurrency`: no more calls at once than a server serves well, and a short queue for others."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Unpack

from ragkit.core.errors import ProviderError
from ragkit.core.protocols import LLM, CallOptions, ReplyGrammar
from ragkit.core.types import Conversation, Delta
from ragkit.llm.calls import Wrapper


class Concurrency(Wrapper):
    """Bounds the calls in flight; refuses early what would wait too long (admission control)."""

    def __init__(self, llm: LLM, *, limit: int, queue: int = 64, wait_s: float = 60.0) -> None:
        """Wrap; to be used in one event loop.

        Args:
            llm: What is called.
            limit: Calls at the same time.
            queue: Calls that may wait; the next one is refused at once.
            wait_s: Seconds that a call may wait.
        """
        super().__init__(llm)
        self._slots = asyncio.Semaphore(limit)
        self._limit = limit
        self._queue = queue
        self._patience = wait_s
        self.waiting = 0
        self.running = 0

    async def stream(
        self,
        messages: Conversation,
        *,
        grammar: ReplyGrammar[object] | None = None,
        **options: Unpack[CallOptions],
    ) -> AsyncGenerator[Delta]:
        """See `LLM.stream`.

        Raises:
            ProviderError: The queue is full, or the wait was too long (`failure` is
                `"overloaded"`).
        """
        await self._acquire()
        self.running += 1
        try:
            async with aclosing(self.inner.stream(messages, grammar=grammar, **options)) as deltas:
                async for delta in deltas:
                    yield delta
        finally:
            self.running -= 1
            self._slots.release()

    async def _acquire(self) -> None:
        if self._slots.locked() and self.waiting >= self._queue:
            raise self._refused(f"{self.waiting} calls wait already")
        self.waiting += 1
        try:
            async with asyncio.timeout(self._patience):
                await self._slots.acquire()
        except TimeoutError as error:
            raise self._refused(f"no call ended in {self._patience:g} s") from error
        finally:
            self.waiting -= 1

    def _refused(self, why: str) -> ProviderError:
        return ProviderError(
            f"{self._limit} calls of {self.model or 'the model'} are in flight and {why}; try "
            "later, or raise the limit.",
            provider="concurrency",
            retryable=True,
            failure="overloaded",
        )
