"""The engine that loads, divides and embeds documents on a Ray cluster."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeGuard, cast

from ragkit.core.errors import InputError, ProviderError
from ragkit.core.protocols import Embedder, Entry, SpanEmbedder, Tokenizer
from ragkit.core.types import Document, FloatArray, Task, TextSpan
from ragkit.ingest.cluster.actors import ActorGroup
from ragkit.ingest.cluster.ray_cluster import RayCluster
from ragkit.ingest.cluster.worker import DocumentWorker, EmbeddingWorker
from ragkit.ingest.preparation import Preparation, ReadSource
from ragkit.ingest.sources.source import LoadCall
from ragkit.ingest.workers.pool import is_own_loader
from ragkit.ingest.workers.process import ParserLimits


class RayEngine:
    """Loads and divides documents, and embeds their passages, on a Ray cluster.

    The ingesting process reads the sources and writes the index, so that identities, changes,
    deletions and the report are those of a local run.
    """

    def __init__(self, cluster: RayCluster, *, limits: ParserLimits) -> None:
        """Use a cluster; the limits are those of each document."""
        self._cluster, self._limits = cluster, limits

    def pool(self, preparation: Preparation) -> "ClusterPool":
        """Return what loads the documents of a run."""
        return ClusterPool(self._cluster, preparation, self._limits)

    def embedder(self, embedder: Embedder) -> "ClusterEmbedder":
        """Return what embeds as this embedder does."""
        spans = isinstance(embedder, SpanEmbedder)
        return (ClusterSpanEmbedder if spans else ClusterEmbedder)(self._cluster, embedder)

    async def close(self) -> None:
        """Leave the cluster."""
        await self._cluster.close()


class ClusterPool:
    """Loads and divides documents with ragkit's own loaders on a cluster."""

    def __init__(self, cluster: RayCluster, preparation: Preparation, limits: ParserLimits) -> None:
        """Configure; nothing is started before the first document."""
        self._cluster = cluster
        self._preparation = replace(preparation, fields=dict(preparation.fields))
        self._limits = limits
        self._starting = asyncio.Lock()
        self._group: ActorGroup | None = None
        self.workers = 1

    def takes(self, load: Callable[[], Document]) -> TypeGuard[LoadCall]:
        """Return whether the cluster loads a document."""
        return is_own_loader(load)

    async def load(self, read: ReadSource) -> Entry:
        """Load and divide a document.

        Raises:
            InputError: It cannot be loaded within its limits, or not be stored.
            RagkitError: The loader needs a setting or a package, or no worker can be started.
        """
        group = await self._started()
        try:
            return cast("Entry", await group.call("entry", read))
        except ProviderError as error:
            raise InputError(f"{read.uri!r} was not read. {error}") from error

    async def _started(self) -> ActorGroup:
        async with self._starting:
            if self._group is None:
                shape = await self._cluster.shape()
                arguments = (self._preparation, self._limits)
                self._group = self._cluster.group(
                    DocumentWorker, *arguments, count=shape.parsers, gpus=0.0
                )
                # One more for each to begin with when it has ended another.
                self.workers = 2 * shape.parsers
            return self._group

    async def close(self) -> None:
        """Do nothing: the actors end with the cluster."""


class ClusterEmbedder:
    """An embedder whose passages are embedded on a cluster; all else is the local one's."""

    def __init__(self, cluster: RayCluster, embedder: Embedder) -> None:
        """Configure; nothing is started before the first passage."""
        self._cluster, self._embedder = cluster, embedder
        self._starting = asyncio.Lock()
        self._group: ActorGroup | None = None

    @property
    def identity(self) -> tuple[str, str]:
        """Model name and revision."""
        return self._embedder.identity

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        return self._embedder.dimensions

    @property
    def prompts(self) -> Mapping[Task, str]:
        """The text put before a query and before a passage."""
        return self._embedder.prompts

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's own tokenizer, with its limit."""
        return self._embedder.tokenizer

    async def calls_at_once(self) -> int:
        """Return the number of calls that are worked on at the same time."""
        return (await self._cluster.shape()).embedders

    async def embed(
        self,
        texts: Sequence[str],
        *,
        task: Task = "passage",
        on_truncated: Callable[[int, int], None] | None = None,
    ) -> FloatArray:
        """Embed passages on the cluster, queries here."""
        if task != "passage":
            return await self._embedder.embed(texts, task=task, on_truncated=on_truncated)
        return await self._called("embed", list(texts), on_truncated)

    async def _called(
        self, method: str, passages: list[Any], on_truncated: Callable[[int, int], None] | None
    ) -> FloatArray:
        group = await self._started()
        vectors, cut = cast(
            "tuple[FloatArray, list[tuple[int, int]]]", await group.call(method, passages)
        )
        for position, tokens in cut:
            if on_truncated is not None:
                on_truncated(position, tokens)
        return vectors

    async def _started(self) -> ActorGroup:
        async with self._starting:
            if self._group is None:
                shape = await self._cluster.shape()
                self._group = self._cluster.group(
                    EmbeddingWorker, self._embedder, count=shape.embedders, gpus=shape.gpus
                )
            return self._group


class ClusterSpanEmbedder(ClusterEmbedder):
    """An embedder of passages within the text around them (late chunking), on a cluster."""

    async def embed_spans(
        self,
        spans: Sequence[TextSpan],
        *,
        on_truncated: Callable[[int, int], None] | None = None,
    ) -> FloatArray:
        """Embed parts of texts on the cluster."""
        return await self._called("embed_spans", list(spans), on_truncated)
