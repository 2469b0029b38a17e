"""`AgentPipeline`: an agent over the documents behind a model name."""

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ragkit.core.errors import ProviderError
from ragkit.core.filter_parser import as_filter
from ragkit.core.filters import check_filter
from ragkit.core.protocols import LLM
from ragkit.core.types import Delta, Pattern
from ragkit.llm.call import Call, LLMWrapper
from ragkit.sdk import AsyncRAG
from ragkit.server.bodies import asked
from ragkit.server.errors import ApiError
from ragkit.server.replies import Outcome, Piece, PipelineRequest, refuse

if TYPE_CHECKING:
    from ragkit.agents import AgentResult
    from ragkit.agents.agent import Agent

LEAST_TOKENS = 512
"""The least `max_tokens` of an agent: within them any pattern can call a tool, a byte a token."""
_PASSAGES = 5
_DRAFTING = frozenset[Pattern]({"react"})
"""Patterns whose model begins an answer that may be rejected, and written again, afterwards."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentPipeline:
    """An agent of one pattern that searches the documents."""

    rag: AsyncRAG
    llm: LLM
    pattern: Pattern

    async def stream(self, turn: PipelineRequest) -> AsyncGenerator[Piece]:
        """See `ReplyPipeline.stream`.

        Raises:
            ApiError: An option is set that an agent cannot honour.
            InputError: The filter cannot be used.
            ProviderError: The model failed, so that no whole answer was written.
        """
        from ragkit.agents import stream
        from ragkit.agents.events import AnswerText, Finished

        asked(turn.messages)  # refuses a conversation that does not end with a question
        _check_options(turn)
        model = _WatchedLLM(self.llm)
        agent = await self._agent(model, turn)
        messages = [{"role": one.role, "content": one.content} for one in turn.messages]
        shown = AnswerPieces()
        async with aclosing(stream(agent, messages)) as events:
            async for event in events:
                if isinstance(event, AnswerText) and self.pattern not in _DRAFTING:
                    if text := shown.more(event.text):
                        yield Piece(text=text)
                elif isinstance(event, Finished):
                    outcome = _outcome(event.result, model)
                    if rest := shown.rest(outcome.text):
                        yield Piece(text=rest)
                    yield Piece(outcome=outcome)

    async def _agent(self, model: LLM, turn: PipelineRequest) -> "Agent":
        from ragkit.agents import plan_and_execute, react, rewoo
        from ragkit.agents.tools import calculator, search_documents

        patterns: Mapping[Pattern, Callable[..., Agent]] = {
            "react": react,
            "rewoo": rewoo,
            "plan": plan_and_execute,
        }
        given = turn.extension
        where = as_filter(given.where)
        if where is not None:  # in a tool, an error would only be shown to the model
            check_filter(where, (await self.rag.index()).fields)
        k = given.k or _PASSAGES
        search = search_documents(self.rag, k=k, where=where, tenant=turn.tenant)
        return patterns[self.pattern](model, [search, calculator()], decoding=turn.options)


@dataclass(slots=True, kw_only=True)
class AnswerPieces:
    """The pieces of an answer that are sent while it is written, without the space around it.

    Attributes:
        sent: The text so far.
        space: The space behind it, which waits for more text.
    """

    sent: str = ""
    space: str = ""

    def more(self, text: str) -> str:
        """Return the text to send now that the next piece is there."""
        text = self.space + text if self.sent else text.lstrip()
        found = text.rstrip()
        self.space = text[len(found) :]
        self.sent += found
        return found

    def rest(self, answer: str) -> str:
        """Return what is still to be sent of the whole answer.

        Raises:
            ApiError: Something else was sent (502), which cannot be taken back.
        """
        if not answer.startswith(self.sent):
            raise ApiError(
                502,
                f"The answer is another than the text sent before, {self.sent[-80:]!r}. "
                "Fix: send the request again.",
                code="provider_broken_stream",
            )
        return answer[len(self.sent) :]


class _WatchedLLM(LLMWrapper):
    """Keeps what the result of a run leaves out: the error of the model, and the end of its text.

    Attributes:
        error: The error of the latest call, if it failed.
        ended: False where the latest free text, the answer of a run, ends early.
    """

    def __init__(self, llm: LLM) -> None:
        super().__init__(llm)
        self.error: ProviderError | None = None
        self.ended = True

    async def respond(self, call: Call) -> AsyncGenerator[Delta]:
        """Make the call."""
        self.ended = call.grammar is not None
        try:
            async with aclosing(call.stream(self.inner)) as deltas:
                async for delta in deltas:
                    if delta.reply is not None:
                        self.error = None
                        self.ended = delta.reply.finish_reason != "length"
                    yield delta
        except ProviderError as error:
            self.error = error
            raise


def _check_options(turn: PipelineRequest) -> None:
    options = turn.options
    given: Mapping[str, object] = {
        "stop": list(options.get("stop", ())),
        "ragkit.hits": turn.extension.hits,
    }
    refuse(given, model="an agent")
    most = options.get("max_tokens")
    if most is not None and most < LEAST_TOKENS:
        raise ApiError(
            400,
            f"{turn.limit_name} is {most!r}, in which an agent cannot call a tool. Fix: pass at "
            f"least {LEAST_TOKENS}, or leave it out.",
            code="invalid_value",
            param=turn.limit_name,
        )


def _outcome(result: "AgentResult", model: _WatchedLLM) -> Outcome:
    """Return the reply of a run.

    Raises:
        ProviderError: The model failed, so that no whole answer was written.
    """
    finished = result.stopped_by == "finished"
    if not finished and model.error is not None:
        raise model.error
    if result.stopped_by == "model":
        raise ProviderError("The model gave no reply.", provider=model.model)
    return Outcome(
        text=result.answer,
        usage=result.usage,
        finish_reason="stop" if finished or model.ended else "length",
        citations=result.citations,
        extension={"stopped_by": result.stopped_by, "steps": len(result.steps)},
    )
