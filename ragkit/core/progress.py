"""The progress of a long job: what is done, its speed, and the time that the rest takes."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

_WINDOW_S = 60.0
"""Seconds over which speed is measured: unchanged documents go faster than those that follow."""
_APART_S = 0.5
"""Seconds between two measurements that are kept."""
_KNOWN_S = 1.0
"""Seconds of work from which on a speed is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """A step of a long job: `done` of `total` items in this `phase`, at `item`.

    Attributes:
        growing: Whether more items may be found: `total` is the number of those found so far.
        rate: Items per second over the last minute; None until it is known.
        left_s: Seconds that the rest takes at this rate; None until that is known, and while the
            total grows.
    """

    phase: str
    done: int
    total: int
    item: str | Path = ""
    growing: bool = False
    rate: float | None = None
    left_s: float | None = None


OnProgress = Callable[[Progress], None]


class Pace:
    """The speed of one phase over its last minute.

    Where `done` falls, as it does from one batch to the next, the count goes on from there.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Measure by a clock, in seconds."""
        self._clock = clock
        self._before = self._last = 0
        self._measured: deque[tuple[float, int]] = deque()

    def rate(self, done: int) -> float | None:
        """Take in that so many items are done, and return items per second; None if unknown."""
        if done < self._last:
            self._before += self._last
        self._last = done
        now, count = self._clock(), self._before + done
        if not self._measured or now - self._measured[-1][0] >= _APART_S:
            self._measured.append((now, count))
        while len(self._measured) > 2 and now - self._measured[1][0] >= _WINDOW_S:
            self._measured.popleft()
        since, first = self._measured[0]
        if now - since < _KNOWN_S or count == first:
            return None
        return (count - first) / (now - since)


class PacedProgress:
    """Passes progress on, with the rate of each phase and the time left."""

    def __init__(
        self, on_progress: OnProgress, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Pass it on to a function."""
        self._on_progress, self._clock = on_progress, clock
        self._paces: dict[str, Pace] = {}

    def __call__(self, step: Progress) -> None:
        """Measure a step, and pass it on."""
        pace = self._paces.setdefault(step.phase, Pace(self._clock))
        rate = pace.rate(step.done)
        left = None
        if rate is not None and not step.growing and step.done < step.total:
            left = (step.total - step.done) / rate
        self._on_progress(replace(step, rate=rate, left_s=left))


def paced(on_progress: OnProgress | None) -> OnProgress | None:
    """Return a function that passes progress on with its rate; None for None."""
    return None if on_progress is None else PacedProgress(on_progress)


def pace_text(step: Progress) -> str:
    """Return rate and time left as people read them, such as `12/s, 1:05 left`, if known."""
    if step.rate is None:
        return ""
    rate = f"{step.rate:.0f}/s" if step.rate >= 10 else f"{step.rate:.1f}/s"
    return rate if step.left_s is None else f"{rate}, {duration_text(step.left_s)} left"


def duration_text(seconds: float) -> str:
    """Return seconds as `M:SS`, from an hour on as `H:MM:SS`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
