import asyncio
import random
import threading

from ragkit.agents.tools.function.jobs import Slots


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
