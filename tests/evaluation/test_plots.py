import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.evaluation.plots import axis_of, difference_plot, histogram, interval_plot
from ragkit.evaluation.stats import Estimate

NUMBERS = st.floats(-1e6, 1e6, allow_nan=False).filter(lambda value: abs(value) > 1e-6)


@given(NUMBERS, NUMBERS)
def test_an_axis_holds_both_ends_and_has_few_even_ticks(one: float, other: float) -> None:
    low, high = sorted((one, other))
    axis = axis_of("x", low, high)
    slack = 1e-6 * max(1.0, abs(low), abs(high))
    assert axis.low <= min(low, high) + slack
    assert axis.high >= high - slack
    assert 2 <= len(axis.ticks) <= 8
    steps = [b - a for a, b in zip(axis.ticks, axis.ticks[1:], strict=False)]
    assert max(steps) == pytest.approx(min(steps), rel=1e-3, abs=slack)


def test_ticks_are_round_numbers() -> None:
    assert axis_of("x", 0, 1).ticks == (0, 0.2, 0.4, 0.6, 0.8, 1)
    assert axis_of("x", 0, 37).ticks == (0, 10, 20, 30, 40)
    assert axis_of("x", -0.3, 0.3).ticks == (-0.4, -0.2, 0, 0.2, 0.4)


def test_an_axis_without_extent_gets_one() -> None:
    assert (axis_of("x", 3, 3).low, axis_of("x", 3, 3).high) == (0, 3)
    assert (axis_of("x", 0, 0).low, axis_of("x", 0, 0).high) == (0, 1)


def test_shares_are_shown_from_0_to_1() -> None:
    plot = interval_plot("recall", {"bm25": Estimate(value=0.2, low=0.1, high=0.3)})
    assert (plot.axis.low, plot.axis.high) == (0, 1)
    assert plot.axis.percent(0.2) == 20
    assert plot.rows[0].text == "0.200 (0.100 to 0.300)"


@given(st.lists(st.floats(0, 500, allow_nan=False), max_size=50))
def test_every_value_is_in_one_bin(values: list[float]) -> None:
    plot = histogram("x", values, "x")
    assert sum(one.count for one in plot.bins) == len(values)
    assert plot.counts.high >= max(one.count for one in plot.bins)
    assert plot.axis.high >= max([1.0, *values])


def test_many_differences_are_thinned_out_and_zero_is_in_the_middle() -> None:
    plot = difference_plot("x", [number / 1000 for number in range(-1000, 1000)])
    assert len(plot.values) <= 400
    assert plot.axis.percent(0) == 50
    assert difference_plot("x", []).values == ()
    assert difference_plot("x", [0.0, 0.0]).axis.high == 1
