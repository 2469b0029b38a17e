"""The ingestion pipeline: reads, loads, chunks, embeds and commits the documents that changed."""

import asyncio
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ragkit.core.errors import InputError, RagkitError
from ragkit.core.filters import has_type
from ragkit.core.protocols import Chunker, Embedder, Entry, Index, OnProgress, Progress
from ragkit.core.text import is_unicode
from ragkit.core.types import (
    DEFAULT_TENANT,
    Chunk,
    Document,
    DocumentRecord,
    FloatArray,
    stable_id,
)
from ragkit.index.integrity import repair, verify
from ragkit.ingest.passage import passage_text
from ragkit.ingest.report import FailedDocument, IngestReport
from ragkit.ingest.sources import DocumentSource, SourceSet

logger = logging.getLogger(__name__)

_SLICE = 128
"""Chunks between two reports of progress."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """A pipeline that brings an index up to date with sources.

    Without an embedder the index gets no vectors: BM25 search only. `batch_chunks` is the number
    of chunks that are embedded and committed together.
    """

    index: Index
    chunker: Chunker
    embedder: Embedder | None
    tenant: str = DEFAULT_TENANT
    batch_chunks: int = 512
    on_progress: OnProgress | None = None

    async def run(self, found: SourceSet, *, sync: bool = False) -> IngestReport:
        """Ingest what is new or changed; with `sync`, delete what is gone from the roots.

        One document's failure leaves the rest, and its earlier version, as they are.
        """
        started = time.perf_counter()
        report = IngestReport(skipped=list(found.skipped), failed=list(found.failed))
        faults = await verify(self.index)
        await repair(self.index, faults)
        report.repaired = len(faults)
        known = {item.uri: item for item in await self.index.records(tenant=self.tenant)}
        batches = self._batches(found.sources, known, report)
        while batch := await asyncio.to_thread(next, batches, None):
            await self._store(batch, known, report)
        if sync:
            await self._delete_gone(found, known, report)
        if report.chunks or report.deleted:
            await self.index.optimize()
        report.seconds = time.perf_counter() - started
        return report

    def _batches(
        self,
        sources: Sequence[DocumentSource],
        known: dict[str, DocumentRecord],
        report: IngestReport,
    ) -> Iterator[list[Entry]]:
        batch: list[Entry] = []
        for done, source in enumerate(sources):
            self._report("read", done, len(sources), source.uri)
            try:
                entry = self._prepare(source, known)
            except RagkitError as error:
                report.failed.append(FailedDocument(uri=source.uri, reason=str(error)))
                continue
            if entry is None:
                report.unchanged.append(source.uri)
                continue
            batch.append(entry)
            if sum(len(item.chunks) for item in batch) >= self.batch_chunks:
                yield batch
                batch = []
        self._report("read", len(sources), len(sources), "")
        if batch:
            yield batch

    def _prepare(self, source: DocumentSource, known: dict[str, DocumentRecord]) -> Entry | None:
        opened = source.open()
        pipeline = f"{source.identity}|{self.chunker.identity}"
        old = known.get(source.uri)
        if old and (old.content_hash, old.pipeline) == (opened.content_hash, pipeline):
            return None
        document = opened.load()
        self._check(document)
        chunks = tuple(self.chunker.chunk(document, tenant=self.tenant))
        record = DocumentRecord(
            uri=source.uri,
            tenant=self.tenant,
            title=document.title,
            content_hash=opened.content_hash,
            pipeline=pipeline,
            chunks=len(chunks),
            generation=stable_id(
                "generation", self.tenant, source.uri, opened.content_hash, pipeline
            ),
        )
        return Entry(record=record, chunks=chunks, vectors=None)

    def _check(self, document: Document) -> None:
        if not (is_unicode(document.title) and is_unicode(document.text)):
            raise InputError(
                f"{document.uri!r} has half of a surrogate pair in its text or title, which is no "
                "character. Fix: decode it with errors='replace'."
            )
        for name, kind in self.index.fields.items():
            value = document.metadata.get(name)
            if value is not None and not has_type(value, kind):
                raise InputError(
                    f"{document.uri!r} has {name} = {value!r}, but that field is declared as "
                    f"{kind}. Fix: change the document, or the declaration under [index.fields]."
                )

    async def _store(
        self, batch: Sequence[Entry], known: dict[str, DocumentRecord], report: IngestReport
    ) -> None:
        try:
            entries = await self._embedded(batch, report)
            await self.index.commit(entries)
        except RagkitError as error:
            if isinstance(error, InputError) and len(batch) > 1:
                # One document is at fault: the others are stored.
                for entry in batch:
                    await self._store([entry], known, report)
                return
            report.failed.extend(FailedDocument(uri=e.record.uri, reason=str(error)) for e in batch)
            return
        for entry in entries:
            uri = entry.record.uri
            (report.updated if uri in known else report.added).append(uri)
            report.chunks += len(entry.chunks)

    async def _embedded(self, batch: Sequence[Entry], report: IngestReport) -> list[Entry]:
        if self.embedder is None:
            return list(batch)
        owners = [(entry.record.uri, chunk) for entry in batch for chunk in entry.chunks]
        vectors = await self._embed(self.embedder, owners, report)
        stored: list[Entry] = []
        first = 0
        for entry in batch:
            last = first + len(entry.chunks)
            stored.append(
                Entry(record=entry.record, chunks=entry.chunks, vectors=vectors[first:last])
            )
            first = last
        return stored

    async def _embed(
        self, embedder: Embedder, owners: Sequence[tuple[str, Chunk]], report: IngestReport
    ) -> FloatArray:
        texts = [passage_text(chunk, embedder.tokenizer) for _, chunk in owners]
        # Texts of like length together: less padding.
        order = sorted(range(len(texts)), key=lambda i: -len(texts[i]))
        vectors = np.zeros((len(texts), embedder.dimensions), dtype=np.float32)
        for first in range(0, len(order), _SLICE):
            rows = order[first : first + _SLICE]

            def note(position: int, tokens: int, rows: Sequence[int] = rows) -> None:
                uri = owners[rows[position]][0]
                logger.warning("A passage of %r has %d tokens and was cut.", uri, tokens)
                if uri not in report.truncated:
                    report.truncated.append(uri)

            vectors[rows] = await embedder.embed([texts[i] for i in rows], on_truncated=note)
            self._report("embed", first + len(rows), len(order), owners[rows[-1]][0])
        return vectors

    async def _delete_gone(
        self, found: SourceSet, known: dict[str, DocumentRecord], report: IngestReport
    ) -> None:
        present = {source.uri for source in found.sources}
        gone = sorted(uri for uri in known if found.covers(uri) and uri not in present)
        if gone:
            await self.index.delete(gone, tenant=self.tenant)
        report.deleted.extend(gone)

    def _report(self, phase: str, done: int, total: int, item: str) -> None:
        if self.on_progress is not None:
            self.on_progress(Progress(phase=phase, done=done, total=total, item=item))
