import time
from contextlib import aclosing

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
    level = limits.of("a").tokens.level
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
    limits.of("").requests.level = 1
    started = time.monotonic()
    await llm.complete("x")
    await llm.complete("x")
    assert time.monotonic() - started >= 0.09


async def test_a_failed_call_is_charged_for_its_prompt_only() -> None:
    limits = RateLimits(Rates(tokens=1000))
    llm = RateLimit(FailingLLM(failure()), limits, wait_s=0)
    with pytest.raises(ProviderError):
        await llm.complete("x", max_tokens=500)
    assert 985 < limits.of("").tokens.level < 1000


async def test_a_cancelled_stream_is_charged_for_what_it_got() -> None:
    limits = RateLimits(Rates(tokens=10_000))
    llm = RateLimit(ScriptedLLM(lambda _: "word " * 400), limits, wait_s=0)
    async with aclosing(llm.stream("x", max_tokens=5000)) as deltas:
        for _ in range(100):  # pieces of 8 bytes, two tokens each
            await anext(deltas)
    used = 10_000 - limits.of("").tokens.level
    assert 150 < used < 400


async def test_keys_that_are_idle_again_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("ragkit.llm.wrappers.rate_limit.monotonic", lambda: now)
    monkeypatch.setattr("ragkit.llm.wrappers.rate_limit._FEW_KEYS", 4)
    limits = RateLimits(Rates(requests=600, tokens=10_000))
    for number in range(500):
        llm = RateLimit(ScriptedLLM(lambda _: "ok"), limits, key=f"user {number}")
        await llm.complete("x")
        now += 1
    assert len(limits) < 20


async def test_a_key_that_used_up_its_tokens_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ragkit.llm.wrappers.rate_limit.monotonic", lambda: 0.0)
    monkeypatch.setattr("ragkit.llm.wrappers.rate_limit._FEW_KEYS", 4)
    limits = RateLimits(Rates(tokens=10_000))
    for number in range(50):
        llm = RateLimit(ScriptedLLM(lambda _: "ok"), limits, key=f"user {number}")
        await llm.complete("x")
    assert len(limits) == 50


async def test_a_call_in_flight_keeps_its_buckets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ragkit.llm.wrappers.rate_limit._FEW_KEYS", 1)
    limits = RateLimits(Rates())
    llm = RateLimit(ScriptedLLM(lambda _: "ok ok ok"), limits, key="slow")
    async with aclosing(llm.stream("x")) as deltas:
        await anext(deltas)
        before = limits.of("slow")
        limits.of("other")
        assert limits.of("slow") is before
    limits.of("a third")
    assert limits.of("slow") is not before


async def test_a_turn_is_waited_for_no_longer_than_the_call_may_take() -> None:
    limits = RateLimits(Rates(requests=1))
    llm = RateLimit(ScriptedLLM(lambda _: "ok"), limits, wait_s=60)
    await llm.complete("x")
    with pytest.raises(ProviderError, match=r"longer than 0\.01 s"):
        await llm.complete("x", timeout_s=0.01)
