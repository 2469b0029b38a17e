"""Times of each stage in this session of the server, for histograms on the page System."""

import threading
from collections import deque
from collections.abc import Mapping


class Latencies:
    """The last times of each stage, in seconds."""

    def __init__(self, size: int = 1000) -> None:
        """Keep at most `size` times of a stage."""
        self._size = size
        self._times: dict[str, deque[float]] = {}
        self._lock = threading.Lock()

    def add(self, seconds: Mapping[str, float]) -> None:
        """Note the times of one search or answer, by stage."""
        with self._lock:
            for stage, taken in seconds.items():
                self._times.setdefault(stage, deque(maxlen=self._size)).append(taken)

    def all(self) -> dict[str, list[float]]:
        """Return the times by stage, oldest first."""
        with self._lock:
            return {stage: list(times) for stage, times in self._times.items()}
