"""The pipelines behind model names: answers from documents, agents, and the LLM itself."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ragkit.core.errors import ReplyTooLong
from ragkit.core.protocols import LLM
from ragkit.core.types import Message, Pattern, Usage
from ragkit.llm.messages import estimated_tokens
from ragkit.sdk import AsyncRAG
from ragkit.sdk.chat import build_chat
from ragkit.server.agent_pipeline import AgentPipeline
from ragkit.server.bodies import asked
from ragkit.server.errors import ApiError
from ragkit.server.replies import Outcome, Piece, PipelineRequest, ReplyPipeline, refuse

if TYPE_CHECKING:
    from ragkit.answering.chat import Chat, ChatAnswer


@dataclass(frozen=True, slots=True, kw_only=True)
class RagPipeline:
    """Answers from the documents of one index, with the conversation's history."""

    rag: AsyncRAG

    async def stream(self, turn: PipelineRequest) -> AsyncGenerator[Piece]:
        """See `ReplyPipeline.stream`.

        Raises:
            ApiError: An option cannot be honoured where a language model writes the answer.
            InputError: The question or the filter cannot be used.
        """
        question, history = asked(turn.messages)
        chat = await self._chat(turn)
        try:
            async with aclosing(chat.stream(question, history)) as deltas:
                async for delta in deltas:
                    if delta.text:
                        yield Piece(text=delta.text)
                    if delta.reply is not None:
                        yield Piece(outcome=_outcome(delta.reply, turn.messages))
        except ReplyTooLong as error:
            if (most := turn.options.get("max_tokens")) is None:
                raise
            found = str(error).partition(" Fix:")[0]
            raise ApiError(
                400,
                f"{turn.limit_name} is {most!r}. {found} Fix: raise it, or leave it out.",
                code="invalid_value",
                param=turn.limit_name,
            ) from error

    async def _chat(self, turn: PipelineRequest) -> "Chat":
        given, options = turn.extension, turn.options
        chat = await build_chat(
            self.rag, {"k": given.k, "where": given.where, "tenant": turn.tenant}
        )
        if not options:
            return chat
        from ragkit.answering.generative import GenerativeAnswerer  # imports the grammar compiler

        if not isinstance(chat.answerer, GenerativeAnswerer):
            return chat  # no language model writes the answer
        refuse({"stop": list(options.get("stop", ()))}, model="an answer with quotes")
        return replace(chat, answerer=chat.answerer.with_options(options))


@dataclass(frozen=True, slots=True, kw_only=True)
class LlmPipeline:
    """The language model itself, without documents."""

    llm: LLM

    async def stream(self, turn: PipelineRequest) -> AsyncGenerator[Piece]:
        """See `ReplyPipeline.stream`.

        Raises:
            ApiError: An option is set that is about documents.
        """
        given = turn.extension
        documents = {"where": given.where, "k": given.k, "hits": given.hits}
        refuse(
            {f"ragkit.{name}": value for name, value in documents.items()},
            model="a model without documents",
        )
        async with aclosing(self.llm.stream(turn.messages, **turn.options)) as deltas:
            async for delta in deltas:
                if delta.text:
                    yield Piece(text=delta.text)
                if delta.reply is not None:
                    reply = delta.reply
                    yield Piece(
                        outcome=Outcome(
                            text=reply.text, usage=reply.usage, finish_reason=reply.finish_reason
                        )
                    )


def pipelines_of(rags: Mapping[str, AsyncRAG]) -> dict[str, ReplyPipeline]:
    """Return every pipeline by its model name.

    Args:
        rags: Indexes by collection; `""` is the default one, `rag`, others are `rag-<name>`.
    """
    found: dict[str, ReplyPipeline] = {
        f"rag-{name}" if name else "rag": RagPipeline(rag=rag) for name, rag in rags.items()
    }
    rag = rags[""]
    if rag.llm is not None:
        patterns: tuple[Pattern, ...] = ("react", "rewoo", "plan")
        for pattern in patterns:
            found[f"agent-{pattern}"] = AgentPipeline(rag=rag, llm=rag.llm, pattern=pattern)
        found["llm"] = LlmPipeline(llm=rag.llm)
    return found


def pipeline_of(pipelines: Mapping[str, ReplyPipeline], name: str) -> ReplyPipeline:
    """Return the pipeline of a model's name.

    Raises:
        ApiError: No pipeline has this name (404).
    """
    if name not in pipelines:
        raise ApiError(
            404,
            f"The model {name!r} does not exist. Available: {', '.join(pipelines)}.",
            code="model_not_found",
            param="model",
        )
    return pipelines[name]


def _outcome(reply: "ChatAnswer", messages: Sequence[Message]) -> Outcome:
    answer = reply.answer
    return Outcome(
        text=answer.text,
        usage=_counted(reply.usage, messages, answer.text),
        citations=answer.citations,
        hits=answer.hits,
        extension={
            "query": reply.query,
            "condensed": reply.condensed,
            "abstained": answer.abstained,
            "confidence": answer.confidence,
        },
    )


def _counted(usage: Usage, messages: Sequence[Message], text: str) -> Usage:
    """The usage of model calls, or an estimate where no model was called."""
    if usage.prompt or usage.completion:
        return usage
    said = [Message(role="assistant", content=text)]
    return Usage(prompt=estimated_tokens(messages), completion=estimated_tokens(said))
