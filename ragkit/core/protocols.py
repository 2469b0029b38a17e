"""The protocols of the replaceable parts. Contract suites are in `ragkit.testing`."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypedDict, Unpack, runtime_checkable

from ragkit.core.filters import Filter
from ragkit.core.reply_grammar import ReplyGrammar
from ragkit.core.types import (
    DEFAULT_TENANT,
    Answer,
    AnswerDelta,
    Chunk,
    Conversation,
    Delta,
    Document,
    DocumentRecord,
    FieldType,
    FloatArray,
    Guarantee,
    Hit,
    IndexIdentity,
    Json,
    Message,
    Permission,
    Reply,
    Task,
    TextSpan,
    ToolResult,
)


class Loader(Protocol):
    """Turns the bytes of one format into a document."""

    @property
    def identity(self) -> str:
        """Name and version; a change makes the next ingestion load the document again."""
        ...

    def load(self, data: bytes, *, uri: str) -> Document:
        """Parse a document.

        Raises:
            InputError: The bytes are damaged, encrypted, wrongly encoded or hold no text.
        """
        ...


class Tokenizer(Protocol):
    """Measures text in the tokens of an embedding model."""

    @property
    def max_tokens(self) -> int:
        """Tokens of text that the model reads; the rest would be cut off."""
        ...

    def token_starts(self, text: str) -> Sequence[int]:
        """The character offset at which each token of the text starts, in order."""
        ...


class Chunker(Protocol):
    """Divides documents into passages."""

    @property
    def identity(self) -> str:
        """Name and parameters; a change makes the next ingestion chunk every document again."""
        ...

    def chunk(self, document: Document) -> list[Chunk]:
        """Return chunks in reading order whose spans cover the whole text, without gaps.

        Their ids are set by `ragkit.core.types.versioned`.
        """
        ...


class Embedder(Protocol):
    """Turns texts into vectors of unit length."""

    @property
    def identity(self) -> tuple[str, str]:
        """Model name and revision (a hash of its weights where it is a local folder)."""
        ...

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        ...

    @property
    def prompts(self) -> Mapping[Task, str]:
        """The text put before a query and before a passage."""
        ...

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's own tokenizer, with its limit."""
        ...

    async def embed(
        self,
        texts: Sequence[str],
        *,
        task: Task = "passage",
        on_truncated: Callable[[int, int], None] | None = None,
    ) -> FloatArray:
        """Embed texts into float32 `[n, dimensions]`, each row of unit length.

        `on_truncated(position, tokens)` is called for each text that is longer than the model
        reads and was cut; without it a warning is logged.
        """
        ...


@runtime_checkable
class SpanEmbedder(Embedder, Protocol):
    """An embedder whose passages are read within the text around them (late chunking).

    Source: Günther et al. 2024, https://arxiv.org/abs/2409.04701.
    """

    async def embed_spans(
        self,
        spans: Sequence[TextSpan],
        *,
        on_truncated: Callable[[int, int], None] | None = None,
    ) -> FloatArray:
        """Embed parts of texts into float32 `[n, dimensions]`, each row of unit length.

        Each different text is read once, as a passage; a part's vector is made of its own tokens.
        `on_truncated(position, tokens)` is called for each part of a text that was cut.
        """
        ...


class Reranker(Protocol):
    """Scores passages against a query, reading both together."""

    async def rerank(self, query: str, passages: Sequence[str]) -> FloatArray:
        """Relevance of each passage, float32 `[n]`, higher is better."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LegQuery:
    """One search of a store: a dense leg for `vector`, a BM25 leg for `text`, or both.

    `depth` is the number of results of each leg; `where` and `tenant` bind both.
    """

    vector: FloatArray | None = None
    text: str | None = None
    depth: int
    where: Filter | None = None
    tenant: str = DEFAULT_TENANT


@dataclass(frozen=True, slots=True, kw_only=True)
class Legs:
    """Ranked `(chunk id, score)` of each leg, best first, and the chunks that came with them."""

    dense: tuple[tuple[str, float], ...] = ()
    bm25: tuple[tuple[str, float], ...] = ()
    chunks: Mapping[str, Chunk]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One version of a document, ready to commit. `vectors` is float32 `[chunks, dimensions]`."""

    record: DocumentRecord
    chunks: tuple[Chunk, ...]
    vectors: FloatArray | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredVersion:
    """One write of a document's generation, as it is found in a store.

    Attributes:
        tenant: Of the chunks.
        version: Id of the write.
        generation: Version of the document that it wrote.
        chunks: Number of chunks.
        pending: The writer may still be at work: its lease has not run out.
    """

    tenant: str
    version: str
    generation: str
    chunks: int
    pending: bool = False


