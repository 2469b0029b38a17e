"""Questions with a history: condensed to a question that stands alone, searched for, answered."""

import functools
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Annotated, TypeAlias

from pydantic import BaseModel, Field

from ragkit.core.errors import InputError
from ragkit.core.operation import Operation
from ragkit.core.protocols import LLM, Answerer, StreamingAnswerer
from ragkit.core.types import Answer, Hit, Message, Usage
from ragkit.grammar.grammar import Grammar, json_grammar
from ragkit.llm.messages import estimated_tokens
from ragkit.llm.prompts import prompt_file
from ragkit.llm.wrappers.cost import total_usage

Search: TypeAlias = Callable[[str], Awaitable[Sequence[Hit]]]
"""Returns the hits for a question, best first."""

HISTORY_TOKENS = 1500
"""Estimated tokens of earlier turns that are shown to the model that condenses a question."""

_QUERY_LENGTH = 400

_log = logging.getLogger(__name__)


class StandaloneQuestion(BaseModel):
    """A question that can be understood without its conversation."""

    question: Annotated[str, Field(min_length=1, max_length=_QUERY_LENGTH)]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatAnswer:
    """An answer in a conversation.

    Attributes:
        query: The question that was searched for and answered.
        condensed: Whether a model rewrote the question with the history.
        answer: The answer to `query`.
        usage: Tokens of condensing and answering together.
    """

    query: str
    condensed: bool
    answer: Answer
    usage: Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatDelta:
    """A piece of an answer's text; the last one has no text and the whole `reply`."""

    text: str
    reply: ChatAnswer | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Chat:
    """Answers questions that refer to earlier turns.

    With a model, a question that has a history is rewritten under a grammar to one that stands
    alone. Without a model it is searched for as it is; `ChatAnswer.condensed` says so.

    Attributes:
        search: Returns the hits for a question.
        answerer: Answers from them.
        llm: Rewrites questions; None to search for them as they are.
        history_tokens: Estimated tokens of the history that the model is shown, newest first.
    """

    search: Search
    answerer: Answerer
    llm: LLM | None = None
    history_tokens: int = HISTORY_TOKENS

    async def ask(self, question: str, history: Sequence[Message] = ()) -> ChatAnswer:
        """Answer a question after these turns, the oldest first.

        Raises:
            InputError: The question is empty.
            ProviderError: The model failed.
        """
        async with aclosing(self.stream(question, history)) as deltas:
            async for delta in deltas:
                if delta.reply is not None:
                    return delta.reply
        raise AssertionError("a stream of an answer ends with the whole answer")

    def stream(self, question: str, history: Sequence[Message] = ()) -> AsyncGenerator[ChatDelta]:
        """Answer as `ask` does, with the text as it is written and the whole last."""
        operation = Operation(kind="answer", content={"question": lambda: question})
        return operation.watched(self._answered(question, history))

    async def _answered(
        self, question: str, history: Sequence[Message]
    ) -> AsyncGenerator[ChatDelta]:
        if not question.strip():
            raise InputError("The question is empty. Fix: ask a question of at least one word.")
        query, spent = await self._standalone(question, history)
        condensed = spent is not None
        hits = await self.search(query)
        if not isinstance(self.answerer, StreamingAnswerer):
            answer = await self.answerer.answer(query, hits)
            if answer.text:
                yield ChatDelta(text=answer.text)
            yield ChatDelta(text="", reply=_reply(query, condensed, answer, spent))
            return
        said = ""
        async with aclosing(self.answerer.stream(query, hits)) as deltas:
            async for delta in deltas:
                if delta.text:
                    said += delta.text
                    yield ChatDelta(text=delta.text)
                if delta.answer is not None:
                    if not said and delta.answer.text:
                        yield ChatDelta(text=delta.answer.text)
                    yield ChatDelta(text="", reply=_reply(query, condensed, delta.answer, spent))

    async def _standalone(
        self, question: str, history: Sequence[Message]
    ) -> tuple[str, Usage | None]:
        """The question to search for, and what rewriting it took; None where it was not."""
        if self.llm is None or not history:
            return question, None
        messages = [
            Message(role="system", content=prompt_file("ragkit.answering", "condense")),
            Message(role="user", content=_shown(trimmed(history, self.history_tokens), question)),
        ]
        reply = await self.llm.complete(messages, grammar=condensing_grammar(), temperature=0.0)
        found = condensing_grammar().parse(reply.text).question.strip()
        _log.debug("condensed %r to %r", question, found)
        return found or question, reply.usage


@functools.cache
def condensing_grammar() -> Grammar[StandaloneQuestion]:
    """The grammar of `{"question": ...}`."""
    return json_grammar(StandaloneQuestion)


def trimmed(history: Sequence[Message], tokens: int) -> tuple[Message, ...]:
    """The newest turns of a history that have at most this many estimated tokens together."""
    kept: list[Message] = []
    for message in reversed(history):
        if estimated_tokens([message, *kept]) > tokens:
            break
        kept.insert(0, message)
    return tuple(kept)


def _shown(history: Sequence[Message], question: str) -> str:
    turns = "\n".join(f"{message.role}: {message.content}" for message in history)
    return f"<conversation>\n{turns}\n</conversation>\n\nLast question: {question}"


def _reply(query: str, condensed: bool, answer: Answer, spent: Usage | None) -> ChatAnswer:
    usage = total_usage([answer.usage, spent or Usage()])
    return ChatAnswer(query=query, condensed=condensed, answer=answer, usage=usage)
