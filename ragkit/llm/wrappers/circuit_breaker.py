"""`CircuitBreaker`: calls are refused for a while after a server failed several times in a row."""

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

from ragkit.core.errors import ProviderError
from ragkit.core.protocols import LLM
from ragkit.core.types import Delta
from ragkit.llm.call import Call, LLMWrapper


class CircuitBreaker(LLMWrapper):
    """Refuses calls at once after several failures in a row; one trial call closes it again.

    Only retryable errors count: a request that the server rejects says nothing about its health.
    Source: M. Nygard, Release It!, 2nd edition, chapter 5.
    """

    def __init__(self, llm: LLM, *, failures: int = 5, rest_s: float = 30.0) -> None:
        """Wrap.

        Args:
            llm: The model that is called.
            failures: Failures in a row until calls are refused.
            rest_s: Seconds until one trial call is let through.
        """
        super().__init__(llm)
        self._most = failures
        self._rest = rest_s
        self._failed = 0
        self._opened = 0.0
        self._trying = False

    async def respond(self, call: Call) -> AsyncGenerator[Delta]:
        """Make the call, unless the breaker is open.

        Raises:
            ProviderError: The breaker is open.
        """
        self._admit()
        try:
            async with aclosing(call.stream(self.inner)) as deltas:
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
                f"{self.model or 'The model'} failed {self._failed} times in a row and is not "
                f"called for now. Fix: try again in {max(left, 0):.1f} s.",
                provider="circuit-breaker",
                retryable=True,
                failure="overloaded",
                retry_after_s=max(left, 0.0),
            )
        self._trying = True
