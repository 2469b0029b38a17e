"""The pipelines behind model names: answers from documents, agents, and the LLM itself."""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from ragkit.core.protocols import LLM, CallOptions
from ragkit.core.types import Citation, Hit, Message, Pattern, Usage
from ragkit.llm.messages import estimated_tokens
from ragkit.sdk import AsyncRAG
from ragkit.sdk.chat import build_chat
from ragkit.server.bodies import Extension, asked
from ragkit.server.errors import ApiError

if TYPE_CHECKING:
    from ragkit.agents.agent import Agent


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineRequest:
    """A request to a pipeline.

    Attributes:
        messages: The conversation, the question last.
        tenant: Whose documents may be read.
        options: For the language model that writes the reply, where there is one.
        extension: ragkit's own fields of the request.
    """

    messages: list[Message]
    tenant: str
    options: CallOptions
    extension: Extension


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The whole reply.

    Attributes:
        text: Its text.
        finish_reason: `stop` or `length`.
        usage: Tokens of all model calls, estimated where no model took part.
        citations: The passages that it rests on.
        hits: The passages that it was given, best first.
        extension: The JSON object under `ragkit` in the response.
    """

    text: str
    usage: Usage
    finish_reason: str = "stop"
    citations: tuple[Citation, ...] = ()
    hits: tuple[Hit, ...] = ()
    extension: Mapping[str, Any] = field(default_factory=dict[str, Any])  # JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A piece of a reply; the last one has no text and the outcome."""

    text: str = ""
    outcome: Outcome | None = None


class ReplyPipeline(Protocol):
    """A pipeline that replies to a conversation."""

    def stream(self, turn: PipelineRequest) -> AsyncGenerator[Piece]:
        """Reply to a conversation: the text as it is written, then the outcome."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RagPipeline:
    """Answers from the documents of one index, with the conversation's history."""

    rag: AsyncRAG

    async def stream(self, turn: PipelineRequest) -> AsyncGenerator[Piece]:
        """See `ReplyPipeline.stream`."""
        question, history = asked(turn.messages)
        given = turn.extension
        chat = await build_chat(
            self.rag, {"k": given.k, "where": given.where, "tenant": turn.tenant}
        )
        async with aclosing(chat.stream(question, history)) as deltas:
            async for delta in deltas:
                if delta.text:
                    yield Piece(text=delta.text)
                if delta.reply is not None:
                    answer = delta.reply.answer
                    yield Piece(
                        outcome=Outcome(
                            text=answer.text,
                            usage=_counted(delta.reply.usage, turn.messages, answer.text),
                            citations=answer.citations,
                            hits=answer.hits,
                            extension={
                                "query": delta.reply.query,
                                "condensed": delta.reply.condensed,
                                "abstained": answer.abstained,
                                "confidence": answer.confidence,
                            },
                        )
                    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LlmPipeline:
    """The language model itself, without documents."""

    llm: LLM

    async def stream(self, turn: PipelineRequest) -> AsyncGenerator[Piece]:
        """See `ReplyPipeline.stream`."""
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


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentPipeline:
    """An agent of one pattern that searches the documents."""

    rag: AsyncRAG
    llm: LLM
    pattern: Pattern

    async def stream(self, turn: PipelineRequest) -> AsyncGenerator[Piece]:
        """See `ReplyPipeline.stream`."""
        from ragkit.agents import plan_and_execute, react, rewoo, stream
        from ragkit.agents.events import AnswerText, Finished
        from ragkit.agents.tools import calculator, search_documents

        patterns: Mapping[Pattern, Callable[..., Agent]] = {
            "react": react,
            "rewoo": rewoo,
            "plan": plan_and_execute,
        }
        asked(turn.messages)  # refuses a conversation that does not end with a question
        messages = [{"role": one.role, "content": one.content} for one in turn.messages]
        tools = [search_documents(self.rag, tenant=turn.tenant), calculator()]
        agent = patterns[self.pattern](self.llm, tools)
        said = False
        async with aclosing(stream(agent, messages)) as events:
            async for event in events:
                if isinstance(event, AnswerText):
                    said = True
                    yield Piece(text=event.text)
                elif isinstance(event, Finished):
                    result = event.result
                    if not said and result.answer:
                        yield Piece(text=result.answer)
                    yield Piece(
                        outcome=Outcome(
                            text=result.answer,
                            usage=result.usage,
                            citations=tuple(result.citations),
                            extension={
                                "stopped_by": result.stopped_by,
                                "steps": len(result.steps),
                            },
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


def _counted(usage: Usage, messages: Sequence[Message], text: str) -> Usage:
    """The usage of model calls, or an estimate where no model was called."""
    if usage.prompt or usage.completion:
        return usage
    said = [Message(role="assistant", content=text)]
    return Usage(prompt=estimated_tokens(messages), completion=estimated_tokens(said))
