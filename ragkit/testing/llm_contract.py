"""The contract of `LLM`, as a test suite to subclass.

```python
class TestMyLLM(LLMContract):
    @pytest.fixture
    def llm(self) -> LLM:
        return MyLLM(...)
```
"""

# ruff: noqa: D102 - a test's name says the behaviour

import asyncio
from contextlib import aclosing
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import pytest
from pydantic import BaseModel, Field

from ragkit.core.errors import ContextExceeded, InputError
from ragkit.core.protocols import LLM
from ragkit.core.types import Message
from ragkit.grammar import (
    Grammar,
    ToolSpec,
    action_grammar,
    choice_grammar,
    json_grammar,
    plan_grammar,
    quote_grammar,
    regex_grammar,
)

QUESTION = (
    Message(role="system", content="You answer at random."),
    Message(role="user", content='Say "anything" — ünïcode 日本語 🐺 included.'),
)


class Lookup(BaseModel):
    """A branch of a decision."""

    kind: Literal["lookup"]
    query: str = Field(max_length=40)


class Escalate(BaseModel):
    """The other branch of a decision."""

    kind: Literal["escalate"]
    reason: str = Field(max_length=40)


class Decision(BaseModel):
    """A nested schema with most of JSON's types."""

    thought: str = Field(max_length=100)
    scores: list[Annotated[float, Field(ge=0, le=1)]] = Field(max_length=3)
    route: Annotated[Lookup | Escalate, Field(discriminator="kind")]
    flag: bool | None


@dataclass(frozen=True)
class Point:
    """A dataclass."""

    x: int
    label: Annotated[str, Field(pattern=r"^[A-Z]{2}-[0-9]{3}$")]


_ADD = ToolSpec(
    name="add",
    description="Adds.",
    parameters={
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
        "required": ["a", "b"],
        "additionalProperties": False,
    },
)
GRAMMARS: dict[str, Grammar[object]] = {
    "decision": json_grammar(Decision),
    "dataclass": json_grammar(Point),
    "open string": json_grammar({"type": "object", "properties": {"text": {"type": "string"}}}),
    "choice": choice_grammar(["yes", "no", "perhaps — Ω"]),
    "pattern": regex_grammar(r"[a-z]{3}-\d{2,4}"),
    "quotes": quote_grammar({"p1": "Water runs downhill. Wolves howl.", "p2": "It rained."}),
    "action": action_grammar([_ADD]),
    "plan": plan_grammar([_ADD], max_steps=3),
}


MOST = 320
"""Tokens of a reply: a model with random weights hardly ends one by itself."""


