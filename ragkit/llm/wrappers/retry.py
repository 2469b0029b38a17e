"""`Retry`: the same call again, after errors that may pass."""

import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    before_sleep_log,
    retry_if_exception,
    stop_after_attempt,
    wait_random_exponential,
)

from ragkit.core.errors import ProviderError
from ragkit.core.protocols import LLM
from ragkit.core.types import Delta, Reply
from ragkit.llm.call import Call, LLMWrapper

logger = logging.getLogger(__name__)


class Retry(LLMWrapper):
    """Repeats a call that failed with a retryable `ProviderError`, after a growing, random pause.

    Where the server says how long to wait (Retry-After), that is the least pause. A stream is not
    repeated once a piece of it was passed on, since its reader would see two beginnings; `complete`
    is.
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
        self._most = most_s
        self._pause = wait_random_exponential(multiplier=first_s, max=most_s)
        self._calls = AsyncRetrying(
            stop=stop_after_attempt(attempts),
            wait=self._wait,
            retry=retry_if_exception(self._may_pass),
            before_sleep=before_sleep_log(logger, logging.INFO),
            reraise=True,
        )

    async def reply(self, call: Call) -> Reply:
        """Return the reply of the first call that succeeds."""
        reply: Reply = await self._calls.copy()(call.complete, self.inner)
        return reply

    async def respond(self, call: Call) -> AsyncGenerator[Delta]:
        """Stream the first call that begins to reply."""
        opened: tuple[Delta, AsyncGenerator[Delta]] = await self._calls.copy()(self._begin, call)
        first, rest = opened
        async with aclosing(rest):
            yield first
            async for delta in rest:
                yield delta

    async def _begin(self, call: Call) -> tuple[Delta, AsyncGenerator[Delta]]:
        deltas = call.stream(self.inner)
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