class Index(Protocol):
    """Stores chunks with their vectors, text statistics and metadata, and finds them again.

    Any number of processes may read and write at the same time. Of each document only the current
    generation is ever found, whatever a crash or another writer has left beside it.
    """

    @property
    def identity(self) -> IndexIdentity:
        """The parts that the index was built with."""
        ...

    @property
    def fields(self) -> Mapping[str, FieldType]:
        """Filterable fields, built-in and declared."""
        ...

    async def search(self, query: LegQuery) -> Legs:
        """Run both legs of a query.

        Raises:
            InputError: The filter names an unknown field or a value of the wrong type.
        """
        ...

    async def fetch(self, ids: Sequence[str], *, tenant: str = DEFAULT_TENANT) -> list[Chunk]:
        """Return the tenant's chunks with these ids, in that order, without those unknown."""
        ...

    async def chunks(self, uris: Sequence[str], *, tenant: str = DEFAULT_TENANT) -> list[Chunk]:
        """Return all chunks of the tenant's documents, in the order of the uris, then of reading.

        Takes as long as these documents have chunks, however large the index is.
        """
        ...

    async def vectors(self, ids: Sequence[str], *, tenant: str = DEFAULT_TENANT) -> FloatArray:
        """Return the whole vectors of chunks, float32 `[n, dimensions]`, in the order of the ids.

        Raises:
            InputError: One of these chunks is not stored, or has no vector.
        """
        ...

    async def records(
        self,
        uris: Sequence[str] | None = None,
        *,
        tenant: str | None = DEFAULT_TENANT,
        source: str | None = None,
    ) -> list[DocumentRecord]:
        """Return the records of documents.

        Args:
            uris: Only of these documents, in that order; takes as long as there are uris.
            tenant: Of this tenant, or of all where None, which goes without uris.
            source: Only of documents that came from there.
        """
        ...

    async def commit(self, entries: Sequence[Entry]) -> None:
        """Store documents, each as its new current generation.

        The new chunks are stored first, then the record that makes them current, then the old
        generation is deleted. After a crash in between, the old or the new one is found, never
        both, and the next commit of the same writer, or `repair`, finishes the job. Of two writers
        that commit the same document, the later record counts.

        Raises:
            InputError: A document cannot be stored and read back unchanged; none is stored then.
        """
        ...

    async def touch(self, records: Sequence[DocumentRecord]) -> None:
        """Overwrite records whose generation is still the stored one; leave the others."""
        ...

    async def delete(self, uris: Sequence[str], *, tenant: str = DEFAULT_TENANT) -> int:
        """Remove documents, their records first, and return the number of those removed."""
        ...

    async def versions(self, *, tenant: str | None = DEFAULT_TENANT) -> list[StoredVersion]:
        """Return every stored write of a generation, of one tenant or (None) of all."""
        ...

    async def drop(self, versions: Sequence[StoredVersion]) -> None:
        """Delete the chunks of these writes, where no record names their generation."""
        ...

    async def discard(self, records: Sequence[DocumentRecord]) -> int:
        """Remove documents that are still as these records say, and return their number."""
        ...

    async def incomplete(self, records: Sequence[DocumentRecord]) -> list[DocumentRecord]:
        """Return those of these records that are still stored, and not all of their chunks are.

        Reads neither text nor vectors, and takes as long as these documents have chunks.
        """
        ...

    async def optimize(self) -> None:
        """Build the structures that make search fast; call after bulk loading."""
        ...

    async def close(self) -> None:
        """Flush and release the store; safe to call twice."""
        ...


