import asyncio
import time
from collections.abc import AsyncGenerator

import pytest

from ragkit.core.errors import ProviderError
from ragkit.core.types import Delta
from ragkit.llm import (
    Call,
    Concurrency,
    Retry,
)
from ragkit.testing import FailingLLM, ScriptedLLM
from tests.clock import Clock


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


class Recorded(FailingLLM):
    """Records the time limits of the calls."""

    def __init__(self, *errors: Exception) -> None:
        super().__init__(*errors)
        self.limits: list[float | None] = []

    async def respond(self, call: Call) -> AsyncGenerator[Delta]:
        self.limits.append(call.options.get("timeout_s"))
        async for delta in super().respond(call):
            yield delta


@pytest.mark.parametrize("streamed", [False, True])
async def test_all_attempts_share_the_time_limit_of_the_call(*, streamed: bool) -> None:
    llm = Recorded(failure(retry_after_s=0.1), failure(retry_after_s=0.1))
    retry = Retry(llm, first_s=0.001)
    if streamed:
        _ = [delta async for delta in retry.stream("x", timeout_s=100)]
    else:
        await retry.complete("x", timeout_s=100)
    first, second, third = (limit or 0 for limit in llm.limits)
    assert first <= 100
    assert second <= first - 0.1
    assert third <= second - 0.1


async def test_a_pause_beyond_the_time_limit_is_not_waited_for() -> None:
    llm = Recorded(failure(retry_after_s=20))
    with pytest.raises(ProviderError, match="no"):
        await Retry(llm, first_s=0.001).complete("x", timeout_s=10)
    assert llm.attempts == 1


async def test_an_inner_wait_counts_too() -> None:
    inner = Recorded()
    gate = Concurrency(inner, limit=1)
    await gate.complete("x")
    assert inner.limits == [None]
    await gate.complete("x", timeout_s=100)
    assert 0 < (inner.limits[1] or 0) <= 100


async def test_a_queue_is_waited_in_for_no_longer_than_the_call_may_take(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock)
    llm = Concurrency(ScriptedLLM(lambda _: "ok", delay_s=60), limit=1)
    running = asyncio.create_task(llm.complete("x"))
    late = asyncio.create_task(Retry(llm).complete("x", timeout_s=0.05))
    while not llm.waiting:
        await asyncio.sleep(0)
    clock.now += 0.05
    with pytest.raises(ProviderError, match=r"longer than 0\.05 s. Fix: raise timeout_s") as caught:
        await late
    assert caught.value.failure == "timeout"
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
