"""`CircuitBreaker`: a server that keeps failing is left alone for a while."""

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Unpack

from ragkit.core.errors import ProviderError
from ragkit.core.protocols import LLM, CallOptions, ReplyGrammar
from ragkit.core.types import Conversation, Delta
from ragkit.llm.calls import Wrapper


class CircuitBreaker(Wrapper):
    """Refuses calls at once after several failures in a row; one trial call closes it again.

    Only retryable errors count: a request that the server does not take says nothing of its health.
    Source: M. Nygard, Release It!, 2nd edition, chapter 5.
    """

    def __init__(self, llm: LLM, *, failures: int = 5, rest_s: float = 30.0) -> None:
        """Wrap.

        Args:
            llm: What is called.
            failures: In a row, until calls are refused.
            rest_s: Seconds until one call is let through to try.
        """
        super().__init__(llm)
        self._most = failures
        self._rest = rest_s
        self._failed = 0
        self._opened = 0.0
        self._trying = False

    async def stream(
        self,
        messages: Conversation,
        *,
        grammar: ReplyGrammar[object] | None = None,
        **options: Unpack[CallOptions],
    ) -> AsyncGenerator[Delta]:
        """See `LLM.stream`.

        Raises:
            ProviderError: The breaker is open.
        """
        self._admit()
        try:
            async with aclosing(self.inner.stream(messages, grammar=grammar, **options)) as deltas:
                async for delta in deltas:
                    yield delta
        except ProviderError as error:
            if error.retryable:
                self._failed += 1
                self._opened = time.monotonic()
            raise
        else:
            self._failed = 0
        finally:
            self._trying = False

    def _admit(self) -> None:
        if self._failed < self._most:
            return
        left = self._opened + self._rest - time.monotonic()
        if left > 0 or self._trying:
            raise ProviderError(
                f"{self.model or 'The model'} failed {self._failed} times in a row and rests; "
                f"try again in {max(left, 0):.1f} s.",
                provider="circuit-breaker",
                retryable=True,
                failure="overloaded",
                retry_after_s=max(left, 0.0),
            )
        self._trying = True