class LLMContract:
    """Tests of `LLM`, for any model, one with random weights included."""

    exact_seeds: ClassVar[bool] = True
    """True where the same seed gives the same reply whatever else is being decoded."""

    @pytest.mark.parametrize("name", GRAMMARS)
    async def test_a_reply_under_a_grammar_is_complete_and_parses(
        self, llm: LLM, name: str
    ) -> None:
        for seed in range(3):
            reply = await llm.complete(
                QUESTION, grammar=GRAMMARS[name], seed=seed, temperature=1.0, max_tokens=MOST
            )
            assert reply.finish_reason == "stop"
            GRAMMARS[name].parse(reply.text)

    async def test_a_reply_that_does_not_end_is_asked_for_again(self, llm: LLM) -> None:
        grammar, text, restarts, reply = GRAMMARS["open string"], "", 0, None
        asked: list[tuple[Message, ...]] = []

        async def again(messages: tuple[Message, ...]) -> tuple[Message, ...]:
            asked.append(messages)
            return messages

        stream = llm.stream(QUESTION, grammar=grammar, max_tokens=90, seed=1, on_restart=again)
        async with aclosing(stream) as deltas:
            async for delta in deltas:
                assert len(asked) >= restarts
                restarts += delta.restart is not None
                text = "" if delta.restart else text + delta.text
                reply = delta.reply
        assert reply is not None
        assert (reply.text, reply.finish_reason) == (text, "stop")
        assert restarts <= reply.calls - 1 <= 2
        assert reply.guarantee == llm.guarantee
        assert (reply.limits is None) == (llm.guarantee == "schema")
        grammar.parse(text)

    async def test_a_strict_call_is_fitted_to_max_tokens_and_never_cut(self, llm: LLM) -> None:
        grammar = GRAMMARS["open string"]
        reply = await llm.complete(QUESTION, grammar=grammar, max_tokens=60, seed=1, strict=True)
        assert reply.calls == 1
        assert reply.finish_reason == "stop"
        assert reply.usage.completion <= 60
        grammar.parse(reply.text)

    async def test_a_grammar_that_cannot_be_that_short_is_refused(self, llm: LLM) -> None:
        with pytest.raises(InputError, match="only 5 are left"):
            await llm.complete(QUESTION, grammar=GRAMMARS["decision"], max_tokens=5)

    async def test_free_text_is_cut_at_max_tokens(self, llm: LLM) -> None:
        replies = [await llm.complete(QUESTION, max_tokens=4, seed=seed) for seed in range(4)]
        cut = [reply for reply in replies if reply.finish_reason == "length"]
        assert cut
        assert all(reply.usage.completion == 4 for reply in cut)

    async def test_pieces_of_a_stream_make_the_reply(self, llm: LLM) -> None:
        for grammar in (None, GRAMMARS["decision"]):
            async with aclosing(
                llm.stream(QUESTION, grammar=grammar, max_tokens=300, seed=3)
            ) as deltas:
                found = [delta async for delta in deltas]
            assert all(delta.reply is None for delta in found[:-1])
            reply = found[-1].reply
            assert reply is not None
            begun = max((place for place, one in enumerate(found) if one.restart), default=0)
            assert "".join(delta.text for delta in found[begun:]) == reply.text
            assert found[-1].text == ""

    async def test_the_same_seed_gives_the_same_reply(self, llm: LLM) -> None:
        grammar = GRAMMARS["decision"]
        said = [
            (await llm.complete(QUESTION, grammar=grammar, seed=seed, temperature=1.0)).text
            for seed in (5, 5, 6)
        ]
        assert said[0] == said[1]
        assert said[0] != said[2]

    async def test_n_replies_are_the_first_and_its_alternatives(self, llm: LLM) -> None:
        grammar = GRAMMARS["decision"]
        reply = await llm.complete(QUESTION, grammar=grammar, n=3, temperature=1.0, seed=1)
        assert len(reply.alternatives) == 2
        for text in (reply.text, *(other.text for other in reply.alternatives)):
            grammar.parse(text)

    async def test_stop_texts_end_the_reply_and_are_not_part_of_it(self, llm: LLM) -> None:
        full = (await llm.complete(QUESTION, max_tokens=40, seed=9, temperature=0)).text
        stop = full[len(full) // 2]
        reply = await llm.complete(QUESTION, max_tokens=40, seed=9, temperature=0, stop=[stop])
        assert reply.text == full.partition(stop)[0]
        assert reply.finish_reason == "stop"

    async def test_usage_and_timings_are_reported(self, llm: LLM) -> None:
        reply = await llm.complete(QUESTION, grammar=GRAMMARS["action"], max_tokens=MOST)
        assert reply.usage.prompt > 0
        assert 0 < reply.usage.completion <= GRAMMARS["action"].max_tokens
        assert reply.timings.ttft_s is not None
        assert reply.timings.total_s >= reply.timings.ttft_s >= 0
        assert reply.model == llm.model != ""

    async def test_many_calls_at_once_are_each_right(self, llm: LLM) -> None:
        names = list(GRAMMARS) * 2
        replies = await asyncio.gather(
            *(
                llm.complete(QUESTION, grammar=GRAMMARS[name], seed=place, max_tokens=MOST)
                for place, name in enumerate(names)
            )
        )
        for name, reply in zip(names, replies, strict=True):
            GRAMMARS[name].parse(reply.text)

    async def test_a_prompt_beyond_the_context_is_refused(self, llm: LLM) -> None:
        long = "word " * await llm.context_tokens()
        with pytest.raises(ContextExceeded):
            await llm.complete(long, max_tokens=4)
        with pytest.raises(ContextExceeded):
            await llm.complete(long, grammar=GRAMMARS["choice"])

    async def test_a_call_can_be_cancelled_and_the_next_one_works(self, llm: LLM) -> None:
        task = asyncio.create_task(llm.complete(QUESTION, max_tokens=2000))
        await asyncio.sleep(0.05)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert (await llm.complete(QUESTION, grammar=GRAMMARS["choice"])).text

    @pytest.mark.parametrize(
        "options",
        [
            {"temperature": -1},
            {"n": 0},
            {"top_p": 2},
            {"stop": "x"},
            {"max_tokens": 0},
            {"oops": 1},
            {"strict": "yes"},
        ],
    )
    async def test_bad_options_are_named(self, llm: LLM, options: dict[str, object]) -> None:
        with pytest.raises(InputError, match=next(iter(options))):
            await llm.complete(QUESTION, **options)  # type: ignore[arg-type]

    async def test_stop_texts_are_refused_under_a_grammar(self, llm: LLM) -> None:
        with pytest.raises(InputError, match=r"stop is .* which would cut a reply"):
            await llm.complete(QUESTION, grammar=GRAMMARS["decision"], stop=["}"])

    async def test_bad_messages_are_named(self, llm: LLM) -> None:
        for messages in ([], [{"role": "user"}], [{"role": "boss", "content": "x"}], 7):
            with pytest.raises(InputError, match=r"[Mm]essage"):
                await llm.complete(messages)  # type: ignore[arg-type]

    async def test_closing_twice_is_safe(self, llm: LLM) -> None:
        await llm.complete(QUESTION, grammar=GRAMMARS["choice"])
        await llm.close()
        await llm.close()
