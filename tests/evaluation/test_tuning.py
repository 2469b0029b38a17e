"""Fusion fitted on one half of the queries and checked on the other."""

import random
import tomllib
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from types import SimpleNamespace

import pytest

from ragkit import InputError, Settings
from ragkit.core.protocols import LegQuery, Legs
from ragkit.core.settings import RetrievalSettings
from ragkit.core.types import Chunk
from ragkit.evaluation import tuning
from ragkit.evaluation.datasets import RetrievalDataset
from ragkit.evaluation.tuning import AskedQuery, FusionChoice, Tuning, choices, fitted, tune
from ragkit.testing.embedder import HashEmbedder

PRESENT = FusionChoice(fusion="scores", dense_weight=1.0, bm25_weight=2.0, rrf_k=60, depth=100)
DOCUMENTS = [f"d{number}" for number in range(60)]


def dataset(qrels: Mapping[str, Mapping[str, int]]) -> RetrievalDataset:
    return RetrievalDataset(
        name="made", documents=(), queries=dict.fromkeys(qrels, "?"), qrels=qrels
    )


def ranked(first: list[str], draw: random.Random) -> list[tuple[str, float]]:
    """A leg that finds these first, then others in random order."""
    rest = [uri for uri in DOCUMENTS if uri not in first]
    draw.shuffle(rest)
    return [(uri, 1.0 - rank / 100) for rank, uri in enumerate([*first, *rest])]


def made(queries: int, *, dense: bool, bm25: bool, seed: int = 0) -> Tuning:
    """Fit a set in which the legs find what is relevant, or know nothing."""
    draw = random.Random(seed)
    qrels: dict[str, dict[str, int]] = {}
    asked: dict[str, AskedQuery] = {}
    for number in range(queries):
        relevant = draw.choice(DOCUMENTS)
        qrels[f"q{number}"] = {relevant: 1}
        asked[f"q{number}"] = AskedQuery(
            dense=ranked([relevant] if dense else [], draw),
            bm25=ranked([relevant] if bm25 else [], draw),
            uris={uri: uri for uri in DOCUMENTS},
        )
    return fitted(asked, dataset(qrels), PRESENT, "a-model", seed=0)


def test_the_leg_that_finds_more_gets_more_weight_and_this_is_seen_held_out() -> None:
    found = made(200, dense=True, bm25=False)
    assert (found.fitted, found.held_out) == (100, 100)
    assert found.tuned.bm25_weight < 1
    assert found.fitted_tuned > found.fitted_current
    assert found.recommended
    assert found.comparison.b > found.comparison.a
    assert "better on the held-out queries. B is better: +" in found.verdict
    assert found.settings == found.tuned


@pytest.mark.parametrize("seed", range(5))
def test_a_fit_to_chance_is_not_recommended(seed: int) -> None:
    found = made(60, dense=False, bm25=False, seed=seed)
    assert found.fitted_tuned > found.fitted_current  # of 257 choices one is lucky
    assert not found.recommended
    assert found.verdict.startswith("Keep the present settings")
    assert found.settings == PRESENT


def test_the_present_settings_win_a_tie() -> None:
    found = made(40, dense=True, bm25=True)
    assert found.tuned == PRESENT
    assert found.comparison.difference.value == 0


def test_every_choice_can_be_set_as_the_lines_say() -> None:
    for choice in choices():
        section = tomllib.loads(choice.toml)["retrieval"]
        settings = RetrievalSettings.model_validate(section)
        assert FusionChoice.of(settings, embedder="any") == choice
        assert ("rrf_k" in section) == (choice.fusion == "rrf")


def test_the_present_choice_is_the_one_in_force() -> None:
    present = FusionChoice.of(RetrievalSettings(), embedder="all-minilm-l6-v2")
    assert present == PRESENT
    assert FusionChoice.of(RetrievalSettings(), embedder="another").bm25_weight == 1


async def test_too_few_queries_are_refused_with_a_way_out() -> None:
    few = dataset({f"q{n}": {"d1": 1} for n in range(19)})
    with pytest.raises(
        InputError, match=r"19 judged queries, and a fit needs 20. Fix: .*eval make"
    ):
        await tune(Settings(), few)


async def test_the_legs_are_asked_as_deep_as_the_present_settings_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else a present depth of more than those that are tried would not be what is compared."""
    depths = set[int]()

    class Noting:
        async def search(self, query: LegQuery) -> Legs:
            depths.add(query.depth)
            return Legs(dense=(), bm25=(), chunks={})

        async def fetch(self, ids: Sequence[str]) -> list[Chunk]:
            return []

    @asynccontextmanager
    async def indexed(*_: object) -> AsyncGenerator[SimpleNamespace]:
        retriever = SimpleNamespace(index=Noting())
        yield SimpleNamespace(embedder=HashEmbedder(), retriever=retriever)

    monkeypatch.setattr(tuning, "indexed_dataset", indexed)
    many = dataset({f"q{n}": {"d1": 1} for n in range(20)})
    many = replace(many, queries=dict.fromkeys(many.qrels, "wolf"))
    found = await tune(Settings(retrieval=RetrievalSettings(depth=500)), many)
    assert found.current.depth == 500
    assert depths == {500}
