from pathlib import Path

import pytest
from pydantic import TypeAdapter

from ragkit import Settings
from ragkit.core.settings import IndexSettings, RerankerSettings, RetrievalSettings
from ragkit.evaluation.checkpoint import Finished, setup_digest
from ragkit.llm.wrappers.cache import FileReplies

_INT = TypeAdapter(int)


async def _said(finished: Finished, value: int, *parts: str) -> int:
    """What comes of these parts, being `value` if it is made now."""

    async def make() -> int:
        return value

    return await finished.once(_INT, make, *parts)


async def test_results_are_kept_by_identity_stage_and_query(tmp_path: Path) -> None:
    store = FileReplies(tmp_path / "finished.sqlite")
    one, other = Finished(store, identity="a"), Finished(store, identity="b")
    assert await _said(one, 1, "bm25", "zebra") == 1
    assert await _said(Finished(store, identity="a"), 2, "bm25", "zebra") == 1
    assert await _said(other, 2, "bm25", "zebra") == 2
    assert await _said(one, 3, "dense", "zebra") == 3
    assert await _said(one, 4, "bm25zebra") == 4
    store.close()


async def test_a_fresh_run_replaces_what_was_kept() -> None:
    store: dict[str, str] = {}
    await _said(Finished(store, identity="a"), 1, "q")
    assert await _said(Finished(store, identity="a", fresh=True), 2, "q") == 2
    assert await _said(Finished(store, identity="a"), 3, "q") == 2


def test_the_setup_is_what_decides_results_and_nothing_else() -> None:
    same = Settings(index=IndexSettings(location="elsewhere"), tenant="other")
    assert setup_digest(Settings()) == setup_digest(same)
    other = Settings(retrieval=RetrievalSettings(bm25_weight=3.0))
    assert setup_digest(Settings()) != setup_digest(other)


@pytest.mark.parametrize("setting", ["cross-encoder:{}", "{}/weights"])
def test_a_changed_local_model_is_another_setup(tmp_path: Path, setting: str) -> None:
    settings = Settings(reranker=RerankerSettings(model=setting.format(tmp_path)))
    (tmp_path / "weights").write_text("1")
    before = setup_digest(settings)
    assert before == setup_digest(settings)
    (tmp_path / "weights").write_text("22")
    assert before != setup_digest(settings)
