import asyncio
from collections.abc import AsyncGenerator

import pytest
from pydantic import BaseModel

from ragkit.core.errors import InputError, ProviderError
from ragkit.core.types import Delta
from ragkit.grammar import choice_grammar
from ragkit.llm import (
    Call,
    SelfConsistent,
    self_consistency,
)
from ragkit.llm.wrappers.self_consistency import Majority, majority
from ragkit.testing import ScriptedCall, ScriptedLLM


class City(BaseModel):
    name: str


async def test_the_majority_of_several_seeds_wins() -> None:
    says = {0: "b", 1: "a", 2: "b", 3: "a", 4: "b"}

    def reply(call: ScriptedCall) -> str:
        return says[call.options.get("seed") or 0]

    llm = ScriptedLLM(reply)
    grammar = choice_grammar(["a", "b"])
    vote = await self_consistency(llm, "x", grammar, samples=5)
    assert (vote.value, vote.share, len(vote.replies)) == ("b", 0.6, 5)
    assert vote.reply.usage.prompt == 5
    assert (await SelfConsistent(llm, samples=5).complete("x", grammar=grammar)).text == "b"
    with pytest.raises(InputError, match="samples"):
        await self_consistency(llm, "x", grammar, samples=0)


def test_a_majority_is_the_most_frequent_value_and_the_first_of_equals() -> None:
    assert majority(["b", "a", "a", "b"]) == Majority(value="b", position=0, count=2)
    found = majority(["c", "A ", "a"], key=lambda text: text.strip().lower())
    assert found == Majority(value="A ", position=1, count=2)
    with pytest.raises(InputError, match="at least one"):
        majority([])


def test_models_agree_by_their_whole_content() -> None:
    values = [City(name="Rome"), City(name="Oslo"), City(name="Oslo")]
    assert majority(values).count == 2
    assert majority(values, key=type).count == 3


async def test_other_calls_pass_through() -> None:
    assert (await SelfConsistent(ScriptedLLM(["free text"])).complete("x")).text == "free text"


class OneFails(ScriptedLLM):
    """The sample with the first seed fails; the others would take for ever."""

    def __init__(self) -> None:
        super().__init__(lambda _: "a")
        self.cancelled = 0

    async def respond(self, call: Call) -> AsyncGenerator[Delta]:
        if call.options.get("seed") == 0:
            raise ProviderError("no", provider="test")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        yield Delta(text="")


async def test_the_siblings_of_a_failed_sample_are_cancelled() -> None:
    llm = OneFails()
    with pytest.raises(ProviderError, match="no"):
        await self_consistency(llm, "x", choice_grammar(["a", "b"]), samples=4)
    assert llm.cancelled == 3
