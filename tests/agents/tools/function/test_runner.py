import asyncio
import contextlib
import functools
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import pytest

from ragkit.agents.tools import tool
from ragkit.agents.tools.function.runner import Slots
from ragkit.core.errors import InputError, ProviderError, ToolError

P = ParamSpec("P")
R = TypeVar("R")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError("no such city"), "ValueError: no such city"),
        (KeyError("city"), "KeyError: 'city'"),
        (ToolError("Ask for a city in Norway."), "Ask for a city in Norway."),
        (RuntimeError(), "RuntimeError"),
        (StopIteration(3), "StopIteration: 3"),
        (SystemExit(2), "SystemExit: 2"),
        (asyncio.CancelledError(), "CancelledError"),
        (ExceptionGroup("both", [ValueError("a")]), "ExceptionGroup: both (1 sub-exception)"),
    ],
)
@pytest.mark.parametrize("asynchronous", [False, True])
async def test_whatever_a_function_raises_is_told_without_a_traceback(
    error: BaseException, message: str, asynchronous: bool
) -> None:
    def fail() -> None:
        """Fail."""
        raise error

    async def fail_later() -> None:
        """Fail."""
        raise error

    made = tool(fail_later) if asynchronous else tool(fail)
    if asynchronous and isinstance(error, StopIteration):
        message = "RuntimeError: coroutine raised StopIteration"
    with pytest.raises(ToolError) as caught:
        await asyncio.wait_for(made.call({}, key="k"), 5)
    assert str(caught.value) == message


async def test_a_huge_message_is_cut() -> None:
    @tool(max_chars=300)
    def fail() -> None:
        """Fail."""
        raise ValueError("x" * 100_000)

    with pytest.raises(ToolError) as caught:
        await fail.call({}, key="k")
    assert len(str(caught.value)) == 300


class Flaky:
    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0

    def answer(self) -> str:
        """Answer at last."""
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "here"


def busy() -> ProviderError:
    return ProviderError("busy", provider="test", retryable=True, retry_after_s=0.0)


async def test_errors_that_may_pass_are_tried_again() -> None:
    flaky = Flaky(busy(), TimeoutError("slow"))
    assert (await tool(flaky.answer, retries=2).call({}, key="k")).text == "here"
    assert flaky.calls == 3


async def test_tries_are_bounded() -> None:
    flaky = Flaky(busy(), busy(), busy())
    with pytest.raises(ToolError, match="busy"):
        await tool(flaky.answer, retries=1).call({}, key="k")
    assert flaky.calls == 2


async def test_other_errors_are_not_tried_again() -> None:
    flaky = Flaky(ValueError("wrong city"))
    with pytest.raises(ToolError, match="wrong city"):
        await tool(flaky.answer, retries=3).call({}, key="k")
    assert flaky.calls == 1


async def test_a_write_is_tried_again_only_where_that_is_said_to_be_safe() -> None:
    flaky = Flaky(busy())
    safe = tool(flaky.answer, permission="write", idempotent=True, retries=1)
    assert (await safe.call({}, key="k")).text == "here"
    flaky = Flaky(busy())
    with pytest.raises(ToolError, match="busy"):
        await tool(flaky.answer, permission="write").call({}, key="k")
    assert flaky.calls == 1
    with pytest.raises(InputError, match="several times"):
        tool(flaky.answer, idempotent=False, retries=1)


async def test_slots_come_back_whatever_is_cancelled() -> None:
    slots, chance, running = Slots(3), random.Random(7), list[int]()
    most: list[int] = []

    async def use() -> None:
        await slots.acquire()
        running.append(1)
        most.append(len(running))
        try:
            await asyncio.sleep(0)
        finally:
            running.pop()
            slots.release()

    for _ in range(30):
        tasks = [asyncio.ensure_future(use()) for _ in range(20)]
        while not all(task.done() for task in tasks):
            await asyncio.sleep(0)
            for task in chance.sample(tasks, 4):
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert max(most) == 3
    async with asyncio.timeout(10):
        for _ in range(3):
            await slots.acquire()


async def test_a_slot_released_by_a_thread_wakes_the_one_who_waits() -> None:
    slots = Slots(1)
    await slots.acquire()
    threading.Timer(0.05, slots.release).start()
    async with asyncio.timeout(10):
        await slots.acquire()


