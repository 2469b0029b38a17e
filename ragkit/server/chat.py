"""`POST /v1/chat/completions` and `GET /v1/models`."""

import time
import uuid
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from typing import Any, Protocol

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from ragkit.core.protocols import CallOptions
from ragkit.core.types import Usage
from ragkit.llm.messages import estimated_tokens
from ragkit.server.bodies import ChatBody, Extension, Sampling
from ragkit.server.citations import annotations, extension_json, footnotes, source_event
from ragkit.server.errors import ApiError
from ragkit.server.keys import ApiKey
from ragkit.server.lifetime import while_connected
from ragkit.server.pipelines import pipeline_of
from ragkit.server.replies import Outcome, Piece, PipelineRequest
from ragkit.server.reply_clock import ReplyClock
from ragkit.server.sse import DONE, EventStream, event, guarded
from ragkit.server.state import Admission, Reader, ServerState, State, admitted

router = APIRouter(tags=["chat"])

REPLY_TOKENS = 512
"""Tokens reserved for a reply whose length the client does not bound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replying:
    """A request to a pipeline on its way to the client.

    Attributes:
        request: The HTTP request.
        state: The application's.
        key: Whose request it is.
        model: The name that was asked for.
        turn: What the pipeline is asked.
        limit: The most tokens of the reply, None where the client set no bound.
        conversation: The conversation that its cost counts for.
    """

    request: Request
    state: ServerState
    key: ApiKey
    model: str
    turn: PipelineRequest
    limit: int | None = None
    conversation: str = ""

    @property
    def tokens(self) -> int:
        """Tokens to reserve."""
        return self.expected.prompt + self.expected.completion

    @property
    def expected(self) -> Usage:
        """The usage to reserve a cost for."""
        prompt = estimated_tokens(self.turn.messages)
        return Usage(prompt=prompt, completion=self.limit or REPLY_TOKENS)

    async def pieces(self, admission: Admission) -> AsyncGenerator[Piece]:
        """Read the pipeline, with metrics; the outcome's footnotes become text where wanted."""
        pipeline = pipeline_of(self.state.pipelines, self.model)
        clock = ReplyClock(self.state.metrics, self.model)
        async with aclosing(clock.timed(pipeline.stream(self.turn))) as pieces:
            async for piece in pieces:
                if piece.outcome is None:
                    yield piece
                    continue
                outcome = piece.outcome
                admission.used = outcome.usage.prompt + outcome.usage.completion
                if notes := self.notes(outcome):
                    yield Piece(text=notes)
                yield piece

    def notes(self, outcome: Outcome) -> str:
        """Return the footnotes of a reply, where they are wanted."""
        return footnotes(outcome) if "footnotes" in self.turn.extension.citations else ""


async def begun(replying: Replying, stack: AsyncExitStack) -> tuple[Piece, AsyncGenerator[Piece]]:
    """Admit a request and wait for its first piece, so that refusals have an HTTP status.

    Everything that is held until the end is on the stack.
    """
    pipeline_of(replying.state.pipelines, replying.model)
    admission = await stack.enter_async_context(
        admitted(
            replying.state,
            replying.key,
            tokens=replying.tokens,
            expected=replying.expected,
            conversation=replying.conversation,
        )
    )
    pieces = replying.pieces(admission)
    await stack.enter_async_context(aclosing(pieces))
    return await anext(pieces), pieces


async def whole(replying: Replying, stack: AsyncExitStack) -> tuple[str, Outcome]:
    """Admit a request and read its reply to the end: its text and outcome."""
    first, pieces = await begun(replying, stack)
    outcome = first.outcome
    async for piece in pieces:
        outcome = piece.outcome or outcome
    if outcome is None:
        raise ApiError(502, "The model ended its reply early.", code="provider_broken_stream")
    return outcome.text + replying.notes(outcome), outcome


class ReplyForm(Protocol):
    """The form that an API gives to a reply."""

    def whole(self, text: str, outcome: Outcome) -> dict[str, Any]:
        """Return the JSON of the whole reply."""
        ...

    def events(self, first: Piece, pieces: AsyncGenerator[Piece]) -> AsyncGenerator[bytes]:
        """Yield the reply as server-sent events."""
        ...


async def replied(replying: Replying, form: ReplyForm, *, stream: bool) -> Response:
    """Admit a request and answer it in this form, whole or as a stream."""
    state = replying.state
    async with AsyncExitStack() as stack:
        request, seconds = replying.request, state.request_seconds
        if not stream:
            reply = whole(replying, stack)
            return JSONResponse(form.whole(*await while_connected(request, reply, seconds=seconds)))
        first, pieces = await while_connected(request, begun(replying, stack), seconds=seconds)
        held = stack.pop_all()
    events = guarded(
        form.events(first, pieces), closing=state.closing, seconds=state.request_seconds
    )
    return EventStream(events, holding=held)


