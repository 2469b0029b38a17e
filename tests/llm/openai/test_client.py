"""Faults of a real server: bounded time, the right error, nothing leaked, nothing miscounted."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing

import httpx
import pytest

from ragkit.core.errors import ConfigError, Failure, ProviderError
from ragkit.grammar import choice_grammar, regex_grammar
from ragkit.llm import VLLM, CircuitBreaker, Concurrency, Metered, RateLimit, Rates, Retry
from ragkit.llm.openai.connection import Patience
from ragkit.llm.wrappers.rate_limit import RateLimits
from ragkit.testing.faulty_proxy import Fault, FaultyProxy
from ragkit.testing.vllm_server import VLLMServer, free_port

CHOICE = choice_grammar(["yes", "no"])
LONG = regex_grammar("[0-9]{2500}")
"""Takes the server several seconds."""
PATIENT = Patience(connect_s=60, first_token_s=120, stall_s=120, total_s=240)
"""The machine may be busy; what ends a call is the fault and not the time."""


@pytest.fixture
async def proxy(vllm_server: VLLMServer) -> AsyncIterator[FaultyProxy]:
    async with FaultyProxy(vllm_server.url) as proxy:
        yield proxy


@pytest.fixture
async def llm(proxy: FaultyProxy) -> AsyncIterator[VLLM]:
    async with VLLM(proxy.url, patience=PATIENT) as llm:
        yield llm


async def counted(server: VLLMServer, metric: str) -> float:
    """A metric of the real server, summed over its labels."""
    async with httpx.AsyncClient(timeout=60) as client:  # it answers late while it decodes
        text = (await client.get(f"{server.url}/metrics")).text
    lines = [line for line in text.splitlines() if line.startswith(f"vllm:{metric}{{")]
    assert lines
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


async def idle(server: VLLMServer) -> bool:
    """Whether the server runs no request within a minute."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if await counted(server, "num_requests_running") == 0:
            return True
        await asyncio.sleep(0.1)
    return False


async def no_connection_left(proxy: FaultyProxy) -> bool:
    for _ in range(500):
        if proxy.open == 0:
            return True
        await asyncio.sleep(0.02)
    return False


BROKEN: dict[Fault, Failure] = {
    "cut": "broken_stream",
    "early end": "broken_stream",
    "garbage": "broken_stream",
}


@pytest.mark.parametrize("fault", BROKEN)
async def test_a_stream_that_breaks_off_gives_its_part_in_time(
    fault: Fault, llm: VLLM, proxy: FaultyProxy, vllm_server: VLLMServer
) -> None:
    proxy.set(fault)
    with pytest.raises(ProviderError) as broken:
        await llm.complete("x", max_tokens=200, temperature=1.0, seed=1)
    assert broken.value.failure == BROKEN[fault]
    assert broken.value.retryable
    assert broken.value.partial
    await llm.close()
    assert await no_connection_left(proxy)
    assert await idle(vllm_server)


async def test_a_stream_that_stalls_is_left_in_time(
    proxy: FaultyProxy, vllm_server: VLLMServer
) -> None:
    proxy.set("stall")
    hasty = Patience(first_token_s=120, stall_s=3, total_s=240)
    async with VLLM(proxy.url, patience=hasty) as llm:
        with pytest.raises(ProviderError, match="sent nothing for 3 s") as broken:
            await llm.complete("x", max_tokens=200, temperature=1.0, seed=1)
    assert broken.value.failure == "timeout"
    assert broken.value.retryable
    assert broken.value.partial
    assert await no_connection_left(proxy)
    assert await idle(vllm_server)


async def test_a_killed_server_breaks_the_call_and_refuses_the_next(
    llm: VLLM, proxy: FaultyProxy
) -> None:
    partial = ""
    proxy.set("stall")  # else the whole reply may be on its way before the first part is read

    async def read() -> None:
        nonlocal partial
        async with aclosing(llm.stream("x", max_tokens=1000)) as deltas:
            async for delta in deltas:
                partial += delta.text
                await proxy.kill()

    with pytest.raises(ProviderError) as broken:
        await read()
    assert broken.value.failure == "broken_stream"
    assert broken.value.partial.startswith(partial)
    with pytest.raises(ProviderError, match="start the server") as refused:
        await llm.complete("x")
    assert refused.value.failure == "refused"
    proxy.set("none")
    await proxy.start()
    assert (await llm.complete("x", grammar=CHOICE)).text in {"yes", "no"}


async def test_a_slow_start_is_waited_for(proxy: FaultyProxy) -> None:
    await proxy.kill()

    async def later() -> None:
        await asyncio.sleep(1.5)
        await proxy.start()

    async with VLLM(proxy.url) as llm:
        with pytest.raises(ProviderError, match="took longer than"):
            await llm.ready(timeout_s=0.6)
        starting = asyncio.create_task(later())
        await llm.ready(timeout_s=30)
        assert (await llm.complete("x", grammar=CHOICE)).text in {"yes", "no"}
        await starting


@pytest.mark.parametrize("fault", ["500", "503", "429"])
async def test_passing_failures_are_retried_and_lasting_ones_told(
    fault: Fault, llm: VLLM, proxy: FaultyProxy
) -> None:
    await llm.prove_grammars()
    proxy.set(lambda number: fault if number < 3 else "none")
    retry = Retry(llm, attempts=4, first_s=0.01)
    assert (await retry.complete("x", grammar=CHOICE)).text in {"yes", "no"}
    proxy.set(fault)
    with pytest.raises(ProviderError, match="made to fail") as failed:
        await retry.complete("x", grammar=CHOICE)
    assert failed.value.status == int(fault)
    assert failed.value.failure == ("failed" if fault == "500" else "overloaded")
    assert proxy.asked == 1 + 3 + 4


