"""`Retry`: the same call again, after errors that may pass."""

import functools
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Unpack

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    before_sleep_log,
    retry_if_exception,
    stop_after_attempt,
    wait_random_exponential,
)

from ragkit.core.errors import ProviderError
from ragkit.core.protocols import LLM, CallOptions, ReplyGrammar
from ragkit.core.types import Conversation, Delta, Reply
from ragkit.llm.calls import Wrapper

logger = logging.getLogger(__name__)


class Retry(Wrapper):
    """Repeats a call that failed with a retryable `ProviderError`, after a growing, random pause.

    Where the server says how long to wait (Retry-After), that is the least pause. A stream of which
    something was passed on is not repeated, since its reader would see two beginnings; `complete`
    is.
    """

    def __init__(
        self, llm: LLM, *, attempts: int = 4, first_s: float = 0.5, most_s: float = 30.0
    ) -> None:
        """Wrap.

        Args:
            llm: What is called.
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

    async def complete(
        self,
        messages: Conversation,
        *,
        grammar: ReplyGrammar[object] | None = None,
        **options: Unpack[CallOptions],
    ) -> Reply:
        """See `LLM.complete`."""
        call = functools.partial(self.inner.complete, messages, grammar=grammar, **options)
        reply: Reply = await self._calls.copy()(call)
        return reply

    async def stream(
        self,
        messages: Conversation,
        *,
        grammar: ReplyGrammar[object] | None = None,
        **options: Unpack[CallOptions],
    ) -> AsyncGenerator[Delta]:
        """See `LLM.stream`."""

        async def begin() -> tuple[Delta, AsyncGenerator[Delta]]:
            deltas = self.inner.stream(messages, grammar=grammar, **options)
            return await anext(deltas), deltas

        opened: tuple[Delta, AsyncGenerator[Delta]] = await self._calls.copy()(begin)
        first, rest = opened
        async with aclosing(rest):
            yield first
            async for delta in rest:
                yield delta

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
