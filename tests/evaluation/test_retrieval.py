from pathlib import Path

import pytest

from ragkit import ConfigError, Settings
from ragkit.core.protocols import LegQuery, Legs
from ragkit.core.settings import IndexSettings, RerankerSettings
from ragkit.evaluation.datasets import load_beir
from ragkit.evaluation.retrieval import default_stages, measure_retrieval
from ragkit.index.edge import EdgeIndex

SCIFACT_BM25 = (0.665, 0.695)
CRANFIELD_BM25 = (0.49, 0.53)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_rerank_stage_is_a_default_only_where_there_is_a_reranker() -> None:
    assert default_stages(Settings()) == ("bm25", "dense", "hybrid")
    reranked = Settings(reranker=RerankerSettings(model="cross-encoder:x"))
    assert default_stages(reranked) == ("bm25", "dense", "hybrid", "rerank")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "bounds"), [("scifact", SCIFACT_BM25), ("cranfield", CRANFIELD_BM25)]
)
async def test_bm25_is_as_good_as_published(
    shared_data: Path, name: str, bounds: tuple[float, float]
) -> None:
    dataset = load_beir(shared_data / "beir" / name)
    evaluation = await measure_retrieval(Settings(), dataset, ["bm25"])
    low, high = bounds
    assert low <= evaluation.stages["bm25"].measures["ndcg@10"].value <= high


async def test_reranking_without_a_reranker_is_refused_with_the_setting(
    shared_data: Path,
) -> None:
    dataset = load_beir(shared_data / "beir" / "anthropic_docs").limited(1)
    with pytest.raises(ConfigError, match="RAGKIT_RERANKER__MODEL"):
        await measure_retrieval(Settings(), dataset, ["bm25", "rerank"])


@pytest.fixture(name="searched")
def _searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hashing: None) -> list[str]:
    """The queries that reach the index."""
    monkeypatch.chdir(tmp_path)
    searched: list[str] = []
    search = EdgeIndex.search

    async def noted(index: EdgeIndex, query: LegQuery) -> Legs:
        searched.append(query.text or "")
        if len(searched) == 2:
            raise KeyboardInterrupt
        return await search(index, query)

    monkeypatch.setattr(EdgeIndex, "search", noted)
    return searched


SETTINGS = Settings(index=IndexSettings(search_dimensions=None))


async def test_a_killed_run_is_resumed_with_the_result_of_an_unbroken_one(
    searched: list[str], beir_set: Path
) -> None:
    dataset = load_beir(beir_set)
    with pytest.raises(KeyboardInterrupt):
        await measure_retrieval(SETTINGS, dataset, ["bm25"])
    resumed = await measure_retrieval(SETTINGS, dataset, ["bm25"])
    assert searched == ["striped zebra", "galloping horse", "galloping horse"]
    whole = await measure_retrieval(SETTINGS, dataset, ["bm25"], fresh=True)
    assert searched[3:] == ["striped zebra", "galloping horse"]
    assert resumed.stages["bm25"].per_query == whole.stages["bm25"].per_query
    assert (
        resumed.stages["bm25"].outputs
        == whole.stages["bm25"].outputs
        == {
            "q1": ["d1"],
            "q2": ["d2"],
        }
    )


async def test_a_changed_document_is_searched_again(searched: list[str], beir_set: Path) -> None:
    searched.extend(["", ""])  # no interruption
    await measure_retrieval(SETTINGS, load_beir(beir_set), ["bm25"])
    with (beir_set / "corpus.jsonl").open("a") as file:
        file.write('{"_id": "d9", "text": "Striped zebra, striped zebra."}\n')
    await measure_retrieval(SETTINGS, load_beir(beir_set), ["bm25"])
    assert len(searched) == 6


async def test_a_document_that_left_the_set_leaves_the_index(beir_set: Path) -> None:
    corpus = beir_set / "corpus.jsonl"
    lines = corpus.read_text(encoding="utf-8").splitlines()
    before = await measure_retrieval(SETTINGS, load_beir(beir_set), ["bm25"])
    corpus.write_text("\n".join(lines[:-1]) + "\n", encoding="utf-8")
    after = await measure_retrieval(SETTINGS, load_beir(beir_set), ["bm25"])
    assert (before.documents, after.documents) == (len(lines), len(lines) - 1)
    assert after.chunks < before.chunks
