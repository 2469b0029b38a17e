"""The work that the machines of a cluster do: documents loaded and divided, passages embedded."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import ragkit
from ragkit.core.protocols import Embedder, Entry, SpanEmbedder
from ragkit.core.sync import run_sync
from ragkit.core.types import FloatArray, TextSpan
from ragkit.ingest.preparation import Preparation, ReadSource
from ragkit.ingest.workers.pool import ParserPool


class ClusterWorker:
    """A worker, whose parts come with its first call, also after it was started again."""

    _references: Sequence[Any]

    def version(self) -> str:
        """Return the version of ragkit on this machine."""
        return ragkit.__version__

    @cached_property
    def _parts(self) -> Any:
        import ray

        return ray.get(list(self._references))


class DocumentWorker(ClusterWorker):
    """Loads documents, each within its limits, and divides them into passages.

    As in a local ingestion, a process of its own loads what might hang or explode.
    """

    @cached_property
    def _pool(self) -> ParserPool:
        return ParserPool(workers=1, limits=self._parts[1])

    def entry(self, references: Sequence[Any], read: ReadSource) -> Entry:
        """Return a document's new version, without vectors.

        Args:
            references: To the run's `Preparation` and `ParserLimits`.
            read: The document.

        Raises:
            InputError: It cannot be loaded within its limits, or not be stored.
            RagkitError: The loader needs a setting or a package of this machine.
        """
        self._references = references
        preparation: Preparation = self._parts[0]
        load = read.opened.load
        document = run_sync(lambda: self._pool.load(read)) if self._pool.takes(load) else load()
        return preparation.entry(read, document)


class EmbeddingWorker(ClusterWorker):
    """Embeds passages; the model is loaded with the first."""

    def embed(
        self, references: Sequence[Any], texts: Sequence[str]
    ) -> tuple[FloatArray, list[tuple[int, int]]]:
        """Return the vectors of passages, and position and tokens of each that was cut.

        Args:
            references: To the embedder.
            texts: The passages.
        """
        self._references = references
        embedder: Embedder = self._parts[0]
        cut: list[tuple[int, int]] = []
        return run_sync(
            lambda: embedder.embed(texts, on_truncated=lambda *one: cut.append(one))
        ), cut

    def embed_spans(
        self, references: Sequence[Any], spans: Sequence[TextSpan]
    ) -> tuple[FloatArray, list[tuple[int, int]]]:
        """Return the vectors of parts of texts, and position and tokens of each that was cut.

        Args:
            references: To the embedder.
            spans: The parts.
        """
        self._references = references
        embedder: SpanEmbedder = self._parts[0]
        cut: list[tuple[int, int]] = []
        return run_sync(
            lambda: embedder.embed_spans(spans, on_truncated=lambda *one: cut.append(one))
        ), cut
