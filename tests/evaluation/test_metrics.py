import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragkit.evaluation.metrics import per_query

_IDS = st.sampled_from([f"d{i}" for i in range(12)])


def test_values_by_hand() -> None:
    values = per_query({"q": {"a": 2, "b": 1}}, {"q": ["x", "a", "b"]})
    gain = 2 / math.log2(3) + 1 / math.log2(4)
    ideal = 2 / math.log2(2) + 1 / math.log2(3)
    assert values["ndcg@10"]["q"] == pytest.approx(gain / ideal)
    assert values["mrr@10"]["q"] == pytest.approx(1 / 2)
    assert values["recall@100"]["q"] == 1.0


def test_a_query_without_a_ranking_scores_nothing() -> None:
    values = per_query({"q": {"a": 1}, "r": {"a": 1}}, {"q": ["a"]})
    assert values["ndcg@10"] == {"q": 1.0, "r": 0.0}


def test_cut_offs_hold() -> None:
    ranking = [f"x{i}" for i in range(10)] + ["a"]
    values = per_query({"q": {"a": 1}}, {"q": ranking})
    assert values["ndcg@10"]["q"] == values["mrr@10"]["q"] == 0.0
    assert values["recall@100"]["q"] == 1.0


@settings(max_examples=50)
@given(st.lists(_IDS, unique=True), st.dictionaries(_IDS, st.integers(1, 3), min_size=1))
def test_values_lie_between_0_and_1_and_the_ideal_order_reaches_1(
    ranking: list[str], judged: dict[str, int]
) -> None:
    ideal = sorted(judged, key=lambda item: -judged[item])
    values = per_query({"q": judged, "r": judged}, {"q": ranking, "r": ideal})
    for scores in values.values():
        assert 0.0 <= scores["q"] <= 1.0 + 1e-9
        assert scores["r"] == pytest.approx(1.0)
