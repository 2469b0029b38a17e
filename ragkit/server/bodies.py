"""Request bodies: what clients may send. An unknown field is an error with its name."""

from typing import Annotated, Any, Literal, TypeAlias, Unpack, cast

from pydantic import BaseModel, ConfigDict, Field

from ragkit.core.settings import FusionWeight
from ragkit.core.types import Message, TransformName
from ragkit.retrieval.request import Leg
from ragkit.sdk.options import RetrievalOptions
from ragkit.server.errors import ApiError

CitationForm: TypeAlias = Literal["annotations", "sources", "footnotes"]
"""OpenAI's `url_citation`s, Open WebUI's source events, or numbered notes in the text."""

_MOST_TEXT = 1_000_000
MOST_TOKENS = 2**31 - 1
_Text: TypeAlias = Annotated[str, Field(max_length=_MOST_TEXT)]


class Body(BaseModel):
    """A body without unknown fields."""

    model_config = ConfigDict(extra="forbid")


class TextPart(Body):
    """A part of a message."""

    type: Literal["text", "input_text", "output_text"]
    text: _Text
    annotations: list[Any] = []
    logprobs: list[Any] | None = None


class ChatMessage(Body):
    """A message; its content is text or parts that are text."""

    role: Literal["system", "developer", "user", "assistant"]
    content: _Text | list[TextPart]
    name: str | None = None
    id: str | None = None
    type: Literal["message"] = "message"
    status: str | None = None
    annotations: list[Any] | None = None
    refusal: str | None = None

    def message(self) -> Message:
        """The message as ragkit has it."""
        text = self.content
        if not isinstance(text, str):
            text = "\n".join(part.text for part in text)
        role = "system" if self.role == "developer" else self.role
        return Message(role=role, content=text)


class Extension(Body):
    """ragkit's own fields of a request, under `ragkit`.

    Attributes:
        k: Hits that the answer may rest on.
        where: A filter, such as `year >= 2020 and lang in ["en", "de"]`.
        citations: The forms that citations come in.
        hits: Return the hits with their ranks and scores.
    """

    k: Annotated[int, Field(ge=1, le=100)] | None = None
    where: Annotated[str, Field(max_length=2000)] | None = None
    citations: list[CitationForm] = ["annotations", "sources"]
    hits: bool = False


class StreamOptions(Body):
    """Options of a stream."""

    include_usage: bool = False
    include_obfuscation: bool = False


class Sampling(Body):
    """Options that go to the language model where one writes the answer; else they do nothing."""

    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), le=2**63 - 1)] | None = None
    user: str | None = None
    metadata: dict[str, str] | None = None
    store: bool | None = None
    service_tier: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    ragkit: Extension = Extension()

    @property
    def conversation(self) -> str:
        """The conversation that the request's cost counts for: `metadata.conversation`."""
        return (self.metadata or {}).get("conversation", "")


class ChatBody(Sampling):
    """`POST /v1/chat/completions`."""

    model: Annotated[str, Field(min_length=1, max_length=200)]
    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=1000)]
    stream: bool = False
    stream_options: StreamOptions | None = None
    max_tokens: Annotated[int, Field(ge=1, le=MOST_TOKENS)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1, le=MOST_TOKENS)] | None = None
    stop: str | Annotated[list[str], Field(max_length=4)] | None = None
    n: Literal[1] = 1
    presence_penalty: Literal[0] | None = None
    frequency_penalty: Literal[0] | None = None
    logprobs: Literal[False] | None = None
    response_format: dict[Literal["type"], Literal["text"]] | None = None

    @property
    def stops(self) -> tuple[str, ...]:
        """The stop texts."""
        given = self.stop or []
        return (given,) if isinstance(given, str) else tuple(given)

    @property
    def limit(self) -> int | None:
        """The most tokens of the reply."""
        return self.max_completion_tokens or self.max_tokens

    @property
    def limit_name(self) -> str:
        """The field that the limit comes from."""
        return "max_completion_tokens" if self.max_completion_tokens else "max_tokens"


