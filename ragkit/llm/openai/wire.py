"""Requests to an OpenAI-compatible server, and the bodies of its responses: pure functions.

Source: vLLM's OpenAI-compatible server, https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html
"""

from collections.abc import Mapping, Sequence

from pydantic import BaseModel, Field

from ragkit.core.protocols import CallOptions
from ragkit.core.types import Json, Message, TokenLogprob, Usage

_TOOL_CHOICES = frozenset({"auto", "none", "required"})


def request_body(
    model: str,
    messages: Sequence[Message],
    options: CallOptions,
    *,
    fields: Mapping[str, str],
    held: Mapping[str, Json],
    extra: Mapping[str, Json],
) -> dict[str, Json]:
    """Return the body of a streamed chat completion.

    Args:
        model: The model's name.
        messages: The conversation.
        options: The options of the call.
        fields: The server's names of those options that are numbers.
        held: The fields that hold the reply to a grammar or schema.
        extra: Further fields.
    """
    body: dict[str, Json] = {
        "model": model,
        "messages": turns(messages),
        "stream": True,
        "stream_options": {"include_usage": True},
        **extra,
    }
    given: Mapping[str, Json] = {
        name: value for name, value in options.items() if isinstance(value, int | float)
    }
    body |= {field: given[name] for name, field in fields.items() if name in given}
    if stop := options.get("stop"):
        body["stop"] = list(stop)
    if (top := options.get("logprobs")) is not None:
        body |= {"logprobs": True, "top_logprobs": top}
    if tools := options.get("tools"):
        body["tools"] = [dict(tool) for tool in tools]
        choice = options.get("tool_choice", "auto")
        named: Json = {"type": "function", "function": {"name": choice}}
        body["tool_choice"] = choice if choice in _TOOL_CHOICES else named
    return {**body, **held}


def turns(messages: Sequence[Message]) -> list[Json]:
    """Return the messages as JSON."""
    return [_turn(message) for message in messages]


def _turn(message: Message) -> Json:
    content: Json = message.content
    if message.images:
        parts: list[Json] = [{"type": "text", "text": message.content}] if message.content else []
        for url in message.images:
            parts.append({"type": "image_url", "image_url": {"url": url}})  # noqa: PERF401  # its type
        content = parts
    turn: dict[str, Json] = {"role": message.role, "content": content}
    if message.tool_calls:
        turn["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        turn["tool_call_id"] = message.tool_call_id
    return turn


class TokenBody(BaseModel):
    """A token with its log-probability."""

    token: str
    logprob: float
    top_logprobs: list["TokenBody"] | None = None

    def token_logprob(self) -> TokenLogprob:
        """Return it as ragkit's type."""
        top = tuple((other.token, other.logprob) for other in self.top_logprobs or ())
        return TokenLogprob(token=self.token, logprob=self.logprob, top=top)


class LogprobsBody(BaseModel):
    """Log-probabilities of the tokens of a chunk."""

    content: list[TokenBody] | None = None


class FunctionPiece(BaseModel):
    """A piece of a call's name or arguments."""

    name: str | None = None
    arguments: str | None = None


class ToolCallPiece(BaseModel):
    """A piece of one of a reply's calls; servers leave out the index, the id or both."""

    index: int | None = None
    id: str | None = None
    function: FunctionPiece | None = None


class DeltaBody(BaseModel):
    """The text, reasoning and calls that a chunk adds; vLLM has had both names of reasoning."""

    content: str | None = None
    refusal: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[ToolCallPiece] | None = None

    @property
    def text(self) -> str:
        """The piece of the reply, or of the reason why the model refuses one."""
        return self.content or self.refusal or ""

    @property
    def thought(self) -> str:
        """The piece of reasoning."""
        return self.reasoning or self.reasoning_content or ""


class ChoiceBody(BaseModel):
    """The part of a chunk that belongs to one of the replies."""

    index: int | None = None
    delta: DeltaBody | None = None
    finish_reason: str | None = None
    logprobs: LogprobsBody | None = None


class PromptDetails(BaseModel):
    """The number of the prompt's tokens that came from the prefix cache."""

    cached_tokens: int | None = None


class UsageBody(BaseModel):
    """Tokens of the whole call."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: PromptDetails | None = None

    def usage(self) -> Usage | None:
        """Return it as ragkit's type, None where it reports no tokens."""
        prompt = max(self.prompt_tokens or 0, 0)  # a server may report anything
        completion = max(self.completion_tokens or 0, 0)
        if not prompt and not completion:
            return None
        details = self.prompt_tokens_details
        cached = (details.cached_tokens or 0) if details else 0
        return Usage(prompt=prompt, cached=min(max(cached, 0), prompt), completion=completion)


class ErrorBody(BaseModel):
    """An error as the server reports it."""

    message: str | None = None
    type: str | None = None
    code: int | str | None = None
    param: str | None = None


class ChunkBody(BaseModel):
    """One event of the stream; `error` where the server failed in the middle."""

    model: str | None = None
    choices: list[ChoiceBody] | None = None
    usage: UsageBody | None = None
    error: ErrorBody | None = None


class ModelBody(BaseModel):
    """A served model; `max_model_len` is vLLM's."""

    id: str
    max_model_len: int | None = None


class ModelsBody(BaseModel):
    """The served models."""

    data: list[ModelBody] = Field(min_length=1)


class TokenizedBody(BaseModel):
    """The number of a prompt's tokens, chat template and all."""

    count: int
    max_model_len: int | None = None


class FailedBody(BaseModel):
    """A refusal: vLLM nests the error, some proxies don't."""

    error: ErrorBody | str | None = None
    message: str | None = None
    detail: Json = None

    def text(self) -> str:
        """Return the server's message."""
        if isinstance(self.error, ErrorBody):
            return self.error.message or ""
        return self.error or self.message or (str(self.detail) if self.detail else "")
