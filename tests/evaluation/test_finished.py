from pathlib import Path

import pytest

from ragkit import Settings
from ragkit.core.settings import IndexSettings, RerankerSettings, RetrievalSettings
from ragkit.evaluation.finished import Finished, setup_digest
from ragkit.llm.cache import FileReplies


def test_results_are_kept_by_identity_stage_and_query(tmp_path: Path) -> None:
    store = FileReplies(tmp_path / "finished.sqlite")
    Finished(store, identity="a").keep("bm25", "zebra", value=b"1")
    assert Finished(store, identity="a").get("bm25", "zebra") == "1"
    assert Finished(store, identity="b").get("bm25", "zebra") is None
    assert Finished(store, identity="a").get("dense", "zebra") is None
    assert Finished(store, identity="a").get("bm25zebra") is None
    store.close()


def test_a_fresh_run_replaces_what_was_kept() -> None:
    store: dict[str, str] = {}
    Finished(store, identity="a").keep("q", value=b"1")
    fresh = Finished(store, identity="a", fresh=True)
    assert fresh.get("q") is None
    fresh.keep("q", value=b"2")
    assert Finished(store, identity="a").get("q") == "2"


def test_the_setup_is_what_decides_results_and_nothing_else() -> None:
    same = Settings(index=IndexSettings(location="elsewhere"), tenant="other")
    assert setup_digest(Settings()) == setup_digest(same)
    other = Settings(retrieval=RetrievalSettings(bm25_weight=2.0))
    assert setup_digest(Settings()) != setup_digest(other)


@pytest.mark.parametrize("setting", ["cross-encoder:{}", "{}/weights"])
def test_a_changed_local_model_is_another_setup(tmp_path: Path, setting: str) -> None:
    settings = Settings(reranker=RerankerSettings(model=setting.format(tmp_path)))
    (tmp_path / "weights").write_text("1")
    before = setup_digest(settings)
    assert before == setup_digest(settings)
    (tmp_path / "weights").write_text("22")
    assert before != setup_digest(settings)
