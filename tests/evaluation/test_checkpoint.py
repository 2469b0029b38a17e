from pathlib import Path

from pydantic import TypeAdapter

from ragkit.evaluation.checkpoint import Checkpoint
from ragkit.llm.wrappers.cache import FileReplies

_INT = TypeAdapter(int)


async def _said(checkpoint: Checkpoint, value: int, *parts: str) -> int:
    """The result that is kept under these parts, `value` if it is made now."""

    async def make() -> int:
        return value

    return await checkpoint.once(_INT, make, *parts)


async def test_results_are_kept_by_identity_stage_and_query(tmp_path: Path) -> None:
    store = FileReplies(tmp_path / "kept.sqlite")
    one, other = Checkpoint(store, identity="a"), Checkpoint(store, identity="b")
    assert await _said(one, 1, "bm25", "zebra") == 1
    assert await _said(Checkpoint(store, identity="a"), 2, "bm25", "zebra") == 1
    assert await _said(other, 2, "bm25", "zebra") == 2
    assert await _said(one, 3, "dense", "zebra") == 3
    assert await _said(one, 4, "bm25zebra") == 4
    store.close()


async def test_a_fresh_run_replaces_what_was_kept() -> None:
    store: dict[str, str] = {}
    await _said(Checkpoint(store, identity="a"), 1, "q")
    assert await _said(Checkpoint(store, identity="a", fresh=True), 2, "q") == 2
    assert await _said(Checkpoint(store, identity="a"), 3, "q") == 2


async def test_a_checkpoint_in_memory_starts_empty() -> None:
    assert await _said(Checkpoint.in_memory(), 1, "q") == 1
    assert await _said(Checkpoint.in_memory(), 2, "q") == 2