class ResponsesBody(Sampling):
    """`POST /v1/responses`."""

    model: Annotated[str, Field(min_length=1, max_length=200)]
    input: _Text | Annotated[list[ChatMessage], Field(min_length=1, max_length=1000)]
    instructions: _Text | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None
    max_output_tokens: Annotated[int, Field(ge=1)] | None = None
    truncation: Literal["auto", "disabled"] | None = None
    parallel_tool_calls: bool | None = None
    include: list[str] | None = None

    def messages(self) -> list[Message]:
        """The conversation, with the instructions first."""
        given = self.input
        if isinstance(given, str):
            turns = [Message(role="user", content=given)]
        else:
            turns = [one.message() for one in given]
        first = [Message(role="system", content=self.instructions)] if self.instructions else []
        return [*first, *turns]


class RetrievalBody(Body):
    """The options of a search; those left out are the server's settings."""

    where: Annotated[str, Field(max_length=2000)] | None = None
    legs: Annotated[list[Leg], Field(min_length=1, max_length=2)] | None = None
    rerank: bool | None = None
    fusion: Literal["scores", "rrf"] | None = None
    dense_weight: FusionWeight | None = None
    bm25_weight: FusionWeight | None = None
    transform: TransformName | None = None
    mmr_lambda: Annotated[float, Field(ge=0, le=1)] | None = None
    neighbours: Annotated[int, Field(ge=0, le=10)] | None = None
    drop_duplicates: bool | None = None
    near_duplicates: Annotated[float, Field(ge=0.5, le=1)] | None = None

    def options(self, **others: Unpack[RetrievalOptions]) -> RetrievalOptions:
        """The options that the client set, and others."""
        given = self.model_dump(include=set(RetrievalBody.model_fields), exclude_none=True)
        return cast("RetrievalOptions", {**given, **others})


class SearchBody(RetrievalBody):
    """`POST /v1/search`."""

    query: Annotated[str, Field(min_length=1, max_length=10_000)]
    k: Annotated[int, Field(ge=1, le=1000)] | None = None
    explain: bool = False
    collection: str | None = None


class JudgedQuestion(Body):
    """A question with the uris of the documents that answer it, its answers, or both."""

    question: Annotated[str, Field(min_length=1, max_length=10_000)]
    relevant: list[_Text] | dict[str, Annotated[int, Field(ge=0, le=1000)]] = []
    answers: list[_Text] = []

    @property
    def grades(self) -> dict[str, int]:
        """The grade of each relevant document."""
        given = self.relevant
        return dict(given) if isinstance(given, dict) else dict.fromkeys(given, 1)


class EvalBody(RetrievalBody):
    """`POST /v1/eval`."""

    questions: Annotated[list[JudgedQuestion], Field(min_length=1, max_length=1000)]


class EmbeddingsBody(Body):
    """`POST /v1/embeddings`. `input_type` says whether the texts are queries or passages."""

    model: str
    input: str | Annotated[list[str], Field(min_length=1, max_length=2048)]
    dimensions: Annotated[int, Field(ge=1)] | None = None
    encoding_format: Literal["float", "base64"] = "float"
    user: str | None = None
    input_type: Literal["query", "passage"] = "passage"


class RerankBody(Body):
    """`POST /v1/rerank`."""

    model: str | None = None
    query: Annotated[str, Field(min_length=1, max_length=10_000)]
    documents: Annotated[list[str], Field(min_length=1, max_length=1000)]
    top_n: Annotated[int, Field(ge=1)] | None = None
    return_documents: bool = False


def asked(messages: list[Message]) -> tuple[str, list[Message]]:
    """Return the last question of a conversation and the turns before it, system messages apart.

    Raises:
        ApiError: The last message is not a user's (400).
    """
    turns = [message for message in messages if message.role != "system"]
    if not turns or turns[-1].role != "user":
        raise ApiError(
            400,
            "The last message must have the role 'user'.",
            code="invalid_value",
            param="messages",
        )
    return turns[-1].content, turns[:-1]
