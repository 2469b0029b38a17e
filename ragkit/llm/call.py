"""A call of a model as a value, and the base classes of models and of wrappers around models."""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Self, Unpack

from ragkit.core.errors import ProviderError
from ragkit.core.protocols import LLM, CallOptions, ReplyGrammar
from ragkit.core.types import Conversation, Delta, Reply


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


class StreamedLLM(ABC):
    """An LLM that implements `respond`; `complete` reads it to its end."""

    @abstractmethod
    def respond(self, call: Call) -> AsyncGenerator[Delta]:
        """Yield the text of the first reply in pieces, then the whole reply."""

    async def reply(self, call: Call) -> Reply:
        """Return the whole reply.

        Raises:
            ProviderError: `respond` ended without a reply.
        """
        reply = None
        async with aclosing(self.respond(call)) as deltas:
            async for delta in deltas:
                reply = delta.reply or reply
        if reply is None:
            raise ProviderError("The stream ended without a reply.", provider=type(self).__name__)
        return reply

    def stream(
        self,
        messages: Conversation,
        *,
        grammar: ReplyGrammar[object] | None = None,
        **options: Unpack[CallOptions],
    ) -> AsyncGenerator[Delta]:
        """See `LLM.stream`."""
        return self.respond(Call(messages=messages, grammar=grammar, options=options))

    async def complete(
        self,
        messages: Conversation,
        *,
        grammar: ReplyGrammar[object] | None = None,
        **options: Unpack[CallOptions],
    ) -> Reply:
        """See `LLM.complete`."""
        return await self.reply(Call(messages=messages, grammar=grammar, options=options))

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

    def __init__(self, llm: LLM) -> None:
        """Wrap."""
        self.inner = llm

    @property
    def model(self) -> str:
        """The wrapped model's name."""
        return self.inner.model

    async def context_tokens(self) -> int:
        """The wrapped model's context."""
        return await self.inner.context_tokens()

    async def close(self) -> None:
        """Close the wrapped LLM."""
        await self.inner.close()
