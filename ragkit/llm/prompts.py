"""Prompts that a server can cache, and ways to get more out of one: reasoning first, majorities."""

import asyncio
import dataclasses
import functools
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Coroutine, Hashable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Generic, TypeVar, Unpack

from pydantic import BaseModel, Field, create_model

from ragkit.core.errors import InputError
from ragkit.core.protocols import LLM, CallOptions, ReplyGrammar
from ragkit.core.types import Conversation, Delta, Message, Reply
from ragkit.llm.calls import Wrapper
from ragkit.llm.wrappers.cost import total_usage

T = TypeVar("T")


@functools.cache
def prompt_file(package: str, name: str) -> str:
    """The text of `prompts/<name>.md` beside a package's modules."""
    return (files(package) / "prompts" / f"{name}.md").read_text(encoding="utf-8").strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """A prompt whose stable part comes first, so that calls share it in the prefix cache.

    Attributes:
        system: The task: the same for every call.
        examples: Pairs of what a user says and what the model should reply: the same too.
        context: Such as retrieved passages: the same for calls about the same things.
    """

    system: str = ""
    examples: tuple[tuple[str, str], ...] = ()
    context: str = ""

    def messages(self, question: str) -> tuple[Message, ...]:
        """The conversation that asks a question."""
        system = [Message(role="system", content=self.system)] if self.system else []
        shots: list[Message] = []
        for said, replied in self.examples:
            shots.append(Message(role="user", content=said))
            shots.append(Message(role="assistant", content=replied))
        asked = f"{self.context}\n\n{question}" if self.context else question
        return (*system, *shots, Message(role="user", content=asked))

    def explain(self, question: str) -> str:
        """The exact text that is sent, message by message, with a line before each."""
        return explain(self.messages(question))


def explain(messages: Sequence[Message]) -> str:
    """The exact text of messages; the chat template of the model is put around each of them.

    `LocalLLM.render` gives the text with the template.
    """
    return "\n".join(f"[{message.role}]\n{message.content}" for message in messages)


def with_reasoning(answer: type[T], *, length: int = 600) -> "type[Reasoned[T]]":
    """A model of `reasoning`, then `answer`, decoded in that order: the one informs the other.

    Source: chain-of-thought prompting, arXiv:2201.11903; schema-guided reasoning.

    Args:
        answer: Type of the answer.
        length: Characters of reasoning at most.
    """
    return create_model(
        f"Reasoned{getattr(answer, '__name__', 'Answer')}",
        __base__=Reasoned,
        reasoning=(str, Field(max_length=length, description="Step by step, before the answer.")),
        answer=(answer, ...),
    )


class Reasoned(BaseModel, Generic[T]):
    """Reasoning, then an answer."""

    reasoning: str
    answer: T


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote(Generic[T]):
    """The value that most replies gave.

    Attributes:
        value: Of one of the replies that agree.
        share: Of the replies that agree, 0 to 1.
        reply: One that agrees, with the usage of all.
        replies: All of them.
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
    """Ask several times with different seeds and take the majority (arXiv:2203.11171).

    Args:
        llm: What is asked.
        messages: The question.
        grammar: Of the replies.
        samples: Number of replies.
        key: What of a value has to agree, such as its `answer`; the whole value if None.
        **options: Of each call. `seed` is the first one's; `temperature` is 0.7 if not given.

    Raises:
        InputError: `samples` is less than 1.
    """
    if samples < 1:
        raise InputError(f"samples is at least 1, got {samples!r}.")
    first = options.get("seed") or 0
    options.setdefault("temperature", 0.7)

    def ask(place: int) -> Coroutine[Any, Any, Reply]:
        own = options.copy()
        own["seed"] = first + place
        return llm.complete(messages, grammar=grammar, **own)

    replies = await asyncio.gather(*(ask(place) for place in range(samples)))
    values = [grammar.parse(reply.text) for reply in replies]
    keys = [_key(value) if key is None else key(value) for value in values]
    winner, count = Counter(keys).most_common(1)[0]
    place = keys.index(winner)
    usage = total_usage([reply.usage for reply in replies])
    return Vote(
        value=values[place],
        share=count / samples,
        reply=dataclasses.replace(replies[place], usage=usage),
        replies=tuple(replies),
    )


def _key(value: Any) -> Hashable:
    """A value as something that can be counted: its whole content."""
    return value.model_dump_json() if isinstance(value, BaseModel) else repr(value)


class SelfConsistent(Wrapper):
    """Gives the majority's reply to every call under a grammar; other calls pass through."""

    def __init__(self, llm: LLM, *, samples: int = 5) -> None:
        """Wrap; each call under a grammar becomes `samples` calls."""
        super().__init__(llm)
        self._samples = samples

    async def stream(
        self,
        messages: Conversation,
        *,
        grammar: ReplyGrammar[object] | None = None,
        **options: Unpack[CallOptions],
    ) -> AsyncGenerator[Delta]:
        """See `LLM.stream`; under a grammar the text comes in one piece."""
        if grammar is None:
            async with aclosing(self.inner.stream(messages, **options)) as deltas:
                async for delta in deltas:
                    yield delta
            return
        vote = await self_consistency(
            self.inner, messages, grammar, samples=self._samples, **options
        )
        yield Delta(text=vote.reply.text)
        yield Delta(text="", reply=vote.reply)