def call_options(body: Sampling, limit: int | None, stops: tuple[str, ...] = ()) -> CallOptions:
    """The options of a body that go to a language model."""
    options: CallOptions = {}
    if body.temperature is not None:
        options["temperature"] = body.temperature
    if body.top_p is not None:
        options["top_p"] = body.top_p
    if body.seed is not None:
        options["seed"] = body.seed
    if limit is not None:
        options["max_tokens"] = limit
    if stops:
        options["stop"] = stops
    return options


@router.get("/v1/models", summary="List the models")
async def models(state: State, key: Reader) -> dict[str, Any]:
    """Each model is a pipeline: answers from documents, an agent, or the language model itself."""
    entries = [
        {"id": name, "object": "model", "created": 0, "owned_by": "ragkit"}
        for name in state.pipelines
    ]
    return {"object": "list", "data": entries}


@router.get("/v1/models/{name}", summary="Show a model")
async def model(name: str, state: State, key: Reader) -> dict[str, Any]:
    """Return one model."""
    pipeline_of(state.pipelines, name)
    return {"id": name, "object": "model", "created": 0, "owned_by": "ragkit"}


@router.post("/v1/chat/completions", summary="Answer a conversation", response_model=None)
async def complete(body: ChatBody, request: Request, state: State, key: Reader) -> Response:
    """Answer the last question from the documents, as OpenAI's chat completions do.

    With `stream` the text comes as it is written. Citations are `annotations` of the message.
    """
    messages = [one.message() for one in body.messages]
    turn = PipelineRequest(
        messages=messages,
        tenant=key.tenant,
        options=call_options(body, body.limit, body.stops),
        extension=body.ragkit,
        limit_name=body.limit_name,
    )
    replying = Replying(
        request=request,
        state=state,
        key=key,
        model=body.model,
        turn=turn,
        limit=body.limit,
        conversation=body.conversation,
    )
    chunks = ChatChunks(
        id=f"chatcmpl-{uuid.uuid4().hex}",
        created=int(time.time()),
        model=body.model,
        base_url=str(request.base_url),
        extension=body.ragkit,
        usage=body.stream_options is not None and body.stream_options.include_usage,
    )
    return await replied(replying, chunks, stream=body.stream)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatChunks:
    """A reply as chat completions have it, whole and in chunks.

    Attributes:
        usage: Send a last chunk with the usage.
    """

    id: str
    created: int
    model: str
    base_url: str
    extension: Extension
    usage: bool = False

    def whole(self, text: str, outcome: Outcome) -> dict[str, Any]:
        """The whole reply."""
        message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None}
        if "annotations" in self.extension.citations:
            message["annotations"] = annotations(outcome, self.base_url)
        return {
            **self._head("chat.completion"),
            "choices": [
                {
                    "index": 0,
                    "message": message,
                    "finish_reason": outcome.finish_reason,
                    "logprobs": None,
                }
            ],
            "usage": usage_json(outcome.usage),
            "ragkit": extension_json(outcome, self.extension),
        }

    async def events(self, first: Piece, pieces: AsyncGenerator[Piece]) -> AsyncGenerator[bytes]:
        """The reply in chunks, the citations behind the text."""
        yield event(self._chunk({"role": "assistant", "content": ""}))
        async with aclosing(chained(first, pieces)) as following:
            async for piece in following:
                if piece.text:
                    yield event(self._chunk({"content": piece.text}))
                if piece.outcome is not None:
                    for chunk in self._end(piece.outcome):
                        yield event(chunk)
        yield DONE

    def _end(self, outcome: Outcome) -> list[dict[str, Any]]:
        chunks: list[dict[str, Any]] = []
        wanted = self.extension.citations
        if "annotations" in wanted and outcome.citations:
            found = annotations(outcome, self.base_url)
            chunks.append(self._chunk({"annotations": found}))
        if "sources" in wanted:
            for citation in outcome.citations:
                source = source_event(citation, outcome.hits, self.base_url)
                chunks.append({**self._chunk({}), "event": source})
        last = self._chunk({}, finish_reason=outcome.finish_reason)
        chunks.append({**last, "ragkit": extension_json(outcome, self.extension)})
        if self.usage:
            chunks.append(
                {
                    **self._head("chat.completion.chunk"),
                    "choices": [],
                    "usage": usage_json(outcome.usage),
                }
            )
        return chunks

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}

    def _chunk(self, delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason, "logprobs": None}
        return {**self._head("chat.completion.chunk"), "choices": [choice]}


def usage_json(usage: Usage) -> dict[str, Any]:
    """Usage as chat completions have it."""
    return {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.completion,
        "total_tokens": usage.prompt + usage.completion,
        "prompt_tokens_details": {"cached_tokens": usage.cached},
    }


async def chained(first: Piece, pieces: AsyncGenerator[Piece]) -> AsyncGenerator[Piece]:
    """All pieces of a reply, of which the first was read already."""
    yield first
    async with aclosing(pieces):
        async for piece in pieces:
            yield piece
