import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.evaluation.answer_metrics import exact_match, f1, holds, normalised


def test_normal_form_is_that_of_squad() -> None:
    assert normalised("  The U.S. Army's  an-swer, a\tdog") == "us armys answer dog"


def test_exact_match_and_f1_take_the_best_gold_answer() -> None:
    assert exact_match("The Denver Broncos!", ["broncos", "denver broncos"]) == 1.0
    assert f1("the Denver team", ["Denver Broncos", "Denver team won"]) == pytest.approx(4 / 5)
    assert f1("dog dog", ["dog"]) == pytest.approx(2 / 3)
    assert f1("cat", ["dog"]) == 0.0


def test_silence_is_right_where_there_is_no_answer() -> None:
    assert (exact_match("", []), f1("", [])) == (1.0, 1.0)
    assert (exact_match("dog", []), f1("dog", [])) == (0.0, 0.0)
    assert (exact_match("", ["dog"]), f1("", ["dog"])) == (0.0, 0.0)
    # A gold answer of nothing but an article is none, as in SQuAD's own script.
    assert f1("", ["the"]) == 1.0


def test_an_answer_holds_whole_words() -> None:
    assert holds("It was built in 1973, they say.", ["1973"]) == 1.0
    assert holds("It was built in 19731.", ["1973"]) == 0.0
    assert holds("", ["1973"]) == 0.0


@given(st.text("ab the.", max_size=20), st.text("ab the.", max_size=20))
def test_f1_is_symmetric_and_1_exactly_for_the_same_words(first: str, second: str) -> None:
    value = f1(first, [second])
    assert 0.0 <= value <= 1.0
    assert value == f1(second, [first])
    words = sorted(normalised(first).split()), sorted(normalised(second).split())
    assert (value == 1.0) == (words[0] == words[1])
