"""The values that pass between layers: immutable, with exact character offsets throughout."""

import hashlib
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from typing_extensions import TypeAliasType

from ragkit.core.lexical_form import LEXICAL_FORM

FloatArray: TypeAlias = npt.NDArray[np.float32]
"""Row-major float32, one row per text: `[n, d]`."""

MetadataValue: TypeAlias = str | int | float | bool | tuple[str, ...]
Metadata: TypeAlias = Mapping[str, MetadataValue]
Quantization: TypeAlias = Literal["int8", "binary", "none"]
Guarantee: TypeAlias = Literal["grammar", "schema"]
"""How a model is held to the grammar of a reply.

`"grammar"`: no other reply can be decoded. `"schema"`: the server is given the JSON Schema; the
reply is checked afterwards, and asked for again once where it fails.
"""
"""Compression of the searched prefixes of vectors, which are kept in memory beside float16."""
FieldType: TypeAlias = Literal["keyword", "integer", "float", "bool", "datetime"]
BlockKind: TypeAlias = Literal["heading", "paragraph", "table", "code", "list"]
Role: TypeAlias = Literal["system", "user", "assistant", "tool"]
Task: TypeAlias = Literal["query", "passage"]
Permission: TypeAlias = Literal["read", "write", "approve"]
"""Right of a tool: to read, to change something outside, or to act only when a person agreed."""
Pattern: TypeAlias = Literal["react", "rewoo", "plan"]
"""Working pattern of an agent."""
DEFAULT_TOOLS = "search_documents,calculator"
"""Tools of an agent from the command line."""
ChunkerName: TypeAlias = Literal[
    "recursive", "fixed", "sentence-window", "semantic", "parent-child"
]
"""Way to divide documents into passages."""
ContextName: TypeAlias = Literal["headings", "model", "none"]
"""Text that is embedded and indexed above a passage."""
TransformName: TypeAlias = Literal["multi_query", "hyde", "step_back", "decompose", "feedback"]
"""Transformation of a query before it is searched for."""
Json = TypeAliasType("Json", "bool | int | float | str | list[Json] | dict[str, Json] | None")
"""A JSON value."""

DEFAULT_TENANT = "default"
_NAMESPACE = uuid.UUID("6f1d3a52-6a0e-5f0e-9d53-0c8f3c1f7f11")


