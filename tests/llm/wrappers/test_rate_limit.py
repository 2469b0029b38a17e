import time

import pytest

from ragkit.core.errors import ProviderError
from ragkit.llm import (
    RateLimit,
    Rates,
)
from ragkit.llm.wrappers.rate_limit import RateLimits
from ragkit.testing import FailingLLM, ScriptedLLM


def failure() -> ProviderError:
    return ProviderError("no", provider="test", retryable=True)


async def test_tokens_are_reserved_and_what_was_not_used_is_put_back() -> None:
    limits = RateLimits(Rates(tokens=1000))
    llm = RateLimit(ScriptedLLM(lambda _: "ok"), limits, key="a", wait_s=0)
    for _ in range(20):  # 20 x 100 reserved, but about 5 used
        await llm.complete("x", max_tokens=100)
    level = limits.of("a")[1].level
    assert 1000 - 20 * 5 < level < 1000


async def test_a_key_that_used_up_its_tokens_is_told_when_to_come_back() -> None:
    limits = RateLimits(Rates(tokens=300))
    llm = RateLimit(ScriptedLLM(lambda _: "x" * 200), limits, key="a", wait_s=0)
    other = RateLimit(ScriptedLLM(lambda _: "x" * 200), limits, key="b", wait_s=0)
    await llm.complete("x", max_tokens=250)
    with pytest.raises(ProviderError, match="'a'") as refused:
        await llm.complete("x", max_tokens=250)
    assert 20 < (refused.value.retry_after_s or 0) < 60
    assert (await other.complete("x", max_tokens=250)).text


async def test_a_call_beyond_a_minutes_worth_is_refused_for_good() -> None:
    llm = RateLimit(ScriptedLLM(lambda _: "x"), Rates(tokens=100))
    with pytest.raises(ProviderError, match="more than a minute's worth") as refused:
        await llm.complete("x", max_tokens=500)
    assert not refused.value.retryable


async def test_requests_are_counted_too_and_a_call_may_wait() -> None:
    limits = RateLimits(Rates(requests=600))
    llm = RateLimit(ScriptedLLM(lambda _: "x"), limits, wait_s=1)
    limits.of("")[0].level = 1
    started = time.monotonic()
    await llm.complete("x")
    await llm.complete("x")
    assert time.monotonic() - started >= 0.09


async def test_a_failed_call_is_charged_for_its_prompt_only() -> None:
    limits = RateLimits(Rates(tokens=1000))
    llm = RateLimit(FailingLLM(failure()), limits, wait_s=0)
    with pytest.raises(ProviderError):
        await llm.complete("x", max_tokens=500)
    assert 985 < limits.of("")[1].level < 1000
