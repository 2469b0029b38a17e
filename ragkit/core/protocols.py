"""The seams: what each replaceable part promises. Contract suites are in `ragkit.testing`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ragkit.core.filters import Filter
from ragkit.core.types import (
    DEFAULT_TENANT,
    Answer,
    Chunk,
    Document,
    DocumentRecord,
    FieldType,
    FloatArray,
    Hit,
    IndexIdentity,
    Task,
)


class Loader(Protocol):
    """Turns the bytes of one format into a document."""

    @property
    def identity(self) -> str:
        """Name and version; a change makes the next ingestion load the document anew."""
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
        """Name and parameters; a change makes the next ingestion chunk every document anew."""
        ...

    def chunk(self, document: Document, *, tenant: str = DEFAULT_TENANT) -> list[Chunk]:
        """Chunks in reading order whose spans cover the whole text, without gaps."""
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


class Index(Protocol):
    """Stores chunks with their vectors, text statistics and metadata, and finds them again."""

    @property
    def identity(self) -> IndexIdentity:
        """What the index was built with."""
        ...

    @property
    def fields(self) -> Mapping[str, FieldType]:
        """Filterable fields, built-in and declared."""
        ...

    async def search(self, query: LegQuery) -> Legs:
        """Run both legs in one round trip.

        Raises:
            InputError: The filter names an unknown field or a value of the wrong type.
        """
        ...

    async def fetch(self, ids: Sequence[str], *, tenant: str = DEFAULT_TENANT) -> list[Chunk]:
        """The tenant's chunks with these ids, in that order; unknown ids are left out."""
        ...

    async def commit(self, entries: Sequence[Entry]) -> None:
        """Store documents: new chunks, then their records, then the old generation's deletion.

        A crash in between leaves the old or the new version findable; `repair` finishes the job.
        """
        ...

    async def delete(self, uris: Sequence[str], *, tenant: str = DEFAULT_TENANT) -> None:
        """Remove documents: their records first, then their chunks."""
        ...

    async def records(self, *, tenant: str | None = DEFAULT_TENANT) -> list[DocumentRecord]:
        """The manifest, of one tenant or (None) of all."""
        ...

    async def generations(self) -> Mapping[str, int]:
        """Number of stored chunks of every generation, over all tenants."""
        ...

    async def drop_generations(self, generations: Sequence[str]) -> None:
        """Delete all chunks of these generations."""
        ...

    async def optimize(self) -> None:
        """Build what makes search fast; call after bulk loading."""
        ...

    async def close(self) -> None:
        """Flush and release the store; safe to call twice."""
        ...


class Answerer(Protocol):
    """Answers a question from retrieved passages, or abstains."""

    async def answer(self, question: str, hits: Sequence[Hit]) -> Answer:
        """Answer with verbatim citations from `hits`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """A step of a long job: `done` of `total` items in this `phase`, at `item`."""

    phase: str
    done: int
    total: int
    item: str | Path = ""


OnProgress = Callable[[Progress], None]
