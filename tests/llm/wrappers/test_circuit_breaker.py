import asyncio

import pytest

from ragkit.core.errors import ProviderError
from ragkit.llm import (
    CircuitBreaker,
)
from ragkit.testing import FailingLLM


def failure(*, retryable: bool = True, retry_after_s: float | None = None) -> ProviderError:
    return ProviderError("no", provider="test", retryable=retryable, retry_after_s=retry_after_s)


async def test_the_breaker_opens_rests_and_closes_after_a_good_trial() -> None:
    llm = FailingLLM(failure(), failure())
    breaker = CircuitBreaker(llm, failures=2, rest_s=0.05)
    for _ in range(2):
        with pytest.raises(ProviderError, match="no"):
            await breaker.complete("x")
    with pytest.raises(ProviderError, match="not called") as refused:
        await breaker.complete("x")
    assert refused.value.retry_after_s is not None
    assert llm.attempts == 2
    await asyncio.sleep(0.06)
    assert (await breaker.complete("x")).text == "reply"
    assert (await breaker.complete("x")).text == "reply"


async def test_a_bad_request_says_nothing_of_the_servers_health() -> None:
    breaker = CircuitBreaker(FailingLLM(failure(retryable=False)), failures=1)
    with pytest.raises(ProviderError):
        await breaker.complete("x")
    assert (await breaker.complete("x")).text == "reply"
