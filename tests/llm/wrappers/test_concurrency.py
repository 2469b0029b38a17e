import asyncio
from contextlib import aclosing

from ragkit.core.errors import ProviderError
from ragkit.llm import (
    Concurrency,
)
from ragkit.testing import ScriptedCall, ScriptedLLM


async def test_concurrency_is_bounded_and_all_are_served() -> None:
    most = 0

    def reply(_: ScriptedCall) -> str:
        nonlocal most
        most = max(most, llm.running)
        return "ok"

    llm = Concurrency(ScriptedLLM(reply, delay_s=0.005), limit=3)
    replies = await asyncio.gather(*(llm.complete("x") for _ in range(20)))
    assert len(replies) == 20
    assert most == 3
    assert (llm.running, llm.waiting) == (0, 0)


async def test_a_full_queue_refuses_at_once_and_a_long_wait_in_time() -> None:
    llm = Concurrency(ScriptedLLM(lambda _: "ok", delay_s=0.3), limit=1, queue=1, wait_s=0.05)
    outcomes = await asyncio.gather(*(llm.complete("x") for _ in range(3)), return_exceptions=True)
    assert [isinstance(outcome, ProviderError) for outcome in outcomes] == [False, True, True]
    assert {str(outcome).split(" and ")[1].partition(". Fix")[0] for outcome in outcomes[1:]} == {
        "no call ended in 0.05 s",
        "1 calls wait already",
    }
    assert (llm.running, llm.waiting) == (0, 0)


async def test_a_cancelled_call_gives_its_slot_back() -> None:
    llm = Concurrency(ScriptedLLM(lambda _: "ok", delay_s=5), limit=1)
    tasks = [asyncio.create_task(llm.complete("x")) for _ in range(2)]
    await asyncio.sleep(0.02)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert (llm.running, llm.waiting) == (0, 0)


async def test_an_abandoned_stream_gives_its_slot_back() -> None:
    llm = Concurrency(ScriptedLLM(lambda _: "a long reply of many pieces"), limit=1)
    async with aclosing(llm.stream("x")) as deltas:
        await anext(deltas)
        assert llm.running == 1
    assert llm.running == 0
