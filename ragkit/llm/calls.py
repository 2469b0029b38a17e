"""What back ends and wrappers share: `complete` is `stream` read to its end."""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Self, Unpack

from ragkit.core.errors import ProviderError
from ragkit.core.protocols import LLM, CallOptions, ReplyGrammar
from ragkit.core.types import Conversation, Delta, Reply


class Streamed(ABC):
    """An LLM that has only `stream` to write."""

    @abstractmethod
    def stream(
        self,
        messages: Conversation,
        *,
        grammar: ReplyGrammar[object] | None = None,
        **options: Unpack[CallOptions],
    ) -> AsyncGenerator[Delta]:
        """See `LLM.stream`."""

    async def complete(
        self,
        messages: Conversation,
        *,
        grammar: ReplyGrammar[object] | None = None,
        **options: Unpack[CallOptions],
    ) -> Reply:
        """See `LLM.complete`."""
        reply = None
        async with aclosing(self.stream(messages, grammar=grammar, **options)) as deltas:
            async for delta in deltas:
                reply = delta.reply or reply
        if reply is None:
            raise ProviderError("The stream ended without a reply.", provider=type(self).__name__)
        return reply

    async def close(self) -> None:  # noqa: B027  # most have nothing to release
        """See `LLM.close`."""

    async def __aenter__(self) -> Self:
        """The LLM itself; leaving the block closes it."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close."""
        await self.close()


class Wrapper(Streamed):
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
