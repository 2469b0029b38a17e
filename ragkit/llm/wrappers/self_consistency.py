"""Self-consistency: the answer that most of several sampled replies agree on.

Source: Wang et al. 2023, https://arxiv.org/abs/2203.11171.
"""

import dataclasses
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Coroutine, Hashable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, Unpack

from pydantic import BaseModel

from ragkit.core.errors import InputError
from ragkit.core.protocols import LLM, CallOptions
from ragkit.core.reply_grammar import ReplyGrammar
from ragkit.core.types import Conversation, Delta, Json, Reply
from ragkit.llm.call import Call, LLMWrapper, all_or_none
from ragkit.llm.wrappers.cost import total_usage

T = TypeVar("T")

_TEMPERATURE = 0.7


@dataclass(frozen=True, slots=True, kw_only=True)
class Majority(Generic[T]):
    """The value that most of several values agree on.

    Attributes:
        value: The first of the values that agree.
        position: Its position among all values.
        count: Number of values that agree.
    """

    value: T
    position: int
    count: int


def majority(values: Sequence[T], *, key: Callable[[T], Hashable] | None = None) -> Majority[T]:
    """Return the most frequent value; of several as frequent ones, the one that comes first.

    Args:
        values: The votes.
        key: Returns the part of a value that has to agree; the whole content if None.

    Raises:
        InputError: `values` is empty.
    """
    if not values:
        raise InputError("A majority needs at least one value, got none.")
    keys = [_content(value) if key is None else key(value) for value in values]
    winner, count = Counter(keys).most_common(1)[0]
    position = keys.index(winner)
    return Majority(value=values[position], position=position, count=count)


def _content(value: Any) -> Hashable:
    return value.model_dump_json() if isinstance(value, BaseModel) else repr(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote(Generic[T]):
    """The value that most replies gave.

    Attributes:
        value: The value of the first reply that agrees.
        share: Share of the replies that agree, 0 to 1.
        reply: The first reply that agrees, with the usage of all replies.
        replies: All replies.
    """

    value: T
    share: float
    reply: Reply
    replies: tuple[Reply, ...]


async def self_consistency(
    llm: LLM,
    messages: Conversation,
    grammar: ReplyGrammar[T],
    *,
    samples: int = 5,
    key: Callable[[T], Hashable] | None = None,
    **options: Unpack[CallOptions],
) -> Vote[T]:
    """Ask several times with different seeds and return the majority.

    Args:
        llm: The model.
        messages: The question.
        grammar: The grammar of the replies.
        samples: Number of replies.
        key: Returns the part of a value that has to agree, such as its `answer`; the whole value
            if None.
        **options: The options of each call. `seed` is the first one's; `temperature` is 0.7 if not
            given.

    Raises:
        InputError: `samples` is less than 1.
    """
    if samples < 1:
        raise InputError(f"samples must be at least 1, got {samples!r}.")
    first = options.get("seed") or 0
    options.setdefault("temperature", _TEMPERATURE)

    def sample(place: int) -> Coroutine[Any, Any, Reply]:
        own = options.copy()
        own["seed"] = first + place
        return llm.complete(messages, grammar=grammar, **own)

    replies = await all_or_none([sample(place) for place in range(samples)])
    found = majority([grammar.parse(reply.text) for reply in replies], key=key)
    usage = total_usage([reply.usage for reply in replies])
    return Vote(
        value=found.value,
        share=found.count / samples,
        reply=dataclasses.replace(replies[found.position], usage=usage),
        replies=tuple(replies),
    )


class SelfConsistent(LLMWrapper):
    """Replies with the majority to every call under a grammar; other calls pass through."""

    def __init__(self, llm: LLM, *, samples: int = 5) -> None:
        """Wrap; each call under a grammar becomes `samples` calls."""
        super().__init__(llm)
        self._samples = samples

    def fixed_fields(self) -> Mapping[str, Json]:
        """Return the number of samples beside the wrapped model's fields."""
        return {**super().fixed_fields(), "samples": self._samples}

    async def respond(self, call: Call) -> AsyncGenerator[Delta]:
        """Make the call; under a grammar the text comes in one piece."""
        if call.grammar is None:
            async with aclosing(call.stream(self.inner)) as deltas:
                async for delta in deltas:
                    yield delta
            return
        vote = await self_consistency(
            self.inner, call.messages, call.grammar, samples=self._samples, **call.options
        )
        yield Delta(text=vote.reply.text)
        yield Delta(text="", reply=vote.reply)
