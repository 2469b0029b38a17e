import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragkit import InputError
from ragkit.evaluation.stats import compare, estimate

_PAIRS = st.lists(
    st.tuples(st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.sampled_from([0.0, 0.5, 1.0])),
    min_size=1,
    max_size=12,
)


def _ids(values: list[float]) -> dict[str, float]:
    return {f"q{number}": value for number, value in enumerate(values)}


def test_a_small_set_is_tested_exactly() -> None:
    # All eight differences have one sign: 2 of the 2^8 assignments are as extreme.
    found = compare(_ids([0.0] * 8), _ids([0.5] * 8))
    assert found.p_value == pytest.approx(2 / 2**8)
    assert (found.better, found.higher, found.lower) == ("B", 8, 0)
    assert found.verdict == "B is better: +0.500 (0.500 to 0.500), p = 0.0078"


def test_the_sign_of_a_query_that_did_not_change_does_not_matter() -> None:
    few = compare(_ids([0.0, 0.5, 0.2, 0.1]), _ids([0.4, 0.1, 0.9, 0.3]))
    more = compare(_ids([0.0, 0.5, 0.2, 0.1] + [1.0] * 40), _ids([0.4, 0.1, 0.9, 0.3] + [1.0] * 40))
    assert few.p_value == pytest.approx(more.p_value)


def test_a_clear_loss_over_many_queries_is_seen() -> None:
    before = [0.5 + 0.01 * (number % 7) for number in range(200)]
    after = [value - 0.1 + 0.02 * (number % 3) for number, value in enumerate(before)]
    found = compare(_ids(before), _ids(after))
    assert found.better == "A"
    assert found.verdict.startswith("A is better: -0.080 (-0.08")
    assert found.difference.low < found.difference.value < found.difference.high < 0


def test_noise_is_called_no_difference() -> None:
    before = [float(number % 2) for number in range(50)]
    after = [float(number % 4 < 2) for number in range(50)]
    found = compare(_ids(before), _ids(after))
    assert found.better is None
    assert found.verdict.startswith("no difference can be seen in these 50 queries: ")


def test_where_lower_is_better_the_lower_one_wins() -> None:
    assert compare(_ids([9.0] * 9), _ids([5.0] * 9), lower_is_better=True).better == "B"


def test_runs_are_paired_by_id_and_not_by_order() -> None:
    found = compare({"a": 0.0, "b": 1.0, "c": 0.3}, {"b": 1.0, "a": 0.0, "x": 0.9})
    assert (found.queries, found.difference.value) == (2, 0.0)


def test_nothing_in_common_is_refused() -> None:
    with pytest.raises(InputError, match="no query in common"):
        compare({"a": 1.0}, {"b": 1.0})


@settings(max_examples=30)
@given(_PAIRS)
def test_turning_the_runs_round_turns_the_result_round(pairs: list[tuple[float, float]]) -> None:
    a, b = _ids([first for first, _ in pairs]), _ids([second for _, second in pairs])
    there, back = compare(a, b), compare(b, a)
    assert there.p_value == pytest.approx(back.p_value)
    assert there.difference.value == pytest.approx(-back.difference.value)
    assert {there.better, back.better} in ({None}, {"A", "B"})
    assert 0 < there.p_value <= 1


def test_an_interval_holds_the_mean_and_is_reproducible() -> None:
    values = [0.0, 0.2, 0.9, 1.0, 0.5] * 20
    first = estimate(values)
    assert first == estimate(values)
    assert first.value == pytest.approx(0.52)
    assert first.low < first.value < first.high


def test_an_interval_of_equal_values_is_a_point() -> None:
    assert estimate([0.5, 0.5]) == estimate([0.5])
