"""The engines of an ingestion: where its documents are loaded, divided and embedded."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from ragkit.core.protocols import Embedder, Entry
from ragkit.core.types import Document
from ragkit.ingest.preparation import Preparation, ReadSource
from ragkit.ingest.workers.pool import ParserPool
from ragkit.ingest.workers.process import ParserLimits


class DocumentPool(Protocol):
    """Processes that load documents."""

    @property
    def workers(self) -> int:
        """Number of documents that are loaded at the same time."""
        ...

    def takes(self, load: Callable[[], Document]) -> bool:
        """Return whether a document is loaded by the pool, and not by the ingesting process."""
        ...

    async def load(self, read: ReadSource) -> Document | Entry:
        """Load a document that the pool takes; an entry is one that it has divided as well.

        Raises:
            InputError: The document cannot be loaded.
            RagkitError: The loader needs a setting or a package, or no process can be started.
        """
        ...

    async def close(self) -> None:
        """End the processes."""
        ...


class IngestionEngine(Protocol):
    """The processes of a run, on this machine or on others."""

    def pool(self, preparation: Preparation) -> DocumentPool:
        """Return what loads the documents of a run."""
        ...

    def embedder(self, embedder: Embedder) -> Embedder:
        """Return what embeds the passages of a run, as this embedder does."""
        ...

    async def close(self) -> None:
        """End what a run has started."""
        ...


@runtime_checkable
class ParallelEmbedder(Protocol):
    """An embedder that works on several calls at the same time."""

    async def calls_at_once(self) -> int:
        """Return their number."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalEngine:
    """The engine of one machine: worker processes load, and the ingesting process embeds.

    Attributes:
        workers: Number of processes that load documents; with 0 they are loaded in this one.
        limits: Of each document that a process loads.
    """

    workers: int = 0
    limits: ParserLimits = field(default_factory=ParserLimits)

    def pool(self, preparation: Preparation) -> ParserPool:
        """Return the worker processes of a run."""
        del preparation  # documents are divided here
        return ParserPool(workers=self.workers, limits=self.limits)

    def embedder(self, embedder: Embedder) -> Embedder:
        """Return the embedder itself."""
        return embedder

    async def close(self) -> None:
        """Do nothing: the pool ends its processes."""
