"""A request to a pipeline, and its reply in pieces."""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from ragkit.core.protocols import CallOptions
from ragkit.core.types import Citation, Hit, Message, Usage
from ragkit.server.bodies import Extension
from ragkit.server.errors import ApiError


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineRequest:
    """A request to a pipeline.

    Attributes:
        messages: The conversation, the question last.
        tenant: Whose documents may be read.
        options: For the language model that writes the reply, where there is one.
        extension: ragkit's own fields of the request.
        limit_name: The field that limits the tokens of the reply.
    """

    messages: list[Message]
    tenant: str
    options: CallOptions
    extension: Extension
    limit_name: str = "max_tokens"


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
        """Reply to a conversation: the text as it is written, then the outcome.

        The pieces have the text of the outcome: none of them is taken back.
        """
        ...


def refuse(options: Mapping[str, object], *, model: str) -> None:
    """Refuse a request that sets one of these options, which a kind of model cannot honour.

    Args:
        options: The values of the request by the names of their fields; empty ones are not set.
        model: The kind of model, for the message.

    Raises:
        ApiError: One is set (400).
    """
    for name, value in options.items():
        if value:
            raise ApiError(
                400,
                f"{name} is {value!r}, which {model} cannot honour. Fix: leave it out.",
                code="invalid_value",
                param=name,
            )