async def test_a_page_instead_of_a_stream_is_told(llm: VLLM, proxy: FaultyProxy) -> None:
    proxy.set("html")
    with pytest.raises(ProviderError, match="text/html"):
        await llm.complete("x")


async def test_a_server_that_ignores_grammars_is_found_out(llm: VLLM, proxy: FaultyProxy) -> None:
    proxy.set("no grammar")
    for _ in range(2):
        with pytest.raises(ProviderError, match="ignores grammars") as told:
            await llm.complete("x", grammar=CHOICE)
        assert told.value.failure == "no_grammar"
        assert not told.value.retryable
    assert (await llm.complete("x", max_tokens=3)).text
    proxy.set("none")
    assert (await llm.complete("x", grammar=CHOICE)).text in {"yes", "no"}


async def test_a_storm_of_429_with_64_clients_loses_nothing(
    proxy: FaultyProxy, vllm_server: VLLMServer
) -> None:
    proxy.set(lambda number: "429" if number % 3 else "none")
    limits = RateLimits(Rates(tokens=1e6))
    server = VLLM(proxy.url)
    metered = Metered(server)
    bounded = Concurrency(metered, limit=16, queue=64)
    llm = RateLimit(Retry(bounded, attempts=30, first_s=0.01, most_s=0.5), limits, key="storm")
    proxy.set("none")
    await server.prove_grammars()
    proxy.set(lambda number: "429" if number % 3 else "none")
    replies = await asyncio.gather(
        *(llm.complete("x", grammar=CHOICE, seed=seed) for seed in range(64))
    )
    assert all(reply.text in {"yes", "no"} for reply in replies)
    account = metered.accounts["random"]
    assert account.calls == 64
    used = sum(reply.usage.prompt + reply.usage.completion for reply in replies)
    assert account.usage.prompt + account.usage.completion == used
    assert 1e6 - limits.of("storm").tokens.level <= used
    assert (bounded.running, bounded.waiting) == (0, 0)
    await llm.close()
    assert await no_connection_left(proxy)
    assert await idle(vllm_server)


async def test_a_storm_that_does_not_pass_ends_in_time(proxy: FaultyProxy) -> None:
    server = VLLM(proxy.url)
    await server.prove_grammars()
    proxy.set("429")
    llm = CircuitBreaker(Retry(Concurrency(server, limit=8), attempts=2, first_s=0.01))
    outcomes = await asyncio.gather(
        *(llm.complete("x", grammar=CHOICE) for _ in range(64)), return_exceptions=True
    )
    assert all(
        isinstance(outcome, ProviderError) and outcome.failure == "overloaded"
        for outcome in outcomes
    )
    with pytest.raises(ProviderError, match="not called for now"):
        await llm.complete("x")
    await llm.close()
    assert await no_connection_left(proxy)


async def one_left(llm: VLLM) -> None:
    async with aclosing(llm.stream("x", grammar=LONG, max_tokens=3000, timeout_s=200)) as deltas:
        await anext(deltas)


async def eight_cancelled(llm: VLLM) -> None:
    decodes = asyncio.Event()

    async def read(number: int) -> None:
        async with aclosing(llm.stream(f"{number}", grammar=LONG, max_tokens=3000)) as deltas:
            async for _ in deltas:
                decodes.set()

    tasks = [asyncio.create_task(read(number)) for number in range(8)]
    await decodes.wait()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize("leave", [one_left, eight_cancelled])
async def test_cancelling_frees_the_servers_slot(
    leave: Callable[[VLLM], Awaitable[None]], vllm_server: VLLMServer
) -> None:
    async with VLLM(vllm_server.url, patience=PATIENT) as llm:
        await llm.prove_grammars()
        for _ in range(10):  # the server may not come to read meanwhile
            decoded = await counted(vllm_server, "request_success_total")
            await leave(llm)
            assert await idle(vllm_server)
            if await counted(vllm_server, "request_success_total") == decoded:
                return
    pytest.fail("the server never stopped before it had decoded the whole reply")


async def test_a_call_has_its_own_time_limit(llm: VLLM) -> None:
    with pytest.raises(ProviderError, match=r"took longer than 0\.3 s") as slow:
        await llm.complete("x", max_tokens=3000, timeout_s=0.3)
    assert slow.value.failure == "timeout"


async def test_nothing_listening_is_told_with_the_remedy() -> None:
    async with VLLM(f"http://127.0.0.1:{free_port()}") as llm:
        with pytest.raises(ProviderError, match="start the server, or") as refused:
            await llm.complete("x")
    assert refused.value.retryable
    with pytest.raises(ConfigError, match="'localhost:8000' is not a URL"):
        VLLM("localhost:8000")


async def test_a_model_that_is_not_served_is_named(vllm_server: VLLMServer) -> None:
    async with VLLM(vllm_server.url, "gpt-9") as llm:
        with pytest.raises(ConfigError, match=r"does not serve 'gpt-9'.*'random'"):
            await llm.complete("x")


def test_one_client_serves_several_event_loops(vllm_server: VLLMServer) -> None:
    llm = VLLM(f"{vllm_server.url}/v1/")

    async def once() -> str:
        text = (await llm.complete("x", grammar=CHOICE)).text
        await llm.close()
        return text

    assert {asyncio.run(once()) for _ in range(3)} <= {"yes", "no"}