def test_slots_are_shared_by_loops_in_several_threads() -> None:
    slots, running = Slots(2), list[int]()
    most: list[int] = []

    async def use() -> None:
        for _ in range(20):
            await slots.acquire()
            running.append(1)
            most.append(len(running))
            await asyncio.sleep(0.002)
            running.pop()
            slots.release()

    threads = [threading.Thread(target=lambda: asyncio.run(use())) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert (len(most), max(most)) == (120, 2)


async def test_a_call_returns_in_time_though_its_thread_goes_on() -> None:
    ended = threading.Event()
    go_on = threading.Event()

    @tool(timeout_s=0.1)
    def hang() -> None:
        """Hang."""
        go_on.wait(30)
        ended.set()

    with pytest.raises(ToolError, match=r"TimeoutError: no result within 0.1 s"):
        await hang.call({}, key="k")
    assert not ended.is_set()
    go_on.set()
    assert ended.wait(10)


async def test_a_call_returns_in_time_though_the_function_ignores_cancellation() -> None:
    released = asyncio.Event()

    @tool(timeout_s=0.1)
    async def stubborn() -> None:
        """Go on."""
        while not released.is_set():
            try:
                await released.wait()
            except asyncio.CancelledError:
                continue

    with pytest.raises(ToolError, match="no result within"):
        await asyncio.wait_for(stubborn.call({}, key="k"), 10)
    released.set()
    await asyncio.sleep(0.01)


async def test_a_hung_function_keeps_its_turn_and_the_others_are_told() -> None:
    go_on = threading.Event()

    @tool(timeout_s=0.1, concurrency=1)
    def hang(wait: bool) -> str:
        """Hang."""
        if wait:
            go_on.wait(30)
        return "done"

    for message in ("no result", "no free slot"):
        with pytest.raises(ToolError, match=message):
            await hang.call({"wait": message == "no result"}, key="k")
    go_on.set()
    results: list[str] = []
    while not results:  # until the thread has seen it; pytest's own limit ends it otherwise
        with contextlib.suppress(ToolError):
            results.append((await hang.call({"wait": False}, key="k")).text)
    assert results == ["done"]


def test_a_hung_function_does_not_keep_the_interpreter_from_ending() -> None:
    program = """
import asyncio, threading
from ragkit.agents.tools import tool
from ragkit.core.errors import ToolError

@tool(timeout_s=0.05)
def hang() -> None:
    "Hang for good."
    threading.Event().wait()

async def main():
    for _ in range(3):
        try:
            await hang.call({}, key="k")
        except ToolError:
            print("left")

asyncio.run(main())
"""
    ended = subprocess.run(  # the arguments are this test's own
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True
    )
    assert ended.stdout.split() == ["left"] * 3
    assert ended.stderr == ""


async def test_a_cancelled_call_cancels_an_async_function() -> None:
    seen: list[str] = []

    @tool
    async def wait() -> None:
        """Wait."""
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    call = asyncio.ensure_future(wait.call({}, key="k"))
    await asyncio.sleep(0.01)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await asyncio.sleep(0.01)
    assert seen == ["cancelled"]


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_no_more_calls_run_at_once_than_allowed(asynchronous: bool) -> None:
    running: list[int] = []
    most: list[int] = []

    async def work() -> None:
        """Work."""
        running.append(1)
        most.append(len(running))
        await asyncio.sleep(0.02)
        running.pop()

    def work_in_thread() -> None:
        """Work."""
        running.append(1)
        most.append(len(running))
        time.sleep(0.02)
        running.pop()

    made = (
        tool(work, concurrency=3)
        if asynchronous
        else tool(work_in_thread, name="work", concurrency=3)
    )
    await asyncio.gather(*(made.call({}, key=str(number)) for number in range(12)))
    assert (len(most), max(most)) == (12, 3)


def plain(function: Callable[P, R]) -> Callable[P, R]:
    """A decorator that knows nothing of async functions."""

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        return function(*args, **kwargs)

    return call


async def test_an_async_function_behind_a_plain_decorator_runs_on_the_event_loop() -> None:
    loops: list[object] = []

    @tool
    @plain
    async def double(number: int) -> int:
        """Double a number."""
        loops.append(asyncio.get_running_loop())
        return 2 * number

    assert (await double.call({"number": 4}, key="k")).value == 8
    assert loops == [asyncio.get_running_loop()]


async def test_an_async_function_behind_a_plain_decorator_is_cancelled_with_its_call() -> None:
    begun, cancelled = asyncio.Event(), asyncio.Event()

    @tool
    @plain
    async def hang() -> None:
        """Hang."""
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    call = asyncio.ensure_future(hang.call({}, key="k"))
    await begun.wait()
    call.cancel()
    await asyncio.wait({call})
    await cancelled.wait()


async def test_an_awaitable_that_a_sync_function_returns_has_the_time_of_its_call() -> None:
    never: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @tool(timeout_s=0.2)
    def hang() -> object:
        """Hang."""
        return never

    with pytest.raises(ToolError, match=r"TimeoutError: no result within 0\.2 s"):
        await hang.call({}, key="k")
