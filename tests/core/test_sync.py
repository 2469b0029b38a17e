import asyncio
import multiprocessing
import threading
from collections.abc import AsyncGenerator

import pytest

from ragkit.core.sync import iterate_sync, run_sync


async def _double(value: int) -> int:
    await asyncio.sleep(0)
    return value * 2


def test_runs_in_a_script() -> None:
    assert run_sync(lambda: _double(2)) == 4


def test_runs_in_many_threads_at_once() -> None:
    results: list[int] = []

    def double(value: int) -> None:
        results.append(run_sync(lambda: _double(value)))

    threads = [threading.Thread(target=double, args=(n,)) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [n * 2 for n in range(20)]


async def test_runs_inside_a_running_loop() -> None:
    assert run_sync(lambda: _double(3)) == 6


def test_errors_come_through() -> None:
    async def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        run_sync(fail)


def test_a_call_from_its_own_loop_is_refused_instead_of_hanging() -> None:
    async def nested() -> int:
        return run_sync(lambda: _double(1))

    with pytest.raises(RuntimeError, match="await instead"):
        run_sync(nested)


async def _count(to: int, ended: list[str]) -> AsyncGenerator[int]:
    try:
        for number in range(to):
            await asyncio.sleep(0)
            yield number
        if to == 3:
            raise ValueError("broken off")
    finally:
        ended.append("closed")


def test_an_asynchronous_generator_is_iterated() -> None:
    ended: list[str] = []
    assert list(iterate_sync(lambda: _count(5, ended))) == [0, 1, 2, 3, 4]
    assert ended == ["closed"]


def test_an_error_comes_after_the_items_before_it() -> None:
    items = iterate_sync(lambda: _count(3, []))
    assert [next(items), next(items), next(items)] == [0, 1, 2]
    with pytest.raises(ValueError, match="broken off"):
        next(items)


def test_a_generator_that_is_left_early_is_closed() -> None:
    ended = threading.Event()

    async def endless() -> AsyncGenerator[int]:
        try:
            while True:
                await asyncio.sleep(0.001)
                yield 1
        finally:
            ended.set()

    items = iterate_sync(endless)
    assert next(items) == 1
    items.close()
    assert ended.wait(10)


def _child(results: "multiprocessing.SimpleQueue[int]") -> None:
    results.put(run_sync(lambda: _double(21)))


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork.*:DeprecationWarning")
def test_a_forked_child_has_a_loop_of_its_own() -> None:
    assert run_sync(lambda: _double(1)) == 2
    context = multiprocessing.get_context("fork")
    results: multiprocessing.SimpleQueue[int] = context.SimpleQueue()
    process = context.Process(target=_child, args=(results,))
    process.start()
    process.join(60)
    assert process.exitcode == 0
    assert results.get() == 42
    assert run_sync(lambda: _double(1)) == 2