def stable_id(*parts: str | int) -> str:
    """Return the UUIDv5 of the parts, which is the same on every machine and in every run."""
    return str(uuid.uuid5(_NAMESPACE, "\x1f".join(str(part) for part in parts)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A structural unit of a document: `document.text[start:end]` is its text.

    `level` is 1 to 6 for headings and 0 otherwise; `page` counts from 1 where there are pages.
    """

    kind: BlockKind
    start: int
    end: int
    level: int = 0
    page: int | None = None
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A loaded document. `content_hash` is the SHA-256 of the source bytes, in hexadecimal."""

    uri: str
    title: str
    text: str
    blocks: tuple[Block, ...] = ()
    metadata: Metadata = field(default_factory=dict[str, MetadataValue])
    content_hash: str

    @classmethod
    def from_text(
        cls, text: str, *, uri: str, title: str | None = None, metadata: Metadata | None = None
    ) -> "Document":
        """Make a document of a text.

        Args:
            text: The whole text.
            uri: The name by which the document is cited, replaced and deleted.
            title: The uri's last part without its extension if None.
            metadata: Fields to filter on.
        """
        last = uri.rstrip("/").rpartition("/")[2]
        return cls(
            uri=uri,
            title=(last.rpartition(".")[0] or last) if title is None else title,
            text=text,
            metadata=dict(metadata or {}),
            content_hash=hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest(),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A passage of a document: `text` is `document.text[start:end]`, verbatim.

    Attributes:
        id: `chunk_id(generation, ordinal, tenant=...)`, a UUIDv5.
        start: Offset of its first character.
        end: Offset behind its last character.
        heading_path: Headings above it, outermost first.
        page: Its first page, counted from 1, where there are pages.
        metadata: Of the document.
        generation: The version of the document that it belongs to.
        ordinal: Its place in the document, counted from 0.
        window: First and last ordinal of the chunks that are read with it, where its chunker says
            so: it searches small passages, and reads larger ones.
        context: What is embedded and indexed above it, never quoted; None for the header.
    """

    id: str
    uri: str
    title: str
    text: str
    start: int
    end: int
    heading_path: tuple[str, ...] = ()
    page: int | None = None
    metadata: Metadata = field(default_factory=dict[str, MetadataValue])
    generation: str = ""
    ordinal: int = 0
    window: tuple[int, int] | None = None
    context: str | None = None

    @property
    def header(self) -> str:
        """Title and headings above the passage."""
        path = self.heading_path
        parts = path if path and path[0] == self.title else (self.title, *path)
        return " > ".join(part for part in parts if part)

    @property
    def lead(self) -> str:
        """The text that is embedded and indexed above the passage."""
        return self.header if self.context is None else self.context


def chunk_id(generation: str, ordinal: int, *, tenant: str) -> str:
    """Return the id of a chunk by its place in a version of a tenant's document.

    The tenant is part of it, so that no tenant can write over the chunks of another, whatever
    generation a client names.
    """
    return stable_id("chunk", tenant, generation, ordinal)


def versioned(
    chunks: Iterable[Chunk], generation: str, *, tenant: str = DEFAULT_TENANT
) -> tuple[Chunk, ...]:
    """Return a document's chunks, given in order, as those of a generation, with their ids."""
    return tuple(
        replace(
            chunk,
            id=chunk_id(generation, ordinal, tenant=tenant),
            generation=generation,
            ordinal=ordinal,
        )
        for ordinal, chunk in enumerate(chunks)
    )


class TextSpan(NamedTuple):
    """A part of a text, `text[start:end]`, that is embedded with the whole text in view."""

    text: str
    start: int
    end: int


class StageRank(NamedTuple):
    """Rank and score of a hit in a stage: ranks count from 1, scores are in the stage's unit."""

    rank: int
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DuplicatePassage:
    """The place of a passage that was left out, since a hit has its text or nearly so."""

    chunk_id: str
    uri: str
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A retrieved chunk; `trace` maps each stage that saw it to its rank and score there.

    `duplicates` are the candidates that it stands for (`RetrievalSettings.drop_duplicates` and
    `near_duplicates`).
    """

    chunk: Chunk
    score: float
    trace: Mapping[str, StageRank]
    duplicates: tuple[DuplicatePassage, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentRecord:
    """A document's entry in the index's manifest, stored beside its chunks.

    Attributes:
        pipeline: Loader, metadata and chunker that made the chunks.
        chunks: Number of chunks.
        generation: Id of this version of the document; all its chunks carry it.
        source: Where the document came from; empty for one that was made in code.
        stamp: Size and time of the file when it was read.
        version: This very write of the generation; set by the index.
    """

    uri: str
    tenant: str
    title: str
    content_hash: str
    pipeline: str
    chunks: int
    generation: str
    source: str = ""
    stamp: str = ""
    version: str = field(default="", compare=False)

    @property
    def chunk_ids(self) -> list[str]:
        """The ids of its chunks, in the order of reading."""
        return [
            chunk_id(self.generation, ordinal, tenant=self.tenant) for ordinal in range(self.chunks)
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexIdentity:
    """The parts that an index was built with; stored with it and checked when it is opened.

    `embedder` is empty for an index without vectors. `dimensions` is the length of the whole
    embedding, `search_dimensions` that of its searched prefix. `lexical_form` names the rules by
    which texts were prepared for BM25.
    """

    embedder: str
    revision: str
    dimensions: int
    search_dimensions: int
    query_prompt: str
    passage_prompt: str
    language: str
    lexical_form: str = LEXICAL_FORM


@dataclass(frozen=True, slots=True, kw_only=True)
class Citation:
    """A verbatim quote: `document.text[start:end] == quote` for the document at `uri`.

    Title, heading path, page and metadata are those of the chunk that holds the quote.
    """

    chunk_id: str
    uri: str
    quote: str
    start: int
    end: int
    title: str = ""
    heading_path: tuple[str, ...] = ()
    page: int | None = None
    metadata: Metadata = field(default_factory=dict[str, MetadataValue])

    @classmethod
    def of(cls, chunk: Chunk, start: int, end: int) -> "Citation":
        """Cite `chunk.text[start:end]`."""
        return cls(
            chunk_id=chunk.id,
            uri=chunk.uri,
            quote=chunk.text[start:end],
            start=chunk.start + start,
            end=chunk.start + end,
            title=chunk.title,
            heading_path=chunk.heading_path,
            page=chunk.page,
            metadata=chunk.metadata,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens of a model call; `cached` counts those of the prompt served from a prefix cache.

    Attributes:
        prompt: Tokens of the prompt.
        cached: Those of them that a prefix cache served.
        completion: Tokens of the replies.
        estimated: The server reported none, so they are an estimate that is rather too high.
    """

    prompt: int = 0
    cached: int = 0
    completion: int = 0
    estimated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """Seconds: to the first token, per further token, and in all."""

    ttft_s: float | None = None
    tpot_s: float | None = None
    total_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A call of a tool in the server's own format; `arguments` is the model's JSON text."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One turn of a conversation with a model.

    Attributes:
        role: The speaker.
        content: The text.
        images: URLs of images after the text, `data:` URLs included.
        tool_calls: The calls that an assistant's turn made in the server's own format.
        tool_call_id: The call that a tool's turn answers.
    """

    role: Role
    content: str
    images: tuple[str, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None


Conversation: TypeAlias = str | Sequence[Message | Mapping[str, object]]
"""A user's text, or messages: `Message`s, or objects in the format of OpenAI's chat completions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenLogprob:
    """A decoded token, its natural log-probability, and the likeliest tokens in its place."""

    token: str
    logprob: float
    top: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternative:
    """Another reply to the same prompt, where more than one was asked for."""

    text: str
    finish_reason: str
    logprobs: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A model's reply, its reason to stop, its tokens and its duration.

    `finish_reason` is `"stop"` (it ended, or met a stop text), `"length"` (cut at `max_tokens`) or
    `"tool_calls"`. `reasoning` is what a reasoning model wrote before the reply. `usage` and
    `timings` cover the alternatives too, and every one of the `calls` that the reply took.
    `guarantee` is how a reply under a grammar was held to it, None for free text. `limits` are the
    bounds that held beside those of the schema where it was decoded under a grammar, by name.
    """

    text: str
    finish_reason: str
    usage: Usage
    timings: Timings
    model: str = ""
    logprobs: tuple[TokenLogprob, ...] = ()
    alternatives: tuple[Alternative, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    reasoning: str = ""
    guarantee: Guarantee | None = None
    limits: Mapping[str, int] | None = None
    calls: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart:
    """A reply that is not used, and is asked for again.

    Attributes:
        rejected: The reply; its usage counts in that of the last one too.
        reason: The reason why it is not used.
        messages: The conversation that the next reply is asked for with.
    """

    rejected: Reply
    reason: str
    messages: tuple[Message, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """A piece of a reply as it comes; the last one has no text and the whole `reply`.

    `reasoning` is a piece of what a reasoning model writes before the reply. After `restart` the
    reply begins again: what came before it is void.
    """

    text: str
    reply: Reply | None = None
    reasoning: str = ""
    restart: Restart | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerSpan:
    """The short answer in the text of an answer: `answer.text[start:end] == text`."""

    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer with its evidence.

    `confidence` is the estimated probability, 0 to 1, that the passages hold the answer; an
    answer below the threshold is `abstained` and has neither text of its own nor citations. A
    language model's own verdict is 1 or 0. `left_out` are the ids of those hits that did not fit
    the model's context. `span` is the short answer in `text`, where the question asks for one and
    it was found.
    """

    text: str
    citations: tuple[Citation, ...]
    abstained: bool
    confidence: float
    hits: tuple[Hit, ...]
    usage: Usage
    timings: Timings
    left_out: tuple[str, ...] = ()
    span: AnswerSpan | None = None

    def __str__(self) -> str:
        """The answer's text."""
        return self.text


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerDelta:
    """A piece of an answer's text as it comes; the last one has no text and the whole `answer`."""

    text: str
    answer: Answer | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolResult:
    """The result of a tool call.

    Attributes:
        text: What the model is shown, at most as long as the tool allows.
        value: The same as a JSON value, whole, so that a later step can refer to a part of it.
        trimmed: Whether `text` leaves something out.
        citations: The passages that it came from.
    """

    text: str
    value: Json
    trimmed: bool = False
    citations: tuple[Citation, ...] = ()
