from pathlib import Path

import pytest

from ragkit import Settings
from ragkit.core.protocols import LegQuery, Legs
from ragkit.core.settings import IndexSettings
from ragkit.evaluation.datasets import load_beir
from ragkit.evaluation.retrieval_run import evaluate_dataset
from ragkit.index.edge import EdgeIndex


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


async def test_a_killed_run_goes_on_and_gives_what_an_unbroken_one_gives(
    searched: list[str], beir_set: Path
) -> None:
    dataset = load_beir(beir_set)
    with pytest.raises(KeyboardInterrupt):
        await evaluate_dataset(SETTINGS, dataset, ["bm25"])
    resumed = await evaluate_dataset(SETTINGS, dataset, ["bm25"])
    assert searched == ["striped zebra", "galloping horse", "galloping horse"]
    whole = await evaluate_dataset(SETTINGS, dataset, ["bm25"], fresh=True)
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


async def test_a_changed_document_is_searched_anew(searched: list[str], beir_set: Path) -> None:
    searched.extend(["", ""])  # no interruption
    await evaluate_dataset(SETTINGS, load_beir(beir_set), ["bm25"])
    with (beir_set / "corpus.jsonl").open("a") as file:
        file.write('{"_id": "d9", "text": "Striped zebra, striped zebra."}\n')
    await evaluate_dataset(SETTINGS, load_beir(beir_set), ["bm25"])
    assert len(searched) == 6


async def test_a_document_that_is_gone_is_found_no_more(beir_set: Path) -> None:
    corpus = beir_set / "corpus.jsonl"
    lines = corpus.read_text(encoding="utf-8").splitlines()
    before = await evaluate_dataset(SETTINGS, load_beir(beir_set), ["bm25"])
    corpus.write_text("\n".join(lines[:-1]) + "\n", encoding="utf-8")
    after = await evaluate_dataset(SETTINGS, load_beir(beir_set), ["bm25"])
    assert (before.documents, after.documents) == (len(lines), len(lines) - 1)
    assert after.chunks < before.chunks
