"""Conversations with the documents: questions that refer to earlier ones."""

import asyncio
import functools
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ragkit.core.sync import iterate_sync, run_sync
from ragkit.core.types import Message
from ragkit.sdk.options import RetrievalOptions

if TYPE_CHECKING:
    from ragkit.answering.chat import Chat, ChatAnswer, ChatDelta
    from ragkit.answering.conversations import ConversationStore, Owner
    from ragkit.sdk.rag import AsyncRAG


async def build_chat(rag: "AsyncRAG", options: RetrievalOptions) -> "Chat":
    """Return the `Chat` over the documents of a RAG; models are loaded beside the event loop."""
    from ragkit.answering.chat import Chat  # imports the grammars

    answerer, llm = await asyncio.to_thread(lambda: (rag.answerer, rag.llm))
    search = functools.partial(rag.search, **options)
    return Chat(search=search, answerer=answerer, llm=llm)


@dataclass(slots=True, kw_only=True)
class AsyncConversation:
    """A conversation that `AsyncRAG.chat` began or went on with. One question at a time.

    Attributes:
        rag: The documents.
        owner: Whose conversation it is.
        options: The options of every search.
        store: Where it is kept, None for nowhere.
        id: Its id in the store; empty before the first answer.
        history: The turns, oldest first.
    """

    rag: "AsyncRAG"
    owner: "Owner"
    options: RetrievalOptions
    store: "ConversationStore | None" = None
    id: str = ""
    history: list[Message] = field(default_factory=list[Message])

    async def ask(self, question: str) -> "ChatAnswer":
        """Answer a question, with the turns before it in view, and keep both.

        Raises:
            InputError: The question is empty, or the conversation was deleted meanwhile.
            ProviderError: The language model failed; nothing is kept then.
        """
        async with aclosing(self.ask_stream(question)) as deltas:
            async for delta in deltas:
                if delta.reply is not None:
                    return delta.reply
        raise AssertionError("a stream of an answer ends with the whole answer")

    async def ask_stream(self, question: str) -> AsyncGenerator["ChatDelta"]:
        """Answer as `ask` does; yield the text while it is written, the whole answer last."""
        chat = await build_chat(self.rag, self.options)
        async with aclosing(chat.stream(question, self.history)) as deltas:
            async for delta in deltas:
                if delta.reply is not None:
                    await asyncio.to_thread(self._keep, question, delta.reply.answer.text)
                yield delta

    def _keep(self, question: str, answer: str) -> None:
        from ragkit.answering.conversations import ConversationTurn

        turns = [
            ConversationTurn(author="user", text=question),
            ConversationTurn(author="assistant", text=answer),
        ]
        if self.store is not None:
            self.id = self.id or self.store.create(self.owner)
            self.store.append(self.owner, self.id, turns)
        self.history.extend(turn.message for turn in turns)


class Conversation:
    """`AsyncConversation` without `await`."""

    def __init__(self, asynchronous: AsyncConversation) -> None:
        """Wrap."""
        self.asynchronous = asynchronous

    @property
    def id(self) -> str:
        """Its id in the store; empty before the first answer, and where there is no store."""
        return self.asynchronous.id

    @property
    def history(self) -> list[Message]:
        """The turns, oldest first."""
        return self.asynchronous.history

    def ask(self, question: str) -> "ChatAnswer":
        """See `AsyncConversation.ask`."""
        return run_sync(functools.partial(self.asynchronous.ask, question))

    def ask_stream(self, question: str) -> Iterator["ChatDelta"]:
        """See `AsyncConversation.ask_stream`."""
        return iterate_sync(functools.partial(self.asynchronous.ask_stream, question))
