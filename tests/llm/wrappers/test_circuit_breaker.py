import asyncio
from collections.abc import AsyncGenerator

import pytest

from ragkit.core.errors import CallRefused, ProviderError
from ragkit.core.types import Delta
from ragkit.llm import Call, CircuitBreaker, Concurrency
from ragkit.testing import FailingLLM, ScriptedLLM


def failure(*, retryable: bool = True) -> ProviderError:
    return ProviderError("no", provider="test", retryable=retryable)


class Clock:
    """The time of the breaker, set by a test."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("ragkit.llm.wrappers.circuit_breaker.monotonic", clock)
    return clock


async def test_the_breaker_opens_rests_and_closes_after_a_good_trial(clock: Clock) -> None:
    llm = FailingLLM(failure(), failure())
    breaker = CircuitBreaker(llm, failures=2, rest_s=30)
    for _ in range(2):
        with pytest.raises(ProviderError, match="no"):
            await breaker.complete("x")
    clock.now += 10
    with pytest.raises(CallRefused, match=r"not called for now. Fix: try again in 20\.0 s") as told:
        await breaker.complete("x")
    assert told.value.retry_after_s == 20
    assert llm.attempts == 2
    clock.now += 21
    for _ in range(2):
        assert (await breaker.complete("x")).text == "reply"


async def test_a_bad_trial_opens_it_again(clock: Clock) -> None:
    breaker = CircuitBreaker(FailingLLM(*[failure()] * 3), failures=2, rest_s=30)
    for _ in range(2):
        with pytest.raises(ProviderError, match="no"):
            await breaker.complete("x")
    clock.now += 31
    with pytest.raises(ProviderError, match="no"):
        await breaker.complete("x")
    with pytest.raises(CallRefused):
        await breaker.complete("x")
    clock.now += 31
    assert (await breaker.complete("x")).text == "reply"


async def test_a_bad_request_says_nothing_about_the_servers_health() -> None:
    breaker = CircuitBreaker(FailingLLM(failure(retryable=False)), failures=1)
    with pytest.raises(ProviderError):
        await breaker.complete("x")
    assert (await breaker.complete("x")).text == "reply"


async def test_the_refusals_of_a_full_queue_do_not_open_it() -> None:
    inner = Concurrency(ScriptedLLM(lambda _: "ok", delay_s=0.01), limit=1, queue=0)
    breaker = CircuitBreaker(inner, failures=3)
    outcomes = await asyncio.gather(
        *(breaker.complete("x") for _ in range(9)), return_exceptions=True
    )
    assert sum(isinstance(outcome, CallRefused) for outcome in outcomes) == 8
    assert (await breaker.complete("x")).text == "ok"


class Gated(ScriptedLLM):
    """Each call waits for its own event, then fails or replies."""

    def __init__(self) -> None:
        super().__init__(lambda _: "ok")
        self.gates: list[asyncio.Future[bool]] = []

    async def respond(self, call: Call) -> AsyncGenerator[Delta]:
        gate = asyncio.get_running_loop().create_future()
        self.gates.append(gate)
        if not await gate:
            raise failure()
        async for delta in super().respond(call):
            yield delta


async def started(breaker: CircuitBreaker, llm: Gated) -> "asyncio.Task[object]":
    before = len(llm.gates)
    task: asyncio.Task[object] = asyncio.create_task(breaker.complete("x"))
    while len(llm.gates) == before and not task.done():
        await asyncio.sleep(0)
    return task


async def ended(*tasks: "asyncio.Task[object]") -> None:
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize("late", [True, False])
async def test_a_late_call_admits_no_second_trial(clock: Clock, *, late: bool) -> None:
    llm = Gated()
    breaker = CircuitBreaker(llm, failures=1, rest_s=30)
    slow, quick = await started(breaker, llm), await started(breaker, llm)
    llm.gates[1].set_result(False)
    await ended(quick)
    clock.now += 31
    trial = await started(breaker, llm)
    llm.gates[0].set_result(late)
    await ended(slow)
    with pytest.raises(CallRefused):
        await breaker.complete("x")
    llm.gates[2].set_result(True)
    assert (await trial) is not None
    assert await started(breaker, llm) is not None
    assert len(llm.gates) == 4
    llm.gates[3].set_result(True)


async def test_a_cancelled_trial_lets_another_one_through(clock: Clock) -> None:
    llm = Gated()
    breaker = CircuitBreaker(llm, failures=1, rest_s=30)
    first = await started(breaker, llm)
    llm.gates[0].set_result(False)
    await ended(first)
    clock.now += 31
    trial = await started(breaker, llm)
    trial.cancel()
    await ended(trial)
    second = await started(breaker, llm)
    llm.gates[2].set_result(True)
    await ended(second)
    assert second.exception() is None
