from pathlib import Path

import pytest

from ragkit import ConfigError, Settings
from ragkit.core.settings import RerankerSettings
from ragkit.evaluation.datasets import load_beir
from ragkit.evaluation.retrieval_run import default_stages, evaluate_dataset

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
    evaluation = await evaluate_dataset(Settings(), dataset, ["bm25"])
    low, high = bounds
    assert low <= evaluation.stages["bm25"].measures["ndcg@10"].value <= high


async def test_reranking_without_a_reranker_is_refused_with_the_setting(
    shared_data: Path,
) -> None:
    dataset = load_beir(shared_data / "beir" / "anthropic_docs").limited(1)
    with pytest.raises(ConfigError, match="RAGKIT_RERANKER__MODEL"):
        await evaluate_dataset(Settings(), dataset, ["bm25", "rerank"])
