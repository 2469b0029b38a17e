"""`POST /v1/responses`: the same replies as OpenAI's Responses API has them."""

import time
import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from ragkit.core.types import Usage
from ragkit.server.bodies import ResponsesBody
from ragkit.server.chat import Replying, call_options, chained, replied
from ragkit.server.citations import annotations, extension_json
from ragkit.server.errors import api_error
from ragkit.server.replies import Outcome, Piece, PipelineRequest
from ragkit.server.sse import event
from ragkit.server.state import Reader, State

router = APIRouter(tags=["chat"])


@router.post("/v1/responses", summary="Answer an input", response_model=None)
async def respond(body: ResponsesBody, request: Request, state: State, key: Reader) -> Response:
    """Answer from the documents, as OpenAI's Responses API does; nothing is stored."""
    turn = PipelineRequest(
        messages=body.messages(),
        tenant=key.tenant,
        options=call_options(body, body.max_output_tokens),
        extension=body.ragkit,
        limit_name="max_output_tokens",
    )
    limit = body.max_output_tokens
    replying = Replying(
        request=request,
        state=state,
        key=key,
        model=body.model,
        turn=turn,
        limit=limit,
        conversation=body.conversation,
    )
    form = ResponseForm(body=body, base_url=str(request.base_url))
    return await replied(replying, form, stream=body.stream)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseForm:
    """A reply as the Responses API has it, whole and in events."""

    body: ResponsesBody
    base_url: str
    id: str = field(default_factory=lambda: f"resp_{uuid.uuid4().hex}")
    message_id: str = field(default_factory=lambda: f"msg_{uuid.uuid4().hex}")
    created: int = field(default_factory=lambda: int(time.time()))

    def whole(self, text: str, outcome: Outcome) -> dict[str, Any]:
        """The finished response."""
        ended = "completed" if outcome.finish_reason == "stop" else "incomplete"
        found = self._response(ended, [self._item("completed", [self._part(text, outcome)])])
        found["usage"] = _usage(outcome.usage)
        if ended == "incomplete":
            found["incomplete_details"] = {"reason": "max_output_tokens"}
        found["ragkit"] = extension_json(outcome, self.body.ragkit)
        return found

    async def events(self, first: Piece, pieces: AsyncGenerator[Piece]) -> AsyncGenerator[bytes]:
        """The events of the response, numbered in their order."""
        numbered = self._kinds(first, pieces)
        number = 0
        async with aclosing(numbered) as kinds:
            async for kind, data in kinds:
                yield event({"type": kind, **data, "sequence_number": number}, name=kind)
                number += 1

    async def _kinds(
        self, first: Piece, pieces: AsyncGenerator[Piece]
    ) -> AsyncGenerator[tuple[str, dict[str, Any]]]:
        where = {"item_id": self.message_id, "output_index": 0, "content_index": 0}
        started = self._response("in_progress", [])
        empty: dict[str, Any] = {"type": "output_text", "text": "", "annotations": []}
        yield "response.created", {"response": started}
        yield "response.in_progress", {"response": started}
        item = self._item("in_progress", [])
        yield "response.output_item.added", {"output_index": 0, "item": item}
        yield "response.content_part.added", {**where, "part": empty}
        text = ""
        outcome: Outcome | None = None
        try:
            async with aclosing(chained(first, pieces)) as following:
                async for piece in following:
                    text += piece.text
                    if piece.text:
                        delta: dict[str, Any] = {"delta": piece.text, "logprobs": []}
                        yield "response.output_text.delta", {**where, **delta}
                    outcome = piece.outcome or outcome
        except Exception as error:  # noqa: BLE001 - the stream ends as a failed response
            inside = api_error(error).body["error"]
            failed = self._response("failed", [])
            failed["error"] = {"code": inside["code"], "message": inside["message"]}
            yield "response.failed", {"response": failed}
            return
        if outcome is None:
            return
        part = self._part(text, outcome)
        for index, found in enumerate(part["annotations"]):
            added = {**where, "annotation_index": index, "annotation": found}
            yield "response.output_text.annotation.added", added
        yield "response.output_text.done", {**where, "text": text, "logprobs": []}
        yield "response.content_part.done", {**where, "part": part}
        done = self._item("completed", [part])
        yield "response.output_item.done", {"output_index": 0, "item": done}
        finished = self.whole(text, outcome)
        kind = "completed" if finished["status"] == "completed" else "incomplete"
        yield f"response.{kind}", {"response": finished}

    def _response(self, status: str, output: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": "response",
            "created_at": self.created,
            "status": status,
            "model": self.body.model,
            "output": output,
            "error": None,
            "incomplete_details": None,
            "instructions": self.body.instructions,
            "metadata": self.body.metadata or {},
            "parallel_tool_calls": False,
            "temperature": self.body.temperature,
            "top_p": self.body.top_p,
            "tool_choice": "none",
            "tools": [],
            "usage": None,
        }

    def _item(self, status: str, content: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": self.message_id,
            "type": "message",
            "role": "assistant",
            "status": status,
            "content": content,
        }

    def _part(self, text: str, outcome: Outcome) -> dict[str, Any]:
        wanted = "annotations" in self.body.ragkit.citations
        nested = annotations(outcome, self.base_url) if wanted else []
        flat = [{"type": "url_citation", **one["url_citation"]} for one in nested]
        return {"type": "output_text", "text": text, "annotations": flat, "logprobs": []}


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.prompt,
        "input_tokens_details": {"cached_tokens": usage.cached},
        "output_tokens": usage.completion,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": usage.prompt + usage.completion,
    }
