import asyncio
from pathlib import Path

import pytest

from ragkit.core.types import Message, Usage
from ragkit.llm import (
    Cache,
)
from ragkit.llm.wrappers.cache import FileReplies
from ragkit.testing import ScriptedLLM


@pytest.mark.parametrize("file", [False, True])
async def test_equal_determined_calls_are_made_once(*, file: bool, tmp_path: Path) -> None:
    inner = ScriptedLLM(lambda call: f"reply {len(inner.calls)}")
    llm = Cache(inner, FileReplies(tmp_path / "replies.db") if file else None)
    first = await llm.complete("x", temperature=0)
    again = await llm.complete([Message(role="user", content="x")], temperature=0, timeout_s=3)
    assert (again.text, again.usage) == (first.text, Usage(prompt=1, cached=1))
    assert (await llm.complete("x", temperature=0, max_tokens=7)).text != first.text
    assert (await llm.complete("x")).text == "reply 3"
    assert (await llm.complete("x")).text == "reply 4"
    assert llm.hits == 1


async def test_equal_calls_that_overlap_are_made_once_even_if_the_first_is_cancelled() -> None:
    inner = ScriptedLLM(lambda _: "reply", delay_s=0.05)
    llm = Cache(inner)
    tasks = [asyncio.create_task(llm.complete("x", seed=1)) for _ in range(3)]
    await asyncio.sleep(0.01)
    tasks[0].cancel()
    first, *others = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(first, asyncio.CancelledError)
    assert [getattr(other, "text", other) for other in others] == ["reply", "reply"]
    assert len(inner.calls) == 2


async def test_a_file_of_replies_outlives_its_process(tmp_path: Path) -> None:
    store = FileReplies(tmp_path / "replies.db")
    await Cache(ScriptedLLM(["kept"]), store).complete("x", seed=1)
    store.close()
    again = FileReplies(tmp_path / "replies.db")
    assert (await Cache(ScriptedLLM([]), again).complete("x", seed=1)).text == "kept"
    assert len(again) == 1
    del again[next(iter(again))]
    assert "x" not in again
    again.close()
