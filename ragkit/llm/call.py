"""A call of a model as a value, and the base classes of models and of wrappers around models."""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Coroutine, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self, Unpack

from ragkit.core.errors import ProviderError
from ragkit.core.operation import is_observed
from ragkit.core.protocols import LLM, CallOptions
from ragkit.core.reply_grammar import ReplyGrammar
from ragkit.core.types import Conversation, Delta, Guarantee, Json, Reply
from ragkit.llm.observation import observed


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """The arguments of one `LLM.complete` or `LLM.stream`."""

    messages: Conversation
    grammar: ReplyGrammar[object] | None
    options: CallOptions

    async def stream(self, llm: LLM) -> AsyncGenerator[Delta]:
        """Make the call and pass its deltas on; closing this closes the model's stream."""
        deltas = llm.stream(self.messages, grammar=self.grammar, **self.options)
        async with aclosing(deltas):
            async for delta in deltas:
                yield delta

    async def complete(self, llm: LLM) -> Reply:
        """Make the call and return its reply."""
        return await llm.complete(self.messages, grammar=self.grammar, **self.options)

    def deadline(self) -> "Deadline":
        """Start the clock of the call's `timeout_s`."""
        return Deadline(self.options.get("timeout_s"))

    def within(self, deadline: "Deadline") -> "Call":
        """Return the call with the time that is left of a deadline.

        Raises:
            ProviderError: No time is left (`failure` is `"timeout"`).
        """
        if deadline.seconds is None:
            return self
        options = self.options.copy()
        options["timeout_s"] = deadline.left()
        return replace(self, options=options)


class Deadline:
    """The time limit of a call, its waits and repetitions included."""

    def __init__(self, seconds: float | None) -> None:
        """Start the clock; None is no limit."""
        self.seconds = seconds
        self._started = time.monotonic()

    def left(self) -> float:
        """Return the seconds that are left, infinity without a limit.

        Raises:
            ProviderError: No time is left (`failure` is `"timeout"`).
        """
        if self.seconds is None:
            return float("inf")
        left = self._started + self.seconds - time.monotonic()
        if left <= 0:
            raise ProviderError(
                f"The call took longer than {self.seconds:.3g} s. Fix: raise timeout_s.",
                provider="deadline",
                retryable=True,
                failure="timeout",
            )
        return left


class StreamedLLM(ABC):
    """An LLM that implements `respond`; `complete` reads it to its end.

    Attributes:
        provider: The kind of the model's server, as settings and errors name it.
        composite: True if it passes calls on to other LLMs, whose calls are what observers see.
    """

    provider: ClassVar[str] = "ragkit"
    composite: ClassVar[bool] = False

    @abstractmethod
    def respond(self, call: Call) -> AsyncGenerator[Delta]:
        """Yield the text of the first reply in pieces, then the whole reply."""

    async def reply(self, call: Call) -> Reply:
        """Return the whole reply.

        Raises:
            ProviderError: `respond` ended without a reply.
        """
        return await self._last(self.respond(call))

    def stream(
        self,
        messages: Conversation,
        *,
        grammar: ReplyGrammar[object] | None = None,
        **options: Unpack[CallOptions],
    ) -> AsyncGenerator[Delta]:
        """See `LLM.stream`."""
        call = Call(messages=messages, grammar=grammar, options=options)
        return self.respond(call) if self._unobserved() else self._observed(call)

    async def complete(
        self,
        messages: Conversation,
        *,
        grammar: ReplyGrammar[object] | None = None,
        **options: Unpack[CallOptions],
    ) -> Reply:
        """See `LLM.complete`."""
        call = Call(messages=messages, grammar=grammar, options=options)
        if self._unobserved():
            return await self.reply(call)
        return await self._last(self._observed(call))

    def _unobserved(self) -> bool:
        return self.composite or not is_observed()

    def _observed(self, call: Call) -> AsyncGenerator[Delta]:
        return observed(
            self.respond(call),
            model=self.model,
            provider=self.provider,
            messages=call.messages,
            grammar=call.grammar,
            options=call.options,
        )

    async def _last(self, deltas: AsyncGenerator[Delta]) -> Reply:
        reply = None
        async with aclosing(deltas):
            async for delta in deltas:
                reply = delta.reply or reply
        if reply is None:
            raise ProviderError("The stream ended without a reply.", provider=type(self).__name__)
        return reply

    async def model_name(self) -> str:
        """Return the model's name; a server is asked for it where none was chosen."""
        return self.model

    def fixed_fields(self) -> Mapping[str, Json]:
        """Return what decides a reply besides the model's name and the call, such as a template."""
        return {}

    @property
    @abstractmethod
    def model(self) -> str:
        """See `LLM.model`."""

    @property
    def guarantee(self) -> Guarantee:
        """See `LLM.guarantee`; it decodes under the grammar unless it says otherwise."""
        return "grammar"

    async def close(self) -> None:  # noqa: B027  # most have nothing to release
        """See `LLM.close`."""

    async def __aenter__(self) -> Self:
        """The LLM itself; leaving the block closes it."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close."""
        await self.close()


class LLMWrapper(StreamedLLM):
    """An LLM around another one, with its model, context and connections."""

    composite = True

    def __init__(self, llm: LLM) -> None:
        """Wrap."""
        self.inner = llm

    @property
    def model(self) -> str:
        """The wrapped model's name."""
        return self.inner.model

    @property
    def guarantee(self) -> Guarantee:
        """The wrapped model's guarantee."""
        return self.inner.guarantee

    async def model_name(self) -> str:
        """Return the wrapped model's name."""
        return await model_name(self.inner)

    def fixed_fields(self) -> Mapping[str, Json]:
        """Return the wrapped model's fields."""
        return fixed_fields(self.inner)

    async def context_tokens(self) -> int:
        """Return the wrapped model's context."""
        return await self.inner.context_tokens()

    async def close(self) -> None:
        """Close the wrapped LLM."""
        await self.inner.close()


async def model_name(llm: LLM) -> str:
    """Return the name of a model; see `StreamedLLM.model_name`."""
    return await llm.model_name() if isinstance(llm, StreamedLLM) else llm.model


async def all_or_none(calls: Sequence[Coroutine[Any, Any, Reply]]) -> list[Reply]:
    """Return all replies; after the first error the other calls are cancelled."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(call) for call in calls]
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]


def weakest(llms: Iterable[LLM]) -> Guarantee:
    """Return the guarantee that holds whichever of the models replies."""
    return "grammar" if all(llm.guarantee == "grammar" for llm in llms) else "schema"


def fixed_fields(llm: LLM) -> Mapping[str, Json]:
    """Return what decides an LLM's replies besides the call; see `StreamedLLM.fixed_fields`."""
    return llm.fixed_fields() if isinstance(llm, StreamedLLM) else {}
