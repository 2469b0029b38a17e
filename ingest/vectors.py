"""Vectors of passages: kept where a passage did not change, embedded otherwise, and checked."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

import numpy as np

from ragkit.core.errors import ConfigError, InputError
from ragkit.core.progress import OnProgress, Progress
from ragkit.core.protocols import Embedder, Entry, Index, SpanEmbedder
from ragkit.core.types import Chunk, DocumentRecord, FloatArray, TextSpan
from ragkit.ingest.engine import ParallelEmbedder
from ragkit.ingest.passage import passage_text
from ragkit.ingest.vector_checkpoint import VectorCheckpoint, VectorCheckpoints, passage_key
from ragkit.ingest.windows import window_spans

logger = logging.getLogger(__name__)

_SLICE = 128
"""Passages between two reports of progress."""
_UNIT_TOLERANCE = 0.01


@dataclass(slots=True, kw_only=True)
class VectorCounts:
    """The counts of a batch's vectors.

    Attributes:
        kept: Number of passages whose vectors were kept from the earlier version.
        resumed: Number of passages whose vectors an earlier run made that broke off.
        truncated: Uris of documents with a passage longer than the model reads.
    """

    kept: int = 0
    resumed: int = 0
    truncated: list[str] = field(default_factory=list[str])


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryVectors:
    """Gives the passages of documents their vectors.

    A passage whose text and header are those of a passage of the stored version keeps its vector,
    so an update of metadata alone embeds nothing. With `checkpoints`, vectors of large documents
    survive a kill.
    """

    embedder: Embedder
    index: Index
    tenant: str
    on_progress: OnProgress | None = None
    checkpoints: VectorCheckpoints | None = None

    async def added(
        self, entries: Sequence[Entry], updated: Sequence[str]
    ) -> tuple[list[Entry], VectorCounts]:
        """Return the entries with vectors; `updated` are the uris that the index has already.

        Raises:
            ConfigError: The embedder's output has a wrong type, shape or length.
            InputError: A passage's vector is zero or not finite.
        """
        owners = [chunk for entry in entries for chunk in entry.chunks]
        texts = embedded_spans(owners, self.embedder)
        vectors = np.zeros((len(texts), self.embedder.dimensions), dtype=np.float32)
        kept = await self._keep(owners, texts, vectors, updated)
        counts = VectorCounts(kept=len(kept))
        # Texts of like length together: less padding.
        order = sorted(set(range(len(texts))) - kept, key=lambda row: (-len(texts[row].text), row))
        files = self._files([entry.record for entry in entries])
        if files:
            order = await asyncio.to_thread(_resume, files, order, owners, texts, vectors, counts)
        slices = [order[first : first + _SLICE] for first in range(0, len(order), _SLICE)]
        embedder, done = self.embedder, 0
        width = await embedder.calls_at_once() if isinstance(embedder, ParallelEmbedder) else 1
        for first in range(0, len(slices), width):
            together = slices[first : first + width]
            calls = (self._embedded(rows, owners, texts, counts) for rows in together)
            for rows, (found, cut) in zip(together, await asyncio.gather(*calls), strict=True):
                vectors[rows] = found
                if files:
                    # Those that were cut are embedded again, and so reported again.
                    whole = [row for row in rows if row not in cut]
                    await asyncio.to_thread(_keep_files, files, whole, owners, texts, vectors)
                done += len(rows)
                self._report(done, len(order), owners[rows[-1]].uri)
        edges = np.cumsum([0, *(len(entry.chunks) for entry in entries)]).tolist()
        spans = zip(entries, edges, edges[1:], strict=False)
        return [replace(entry, vectors=vectors[a:b]) for entry, a, b in spans], counts

    def _files(self, records: Sequence[DocumentRecord]) -> dict[str, VectorCheckpoint]:
        if self.checkpoints is None:
            return {}
        return self.checkpoints.of_large(records, embedder=self.embedder)

    def stored(self, records: Sequence[DocumentRecord]) -> None:
        """Remove the checkpoints of documents that are stored."""
        for file in self._files(records).values():
            file.discard()

    async def _keep(
        self,
        owners: Sequence[Chunk],
        texts: Sequence[TextSpan],
        vectors: FloatArray,
        updated: Sequence[str],
    ) -> set[int]:
        """Fill in the vectors of passages that are stored already; return their rows."""
        if not updated:
            return set()
        stored = await self.index.chunks(updated, tenant=self.tenant)
        spans = embedded_spans(stored, self.embedder)
        ids = {(one.uri, text): one.id for one, text in zip(stored, spans, strict=True)}
        wanted = {
            row: ids[owner.uri, text]
            for row, (owner, text) in enumerate(zip(owners, texts, strict=True))
            if (owner.uri, text) in ids
        }
        if not wanted:
            return set()
        try:
            found = await self.index.vectors(list(wanted.values()), tenant=self.tenant)
        except InputError as error:
            # Another writer replaced them in the meantime, or the index had no vectors.
            logger.info("Stored vectors cannot be kept, all passages are embedded: %s", error)
            return set()
        vectors[list(wanted)] = found
        return set(wanted)

    async def _embedded(
        self,
        rows: Sequence[int],
        owners: Sequence[Chunk],
        texts: Sequence[TextSpan],
        counts: VectorCounts,
    ) -> tuple[FloatArray, set[int]]:
        """Return the vectors of passages, and the rows of those that the model cut."""
        cut: set[int] = set()

        def note(position: int, tokens: int) -> None:
            cut.add(rows[position])
            uri = owners[rows[position]].uri
            logger.warning("A passage of %r has %d tokens and was cut.", uri, tokens)
            if uri not in counts.truncated:
                counts.truncated.append(uri)

        spans = [texts[row] for row in rows]
        if isinstance(self.embedder, SpanEmbedder):
            given = await self.embedder.embed_spans(spans, on_truncated=note)
        else:
            given = await self.embedder.embed([one.text for one in spans], on_truncated=note)
        found = checked_vectors(given, self.embedder, count=len(rows))
        norms = np.linalg.norm(found, axis=1)
        bad = np.flatnonzero(~((norms > _UNIT_TOLERANCE) & np.isfinite(norms)))
        if bad.size:
            name, uri = self.embedder.identity[0], owners[rows[int(bad[0])]].uri
            raise InputError(
                f"The embedder {name!r} gave a passage of {uri!r} a vector that is zero or not "
                "finite, which no search can find. Fix: correct the embedder, or leave it out."
            )
        wrong = np.flatnonzero(np.abs(norms - 1) > _UNIT_TOLERANCE)
        if wrong.size:
            raise ConfigError(
                f"The embedder {self.embedder.identity[0]!r} gave a vector of length "
                f"{norms[int(wrong[0])]:.3f}. Fix: scale its vectors to length 1."
            )
        return found, cut

    def _report(self, done: int, total: int, item: str) -> None:
        if self.on_progress is not None:
            self.on_progress(Progress(phase="embed", done=done, total=total, item=item))


def embedded_spans(chunks: Sequence[Chunk], embedder: Embedder) -> list[TextSpan]:
    """Return the text that each chunk is embedded in, and its part of that.

    Args:
        chunks: All chunks of some documents, in order.
        embedder: With a `SpanEmbedder` these are windows, otherwise the chunks with their headers.
    """
    if isinstance(embedder, SpanEmbedder):
        return window_spans(chunks, embedder.tokenizer)
    texts = (passage_text(chunk, embedder.tokenizer) for chunk in chunks)
    return [TextSpan(text, 0, len(text)) for text in texts]


def _resume(
    files: Mapping[str, VectorCheckpoint],
    order: Sequence[int],
    owners: Sequence[Chunk],
    texts: Sequence[TextSpan],
    vectors: FloatArray,
    counts: VectorCounts,
) -> list[int]:
    """Fill in what an earlier run embedded; return the rows that are left, in their order."""
    known = {uri: file.read() for uri, file in files.items()}
    left: list[int] = []
    for row in order:
        found = known.get(owners[row].uri, {}).get(passage_key(texts[row]))
        if found is None:
            left.append(row)
        else:
            vectors[row] = found
    counts.resumed = len(order) - len(left)
    if counts.resumed:
        logger.info("%d passages were embedded by an earlier run.", counts.resumed)
    return left


def _keep_files(
    files: Mapping[str, VectorCheckpoint],
    rows: Sequence[int],
    owners: Sequence[Chunk],
    texts: Sequence[TextSpan],
    vectors: FloatArray,
) -> None:
    """Keep the vectors of rows of large documents in their files."""
    for uri, file in files.items():
        own = [row for row in rows if owners[row].uri == uri]
        if own:
            file.add([texts[row] for row in own], vectors[own])


def checked_vectors(given: object, embedder: Embedder, *, count: int) -> FloatArray:
    """Return what an embedder gave, as float32.

    Raises:
        ConfigError: It is no array of numbers of shape `[count, dimensions]`.
    """
    wanted = (count, embedder.dimensions)
    if not isinstance(given, np.ndarray):
        found = f"a {type(given).__name__}"
    else:
        array = cast("np.ndarray[tuple[int, ...], np.dtype[np.generic]]", given)
        if array.shape == wanted and array.dtype.kind == "f":
            return array.astype(np.float32, copy=False)
        found = f"an array of {array.dtype} and shape {array.shape}"
    raise ConfigError(
        f"The embedder {embedder.identity[0]!r} returned {found}. Fix: let `embed` return a "
        f"float32 array of shape {wanted}, a row for each text."
    )
