import time

import pytest

from ragkit.core.errors import ProviderError
from ragkit.llm import (
    Retry,
)
from ragkit.testing import FailingLLM


def failure(*, retryable: bool = True, retry_after_s: float | None = None) -> ProviderError:
    return ProviderError("no", provider="test", retryable=retryable, retry_after_s=retry_after_s)


async def test_a_retryable_failure_is_tried_again() -> None:
    llm = FailingLLM(failure(), failure())
    reply = await Retry(llm, first_s=0.001).complete("x")
    assert (reply.text, llm.attempts) == ("reply", 3)


async def test_other_failures_are_not_tried_again() -> None:
    llm = FailingLLM(failure(retryable=False))
    with pytest.raises(ProviderError):
        await Retry(llm, first_s=0.001).complete("x")
    assert llm.attempts == 1


async def test_after_the_last_attempt_the_error_is_raised() -> None:
    llm = FailingLLM(*(failure() for _ in range(9)))
    with pytest.raises(ProviderError):
        await Retry(llm, attempts=3, first_s=0.001).complete("x")
    assert llm.attempts == 3


async def test_the_server_says_how_long_to_wait() -> None:
    llm = FailingLLM(failure(retry_after_s=0.2))
    started = time.monotonic()
    await Retry(llm, first_s=0.001).complete("x")
    assert time.monotonic() - started >= 0.2


async def test_a_server_that_asks_for_too_long_a_wait_is_not_called_again() -> None:
    llm = FailingLLM(failure(retry_after_s=100))
    with pytest.raises(ProviderError):
        await Retry(llm, most_s=1).complete("x")
    assert llm.attempts == 1


async def test_a_begun_stream_is_not_repeated_but_a_call_is() -> None:
    retry = Retry(FailingLLM(failure(), after_a_piece=True), first_s=0.001)
    with pytest.raises(ProviderError):
        _ = [delta async for delta in retry.stream("x")]
    retry = Retry(FailingLLM(failure(), after_a_piece=True), first_s=0.001)
    assert (await retry.complete("x")).text == "reply"
