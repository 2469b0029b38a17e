"""Speed and time left are those of the last minute, and unknown until something is known."""

from collections.abc import Callable

import pytest

from ragkit.core.progress import Pace, PacedProgress, Progress, duration_text, pace_text, paced


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def step_after(clock: Clock) -> Callable[..., Progress]:
    """Return a function that reports progress after some seconds, and what became of it."""
    seen: list[Progress] = []
    report = PacedProgress(seen.append, clock=clock)

    def after(seconds: float, done: int, total: int = 100, *, growing: bool = False) -> Progress:
        clock.now += seconds
        report(Progress(phase="read", done=done, total=total, growing=growing))
        return seen[-1]

    return after


def test_nothing_is_known_at_first_and_while_nothing_is_done(clock: Clock) -> None:
    after = step_after(clock)
    assert (after(0, 0).rate, after(100, 0).rate) == (None, None)
    assert after(0.4, 0).left_s is None
    early = step_after(clock)
    early(0, 0)
    assert early(0.5, 50).rate is None  # half a second says nothing


def test_time_left_is_unknown_while_more_may_be_found_and_at_the_end(clock: Clock) -> None:
    after = step_after(clock)
    after(0, 0, growing=True)
    growing = after(10, 20, growing=True)
    assert (growing.rate, growing.left_s) == (2.0, None)
    assert after(0, 20).left_s == 40
    assert after(10, 100).left_s is None


def test_the_speed_is_that_of_the_last_minute(clock: Clock) -> None:
    after = step_after(clock)
    after(0, 0, 10_000)
    after(1, 9_000, 10_000)  # unchanged documents
    last = [after(1, done, 10_000) for done in range(9_001, 9_121)][-1]
    assert last.rate == pytest.approx(1, rel=0.02)
    assert last.left_s == pytest.approx(880, rel=0.02)


def test_a_count_that_begins_again_goes_on(clock: Clock) -> None:
    pace = Pace(clock)
    for done in (100, 200, 50, 100):  # two batches
        clock.now += 1
        rate = pace.rate(done)
    assert rate == pytest.approx((300 - 100) / 3)


def test_any_number_of_steps_takes_no_more_memory(clock: Clock) -> None:
    pace = Pace(clock)
    for done in range(100_000):
        clock.now += 0.01
        pace.rate(done)
    assert len(pace._measured) < 130  # pyright: ignore[reportPrivateUsage]


def test_phases_have_speeds_of_their_own(clock: Clock) -> None:
    seen: list[Progress] = []
    report = PacedProgress(seen.append, clock=clock)
    for seconds in range(3):
        clock.now = seconds
        report(Progress(phase="read", done=seconds, total=9))
        report(Progress(phase="embed", done=10 * seconds, total=90))
    assert [step.rate for step in seen[-2:]] == [1, 10]
    assert paced(None) is None


def test_texts() -> None:
    assert pace_text(Progress(phase="read", done=1, total=2)) == ""
    step = Progress(phase="read", done=1, total=2, rate=1.25, left_s=65)
    assert pace_text(step) == "1.2/s, 1:05 left"
    assert pace_text(Progress(phase="read", done=1, total=2, rate=1250)) == "1250/s"
    assert [duration_text(seconds) for seconds in (0.4, 59.6, 3600)] == ["0:00", "1:00", "1:00:00"]