class CallOptions(TypedDict, total=False):
    """Options of decoding; those left out have the model's or server's own default.

    Attributes:
        max_tokens: Length at which the reply is cut at the latest. With a grammar it is never cut:
            a reply that does not end by then is asked for again, under a grammar that is fitted to
            this number of tokens.
        strict: True for one call only: the grammar is fitted beforehand, so that its longest reply
            fits, one byte a token. A model that knows no grammars is not asked again either.
        max_calls: Calls that a reply under a grammar may take: 3 by default, 2 of a model that
            knows no grammars. With 1 the call is `strict`.
        temperature: 0 for the likeliest token each time.
        top_p: Share of the probability that is sampled from.
        top_k: Number of tokens that are sampled from.
        min_p: Probability of the least likely token sampled from, relative to the likeliest.
        repetition_penalty: Above 1 to make tokens less likely that occurred already.
        seed: The same seed gives the same reply, on the same model and machine.
        stop: Texts that end the reply; they are not part of it.
        n: Number of replies; all but the first are `Reply.alternatives`.
        logprobs: Number of likeliest tokens to report for each token; 0 reports the token only.
        tools: Tools in the format of OpenAI's chat completions, for a server's own tool calls; the
            calls are `Reply.tool_calls`, and nothing but the server guarantees that they are valid.
        tool_choice: `"auto"`, `"none"`, `"required"` or the name of a tool.
        timeout_s: Seconds for the whole call, instead of the back end's own limit.
        on_restart: Called with the conversation of each call that asks again, after the delta with
            `restart`, and returns the one to use.
    """

    max_tokens: int | None
    strict: bool
    max_calls: int
    temperature: float
    top_p: float
    top_k: int
    min_p: float
    repetition_penalty: float
    seed: int | None
    stop: Sequence[str]
    n: int
    logprobs: int
    tools: Sequence[Mapping[str, Json]]
    tool_choice: str
    timeout_s: float
    on_restart: Callable[[tuple[Message, ...]], Awaitable[Sequence[Message]]]


class LLM(Protocol):
    """A language model; wrappers around one are LLMs too."""

    @property
    def model(self) -> str:
        """The model's name; empty until the server reports it, where none was chosen."""
        ...

    @property
    def guarantee(self) -> Guarantee:
        """The hold of a grammar on replies: `"grammar"`, or `"schema"` on servers without."""
        ...

    async def context_tokens(self) -> int:
        """Tokens that prompt and reply have together."""
        ...

    async def complete(
        self,
        messages: Conversation,
        *,
        grammar: ReplyGrammar[object] | None = None,
        **options: Unpack[CallOptions],
    ) -> Reply:
        """Ask for a reply.

        Raises:
            InputError: The messages or options cannot be used, or no reply of the grammar is
                short enough; `ContextExceeded` where the prompt is too long.
            ProviderError: The model failed; `retryable` says whether to try again.
        """
        ...

    def stream(
        self,
        messages: Conversation,
        *,
        grammar: ReplyGrammar[object] | None = None,
        **options: Unpack[CallOptions],
    ) -> AsyncGenerator[Delta]:
        """Ask for a reply and get the first one's text as it comes, then the whole.

        Closing the iterator, or cancelling the task that reads it, ends the decoding.
        """
        ...

    async def close(self) -> None:
        """Release connections and memory; safe to call twice."""
        ...


class Answerer(Protocol):
    """Answers a question from retrieved passages, or abstains."""

    async def answer(self, question: str, hits: Sequence[Hit]) -> Answer:
        """Answer with verbatim citations from `hits`."""
        ...


@runtime_checkable
class StreamingAnswerer(Answerer, Protocol):
    """An answerer whose text can be read while it is written."""

    def stream(self, question: str, hits: Sequence[Hit]) -> AsyncGenerator[AnswerDelta]:
        """The answer's text piece by piece, then the whole answer.

        Closing the iterator ends the work.
        """
        ...


class Tool(Protocol):
    """Something that an agent can do; its schema becomes a branch of the action grammar.

    A tool whose description and schema were written by others may have the attribute `untrusted`,
    with the value True: agents then show them as data, and treat the thread as one that holds
    untrusted text.
    """

    @property
    def name(self) -> str:
        """The name that the model calls it by: letters, digits and underscores."""
        ...

    @property
    def description(self) -> str:
        """Its purpose, for the model to choose by."""
        ...

    @property
    def parameters(self) -> Mapping[str, Json]:
        """JSON Schema of the arguments, an object."""
        ...

    @property
    def permission(self) -> Permission:
        """Its right: to read, to change something, or to act only with a person's approval."""
        ...

    async def call(self, arguments: Mapping[str, Json], *, key: str) -> ToolResult:
        """Run the tool.

        Args:
            arguments: By `parameters`.
            key: Identity of this call: the same key after a crash means the same call, which a
                `write` tool passes on so that it has its effect once.

        Raises:
            ToolError: The call failed; the message is shown to the model.
        """
        ...
