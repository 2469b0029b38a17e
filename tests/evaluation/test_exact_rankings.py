import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragkit import InputError
from ragkit.core.types import FloatArray
from ragkit.evaluation.exact_rankings import exact_rankings


def _random(rows: int, width: int, seed: int) -> FloatArray:
    return np.random.default_rng(seed).normal(size=(rows, width)).astype(np.float32)


def test_rankings_follow_the_cosine_and_not_the_length() -> None:
    vectors = np.array([[10, 10], [1, 0.1], [0, -5]], dtype=np.float32)
    query = np.array([[2, 0]], dtype=np.float32)
    assert exact_rankings(vectors, query, ["a", "b", "c"]) == [["b", "a", "c"]]


def test_a_prefix_alone_is_compared_where_dimensions_are_given() -> None:
    vectors = np.array([[1, 0, 9], [0.9, 0.1, 0]], dtype=np.float32)
    query = np.array([[1, 0, 0]], dtype=np.float32)
    assert exact_rankings(vectors, query, ["a", "b"])[0] == ["b", "a"]
    assert exact_rankings(vectors, query, ["a", "b"], dimensions=2)[0] == ["a", "b"]


def test_rescoring_orders_what_the_prefix_found_by_whole_vectors() -> None:
    vectors = np.array([[1, 0, 9], [0.9, 0.1, 0], [0, 1, 0]], dtype=np.float32)
    query = np.array([[1, 0, 0]], dtype=np.float32)
    ids = ["a", "b", "c"]
    assert exact_rankings(vectors, query, ids, dimensions=2, rescore=2) == [["b", "a"]]
    assert exact_rankings(vectors, query, ids, dimensions=2, rescore=1) == [["a"]]


def test_a_document_is_ranked_where_its_best_passage_is() -> None:
    vectors = np.array([[0, 1], [1, 1], [1, 0]], dtype=np.float32)
    query = np.array([[1, 0]], dtype=np.float32)
    assert exact_rankings(vectors, query, ["a", "b", "a"]) == [["a", "b"]]
    assert exact_rankings(vectors, query, ["a", "b", "a"], depth=1) == [["a"]]


@settings(max_examples=25)
@given(st.integers(1, 40), st.integers(0, 10_000))
def test_rescoring_everything_is_searching_whole_vectors(rows: int, seed: int) -> None:
    vectors, queries = _random(rows, 8, seed), _random(300, 8, seed + 1)
    ids = [str(number) for number in range(rows)]
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = queries @ units.T
    best = -np.sort(-cosines, axis=1)
    for options in ({}, {"dimensions": 8}, {"dimensions": 2, "rescore": rows}):
        for row, ranking in enumerate(exact_rankings(vectors, queries, ids, **options)):
            # By value: rounding may turn round two that are as good as equal.
            assert cosines[row, [int(item) for item in ranking]] == pytest.approx(
                best[row], abs=1e-5
            )


def test_shapes_that_do_not_fit_are_named() -> None:
    vectors = _random(3, 8, 0)
    with pytest.raises(InputError, match="3 vectors but 2 ids"):
        exact_rankings(vectors, vectors, ["a", "b"])
    with pytest.raises(InputError, match="8 dimensions and queries 4"):
        exact_rankings(vectors, vectors[:, :4], ["a", "b", "c"])
    with pytest.raises(InputError, match=r"dimensions is 9\. Fix: use 1 to 8"):
        exact_rankings(vectors, vectors, ["a", "b", "c"], dimensions=9)
