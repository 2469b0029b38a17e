from collections.abc import Iterator
from typing import Any

import pytest

from ragkit import RAG, ConfigError, InputError, Settings
from ragkit.core.settings import AnswerSettings, RetrievalSettings
from ragkit.sdk.options import ANSWER, RETRIEVAL, AskOptions, overridden, search_options
from ragkit.testing.embedder import HashEmbedder

TEXTS = {
    "volga": "The longest river of Europe is the Volga.",
    "danube": "The Danube is a river that flows through ten countries.",
    "alps": "The highest mountain of the Alps is Mont Blanc.",
}


@pytest.fixture(name="rag", scope="module")
def _rag() -> Iterator[RAG]:
    settings = Settings(answer=AnswerSettings(mode="extractive"))
    with RAG(settings, index=":memory:", embedder=HashEmbedder(dimensions=64)) as rag:
        rag.ingest(TEXTS.items())
        yield rag


def test_legs_fusion_and_weights_are_chosen_for_one_call(rag: RAG) -> None:
    words = rag.search("river", legs=["bm25"])
    assert {stage for hit in words for stage in hit.trace} == {"bm25"}
    assert {hit.chunk.uri for hit in words} == {"volga", "danube"}
    ranks = rag.search("river", fusion="rrf", dense_weight=0.0, bm25_weight=1.0)
    assert ranks[0].score == pytest.approx(1 / 61)
    assert rag.search("river")[0].score != ranks[0].score
    near = rag.search("river", fusion="rrf", rrf_k=1, dense_weight=0.0, k=1, depth=1, explain=True)
    assert near[0].score == pytest.approx(1 / 2)
    assert near.explanation is not None
    assert {name: len(found) for name, found in near.explanation.stages.items()} == {
        "dense": 1,
        "bm25": 1,
        "fusion": 1,
    }


@pytest.mark.parametrize("weight", [-1.0, 1e40, float("inf"), float("nan")])
def test_a_weight_is_a_number_that_scores_can_be_multiplied_by(rag: RAG, weight: float) -> None:
    with pytest.raises(InputError, match="dense_weight is"):
        rag.search("river", dense_weight=weight)
    assert rag.search("river", dense_weight=1e6, bm25_weight=1e6, mmr_lambda=0.5)


def test_one_leg_may_be_named_without_a_list(rag: RAG) -> None:
    assert rag.search("river", legs="bm25") == rag.search("river", legs=["bm25"])


@pytest.mark.parametrize("k", [0, -1, 1.5, True, "3"])
def test_a_number_of_hits_is_a_whole_number(rag: RAG, k: Any) -> None:
    with pytest.raises(InputError, match=r"asked for k = .* hits\. Fix: give 1 or more"):
        rag.search("river", k=k)


@pytest.mark.parametrize("query", [None, 5, b"river"])
def test_a_query_is_a_text(rag: RAG, query: Any) -> None:
    for call in (rag.search, rag.ask):
        with pytest.raises(InputError, match=r"The query is .*\. Fix: give a text"):
            call(query)


def test_an_option_holds_for_one_call_only(rag: RAG) -> None:
    before = rag.settings
    rag.search("river", k=1, fusion="rrf", neighbours=1)
    assert rag.settings == before


def test_a_threshold_decides_one_answer(rag: RAG) -> None:
    question = "What is the longest river of Europe?"
    assert rag.ask(question, threshold=1.0).abstained
    assert not rag.ask(question, threshold=0.0).abstained
    assert len(rag.ask(question, threshold=0.0, max_quotes=1).citations) == 1


def test_a_mode_without_its_part_is_refused(rag: RAG) -> None:
    with pytest.raises(ConfigError, match=r"set llm\.model"):
        rag.ask("river", mode="generative")
    with pytest.raises(ConfigError, match=r"rerank=True needs a reranker.*Fix: set reranker"):
        rag.search("river", rerank=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kk": 3}, r"ask has no option 'kk'\. Fix: use one of .*k, legs"),
        ({"fusion": "magic"}, r"fusion is 'magic'\. Fix: "),
        ({"threshold": 2}, r"threshold is 2\. Fix: "),
        ({"mode": "magic"}, r"mode is 'magic'\. Fix: "),
        ({"k": 0}, "k = 0"),
        ({"k": -1}, "k = -1"),
        ({"tenant": ""}, "tenant '' is no name"),
        ({"legs": ["magic"]}, "legs"),
        ({"where": "year ="}, "Fix: |Write it like"),
    ],
)
def test_a_bad_option_is_refused_by_name(rag: RAG, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        rag.ask("river", **options)


def test_a_search_has_no_options_of_answers(rag: RAG) -> None:
    options: dict[str, Any] = {"threshold": 0.5}
    with pytest.raises(InputError, match="search has no option 'threshold'"):
        rag.search("river", **options)


def test_where_may_be_a_dict_of_fields_and_values(rag: RAG) -> None:
    assert {hit.chunk.uri for hit in rag.search("river", where={"uri": "danube"})} == {"danube"}


def test_every_option_of_settings_is_a_setting_and_an_option() -> None:
    assert set(RETRIEVAL) <= set(RetrievalSettings.model_fields)
    assert set(ANSWER) <= set(AnswerSettings.model_fields)
    assert {*RETRIEVAL, *ANSWER} <= AskOptions.__optional_keys__


def test_without_options_the_settings_stay_the_same_object() -> None:
    settings = Settings()
    assert overridden(settings, {}).retrieval is settings.retrieval
    assert overridden(settings, {"k": 3}).retrieval is settings.retrieval


def test_only_options_that_are_given_reach_a_retriever() -> None:
    assert search_options({}, tenant="a") == {"tenant": "a"}
    found = search_options({"k": 3, "tenant": "b", "rerank": False}, tenant="a")
    assert found == {"k": 3, "tenant": "b"}
