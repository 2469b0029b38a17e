"""`Retry`: the same call again, after errors that may pass."""

import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TypeAlias

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    before_sleep_log,
    retry_if_exception,
    stop_after_attempt,
    stop_before_delay,
    wait_random_exponential,
)

from ragkit.core.errors import ProviderError
from ragkit.core.protocols import LLM
from ragkit.core.types import Delta, Reply
from ragkit.llm.call import Call, Deadline, LLMWrapper

logger = logging.getLogger(__name__)

_Opened: TypeAlias = tuple[Delta, AsyncGenerator[Delta]]


class Retry(LLMWrapper):
    """Repeats a call that failed with a retryable `ProviderError`, after a growing, random pause.

    Where the server says how long to wait (Retry-After), that is the least pause. All calls and
    pauses together take at most `timeout_s`. A stream is not repeated once a piece was passed on,
    since its reader would see two beginnings; `complete` is.
    """

    def __init__(
        self, llm: LLM, *, attempts: int = 4, first_s: float = 0.5, most_s: float = 30.0
    ) -> None:
        """Wrap.

        Args:
            llm: The model that is called.
            attempts: Calls in all.
            first_s: Longest pause before the second call, doubled for each further one.
            most_s: Longest pause of all. A server that asks for a longer one is not called again.
        """
        super().__init__(llm)
        self._attempts = stop_after_attempt(attempts)
        self._most = most_s
        self._pause = wait_random_exponential(multiplier=first_s, max=most_s)
        self._calls = AsyncRetrying(
            stop=self._attempts,
            wait=self._wait,
            retry=retry_if_exception(self._may_pass),
            before_sleep=before_sleep_log(logger, logging.INFO),
            reraise=True,
        )

    async def reply(self, call: Call) -> Reply:
        """Return the reply of the first call that succeeds."""
        deadline = call.deadline()
        reply: Reply = await self._repeated(deadline)(self._complete, call, deadline)
        return reply

    async def respond(self, call: Call) -> AsyncGenerator[Delta]:
        """Stream the first call that begins to reply."""
        deadline = call.deadline()
        opened: _Opened = await self._repeated(deadline)(self._begin, call, deadline)
        first, rest = opened
        async with aclosing(rest):
            yield first
            async for delta in rest:
                yield delta

    def _repeated(self, deadline: Deadline) -> AsyncRetrying:
        if deadline.seconds is None:
            return self._calls.copy()
        return self._calls.copy(stop=self._attempts | stop_before_delay(deadline.seconds))

    async def _complete(self, call: Call, deadline: Deadline) -> Reply:
        return await call.within(deadline).complete(self.inner)

    async def _begin(self, call: Call, deadline: Deadline) -> _Opened:
        deltas = call.within(deadline).stream(self.inner)
        return await anext(deltas), deltas

    def _may_pass(self, error: BaseException) -> bool:
        return (
            isinstance(error, ProviderError)
            and error.retryable
            and (error.retry_after_s or 0.0) <= self._most
        )

    def _wait(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = error.retry_after_s if isinstance(error, ProviderError) else None
        return (asked or 0.0) + self._pause(state)
