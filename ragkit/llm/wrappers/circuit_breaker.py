"""`CircuitBreaker`: calls are refused for a while after a server failed several times in a row."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from time import monotonic

from ragkit.core.errors import CallRefused, ProviderError
from ragkit.core.protocols import LLM
from ragkit.core.types import Delta
from ragkit.llm.call import Call, LLMWrapper


class CircuitBreaker(LLMWrapper):
    """Refuses calls at once after several failures in a row; one trial call closes it again.

    Only retryable errors of the model count: a request that the server rejects says nothing about
    its health, and neither does a call that another wrapper refused. While the breaker is open, the
    outcomes of calls that were admitted before do not count either.
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
        self._opened: float | None = None
        self._trial: Call | None = None

    @property
    def is_open(self) -> bool:
        """True while calls are refused, but for a trial."""
        return self._opened is not None

    async def respond(self, call: Call) -> AsyncGenerator[Delta]:
        """Make the call, unless the breaker is open.

        Raises:
            CallRefused: The breaker is open.
        """
        self._admit(call)
        try:
            async with aclosing(call.stream(self.inner)) as deltas:
                async for delta in deltas:
                    yield delta
        except ProviderError as error:
            if error.retryable and not isinstance(error, CallRefused) and self._counts(call):
                self._failed += 1
                if self._failed >= self._most:
                    self._opened = monotonic()
            raise
        else:
            if self._counts(call):
                self._failed, self._opened = 0, None
        finally:
            if call is self._trial:
                self._trial = None

    def _counts(self, call: Call) -> bool:
        return self._opened is None or call is self._trial

    def _admit(self, call: Call) -> None:
        if self._opened is None:
            return
        left = max(0.0, self._opened + self._rest - monotonic())
        if left or self._trial is not None:
            raise CallRefused(
                f"{self.model or 'The model'} failed {self._failed} times in a row and is not "
                f"called for now. Fix: try again in {left:.1f} s.",
                provider="circuit-breaker",
                retry_after_s=left,
            )
        self._trial = call
