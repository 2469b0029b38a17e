"""A bound on concurrency that holds over event loops and threads alike."""

import asyncio
import threading
from collections import deque
from concurrent.futures import Future


class Slots:
    """`count` slots. Unlike a semaphore of asyncio, any thread may release one, on any loop."""

    def __init__(self, count: int) -> None:
        """Start with all slots free."""
        self._free = count
        self._lock = threading.Lock()
        self._waiting: deque[Future[None]] = deque()

    async def acquire(self) -> None:
        """Wait for a slot, first come, first served."""
        with self._lock:
            if self._free:
                self._free -= 1
                return
            turn: Future[None] = Future()
            self._waiting.append(turn)
        try:
            await asyncio.wrap_future(turn)
        except asyncio.CancelledError:
            if not turn.cancel():  # the slot came in the same moment
                self.release()
            raise

    def release(self) -> None:
        """Give a slot back, to whoever has waited longest."""
        with self._lock:
            while self._waiting:
                turn = self._waiting.popleft()
                if turn.set_running_or_notify_cancel():
                    break
            else:
                self._free += 1
                return
        turn.set_result(None)
