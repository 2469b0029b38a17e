import asyncio
import threading

import pytest

from ragkit.core.sync import run_sync


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
