import asyncio
from contextlib import aclosing
from pathlib import Path

import pytest

from ragkit.core.errors import ConfigError
from ragkit.grammar import regex_grammar
from ragkit.llm import LocalLLM


async def test_a_local_model_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"No such folder.*Fix: pass the folder"):
        await LocalLLM(str(tmp_path / "none")).complete("x")


async def test_calls_during_closing_are_answered(random_model: Path) -> None:
    llm = LocalLLM(random_model, timeout_s=60)
    try:
        for number in range(4):
            running = asyncio.create_task(llm.complete("x", max_tokens=60, seed=number))
            async with aclosing(llm.stream("y", max_tokens=60, seed=1)) as deltas:
                await anext(deltas)
                closing = asyncio.create_task(llm.close())
                late = [asyncio.create_task(llm.complete(f"{n}", max_tokens=8)) for n in range(4)]
                rest = [delta async for delta in deltas]
            replies = await asyncio.gather(running, *late)
            await closing
            assert rest[-1].reply is not None
            assert all(reply.usage.completion for reply in replies)
    finally:
        await llm.close()


async def test_pieces_are_the_reply_whatever_the_tokens_are(local_llm: LocalLLM) -> None:
    grammar = regex_grammar("[a-z🐺日本é ]{80,120}")
    async with aclosing(local_llm.stream("x", grammar=grammar, seed=5, temperature=1.0)) as deltas:
        found = [delta async for delta in deltas]
    reply = found[-1].reply
    assert reply is not None
    assert "".join(delta.text for delta in found) == reply.text
    assert grammar.parse(reply.text) == reply.text
