import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.core.settings import RetrievalSettings
from ragkit.models.packaged import MINILM
from ragkit.retrieval.fusion import (
    EVEN,
    FITTED,
    Fusion,
    LegWeights,
    reciprocal_rank_fusion,
    score_fusion,
)

_LEG = st.lists(st.text("abcdefgh", min_size=1, max_size=2), unique=True, max_size=12)


def test_scores_of_each_leg_are_scaled_and_averaged() -> None:
    legs = {"dense": [("a", 0.9), ("b", 0.6), ("c", 0.5)], "bm25": [("c", 12.0), ("b", 2.0)]}
    fused = dict(score_fusion(legs, weights={"dense": 1.0, "bm25": 3.0}))
    assert fused == pytest.approx({"a": 0.25, "b": 0.25 * 0.25 + 0.75 / 6, "c": 0.75})


def test_a_leg_of_one_or_of_equals_counts_in_full() -> None:
    assert score_fusion({"dense": [("a", 0.1)], "bm25": []}) == [("a", 0.5)]
    assert score_fusion({"bm25": [("a", 2.0), ("b", 2.0)]}) == [("a", 1.0), ("b", 1.0)]
    assert score_fusion({"dense": [], "bm25": []}) == []


@given(_LEG, _LEG)
def test_scores_between_0_and_1_for_every_id_once(dense: list[str], bm25: list[str]) -> None:
    legs = {
        name: [(item, 20.0 - rank) for rank, item in enumerate(leg)]
        for name, leg in (("dense", dense), ("bm25", bm25))
    }
    fused = score_fusion(legs)
    assert sorted(item for item, _ in fused) == sorted({*dense, *bm25})
    scores = [score for _, score in fused]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)


def test_the_formula() -> None:
    fused = dict(reciprocal_rank_fusion({"dense": ["a", "b"], "bm25": ["b", "c"]}, k=60))
    assert fused == {"a": 1 / 61, "b": 1 / 62 + 1 / 61, "c": 1 / 62}


def test_weights_scale_a_leg() -> None:
    legs = {"dense": ["a"], "bm25": ["b"]}
    weights = {"dense": 1.0, "bm25": 2.0}
    assert [item for item, _ in reciprocal_rank_fusion(legs, weights=weights)] == ["b", "a"]


@given(_LEG, _LEG)
def test_every_id_comes_out_once_and_best_first(dense: list[str], bm25: list[str]) -> None:
    fused = reciprocal_rank_fusion({"dense": dense, "bm25": bm25})
    assert sorted(item for item, _ in fused) == sorted({*dense, *bm25})
    scores = [score for _, score in fused]
    assert scores == sorted(scores, reverse=True)


@given(_LEG)
def test_one_leg_keeps_its_order(leg: list[str]) -> None:
    assert [item for item, _ in reciprocal_rank_fusion({"dense": leg})] == leg


@given(_LEG, _LEG)
def test_an_id_ahead_in_both_legs_stays_ahead(dense: list[str], bm25: list[str]) -> None:
    order = [item for item, _ in reciprocal_rank_fusion({"dense": dense, "bm25": bm25})]
    both = [item for item in dense if item in bm25]
    for first in both:
        for second in both:
            ahead = dense.index(first) < dense.index(second)
            if ahead and bm25.index(first) < bm25.index(second):
                assert order.index(first) < order.index(second)


# Weights


def test_the_packaged_model_has_the_weights_that_were_fitted_with_it() -> None:
    fusion = Fusion.of(RetrievalSettings(), embedder=MINILM.name)
    assert fusion == Fusion(kind="scores", weights=LegWeights(dense=1.0, bm25=2.0))
    assert {name for name, _ in FITTED} == {MINILM.name}


@pytest.mark.parametrize("embedder", ["another-model", "", "all-minilm-l6-v2-tuned"])
def test_any_other_model_starts_with_even_legs(embedder: str) -> None:
    assert Fusion.of(RetrievalSettings(), embedder=embedder).weights == EVEN


@pytest.mark.parametrize("embedder", [MINILM.name, "another-model"])
def test_reciprocal_ranks_do_not_inherit_the_weights_of_scores(embedder: str) -> None:
    fusion = Fusion.of(RetrievalSettings(fusion="rrf"), embedder=embedder)
    assert (fusion.weights, fusion.rrf_k) == (EVEN, 60)
    # The best of one leg stands behind the best of the other, and not behind its first 61.
    legs = {"dense": [("d0", 1.0)], "bm25": [(f"b{n}", 100.0 - n) for n in range(100)]}
    fused = [item for item, _ in fusion.fuse(legs)]
    assert fused.index("d0") <= 1


@pytest.mark.parametrize("query", ["守って得点", "كم نقطة؟", "ทีมรับ PDF", "Сколько очков?"])
def test_an_english_embedder_has_less_weight_for_other_scripts(query: str) -> None:
    settings = RetrievalSettings()
    assert Fusion.of(settings, embedder=MINILM.name, query=query).weights == LegWeights(
        dense=1.0, bm25=5.0
    )
    assert Fusion.of(settings, embedder="multilingual-e5-small", query=query).weights == EVEN
    given = RetrievalSettings(dense_weight=1.0, bm25_weight=1.0)
    assert Fusion.of(given, embedder=MINILM.name, query=query).weights == EVEN


@pytest.mark.parametrize(
    "query", ["How many points?", "¿Cuántos años?", "何 is kanji here", "308", ""]
)
def test_latin_letters_keep_the_fitted_weights(query: str) -> None:
    fusion = Fusion.of(RetrievalSettings(), embedder=MINILM.name, query=query)
    assert fusion.weights == FITTED[MINILM.name, "scores"]


def test_weights_that_are_set_count_each_for_itself() -> None:
    one = Fusion.of(RetrievalSettings(bm25_weight=3.0), embedder=MINILM.name)
    assert one.weights == LegWeights(dense=1.0, bm25=3.0)
    two = Fusion.of(RetrievalSettings(dense_weight=0.5), embedder=MINILM.name)
    assert two.weights == LegWeights(dense=0.5, bm25=2.0)
    three = Fusion.of(RetrievalSettings(fusion="rrf", rrf_k=5, bm25_weight=0), embedder="x")
    assert three == Fusion(kind="rrf", weights=LegWeights(dense=1.0, bm25=0.0), rrf_k=5)
