"""The ingestion pipeline: reads, loads, chunks, embeds and commits the documents that changed."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from ragkit.core.errors import (
    ConfigError,
    IndexMismatch,
    InputError,
    MissingExtraError,
    ProviderError,
    RagkitError,
)
from ragkit.core.operation import Operation
from ragkit.core.protocols import Chunker, Embedder, Entry, Index, OnProgress, Progress
from ragkit.core.types import DEFAULT_TENANT, DocumentRecord, Json
from ragkit.ingest.deletion import SyncPlan
from ragkit.ingest.passage import passage_text
from ragkit.ingest.preparation import Preparation
from ragkit.ingest.report import FailedDocument, IngestReport
from ragkit.ingest.sources.archive import ArchiveMember
from ragkit.ingest.sources.file import FileSource
from ragkit.ingest.sources.root import SourceRoot
from ragkit.ingest.sources.source import DocumentSource
from ragkit.ingest.sources.stream import SourceStream
from ragkit.ingest.vectors import EntryVectors

logger = logging.getLogger(__name__)

PROVIDER_ERRORS = 3
"""Batches in a row that a store or model may fail before a run stops."""
OTHER_ERRORS = 10
"""Documents in a row that may fail to be embedded or stored for other reasons."""
_FATAL = (ConfigError, MissingExtraError, IndexMismatch)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """The choices of a run.

    Attributes:
        sync: Delete documents that are gone from the sources of this run.
        force: Accept empty roots and mass deletions, and replace documents of other origins.
        dry_run: Report what would be done, and do nothing.
        replace_metadata: Forget metadata that an earlier run added and this one does not.
    """

    sync: bool = False
    force: bool = False
    dry_run: bool = False
    replace_metadata: bool = False


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

    async def run(self, stream: SourceStream, options: RunOptions | None = None) -> IngestReport:
        """Ingest what is new or changed, and report it.

        One document's failure leaves the rest, and its earlier version, as they are. After
        repeated failures of a store or model the run stops and reports what it did.

        Raises:
            InputError: No source was found.
            RagkitError: The store or a setting failed before anything was done.
        """
        return await IngestRun(self, stream, options or RunOptions()).report()

    def note(self, phase: str, done: int, total: int, item: str) -> None:
        """Report progress."""
        if self.on_progress is not None:
            self.on_progress(Progress(phase=phase, done=done, total=total, item=item))


class IngestRun:
    """One run of a pipeline over a stream of sources."""

    def __init__(self, pipeline: Pipeline, stream: SourceStream, options: RunOptions) -> None:
        """Prepare a run; nothing is read yet."""
        self._pipeline = pipeline
        self._stream = stream
        self._options = options
        self._report = IngestReport(dry_run=options.dry_run)
        self._preparation = Preparation(
            chunker=pipeline.chunker,
            fields=pipeline.index.fields,
            tenant=pipeline.tenant,
            take_over=options.force,
            replace_metadata=options.replace_metadata,
        )
        self._adopted: dict[str, SourceRoot] = {}
        self._present: set[str] = set()
        self._batch: list[Entry] = []
        self._known: set[str] = set()
        self._read = 0
        self._provider_errors = self._other_errors = 0

    async def report(self) -> IngestReport:
        """Run, and return the report."""
        with Operation(kind="ingestion") as operation:
            report = await self._reported()
            operation.facts |= {
                "added": len(report.added),
                "updated": len(report.updated),
                "unchanged": len(report.unchanged),
                "deleted": len(report.deleted),
                "failed_documents": len(report.failed),
                "chunks": report.chunks,
                "dry_run": report.dry_run,
            }
        report.seconds = operation.seconds
        return report

    async def _reported(self) -> IngestReport:
        report = self._report
        try:
            await self._ingest()
            if self._options.sync and not report.stopped:
                await self._delete_gone()
            if not self._options.dry_run and (report.chunks or report.deleted):
                with Operation(kind="ingestion stage", name="optimize"):
                    await self._pipeline.index.optimize()
        except Exception as error:
            if not (report.added or report.updated or report.deleted):
                raise  # nothing was done that has to be reported
            logger.warning("The run ended early.", exc_info=error)
            report.stopped = _described(error)
        findings = self._findings()
        if findings and not (self._present or report.failed or report.deleted or report.skipped):
            raise InputError(findings[0].reason)
        report.failed.extend(findings)
        return report

    async def _ingest(self) -> None:
        async with aclosing(self._stream.groups()) as groups:
            while not self._report.stopped:
                try:
                    group = await anext(groups, None)
                except RagkitError:
                    raise
                except Exception as error:
                    logger.warning("The iterable of sources failed.", exc_info=error)
                    self._report.stopped = f"The iterable of sources failed: {_described(error)}"
                    break
                if group is None:
                    break
                await self._take(group)
        await self._flush()
        self._pipeline.note("read", self._read, self._read, "")

    async def _take(self, group: Sequence[DocumentSource]) -> None:
        """Bring the documents of a group up to date."""
        group, records = await self._looked_up(group)
        touched: list[DocumentRecord] = []
        for source in group:
            self._present.add(source.uri)
            self._pipeline.note("read", self._read, len(self._stream.uris), source.uri)
            self._read += 1
            record = records.get(source.uri)
            try:
                made = await self._prepared(source, record)
            except _FATAL:
                raise
            except Exception as error:  # noqa: BLE001 - whatever a document brings about is its own
                self._fail(source.uri, error)
                continue
            if isinstance(made, Entry):
                await self._add(made, is_known=record is not None)
            else:
                self._report.unchanged.append(source.uri)
                if record and made.stamp != record.stamp:
                    touched.append(made)
            if self._report.stopped:
                break
        if touched and not self._options.dry_run:
            await self._pipeline.index.touch(touched)

    async def _prepared(
        self, source: DocumentSource, record: DocumentRecord | None
    ) -> Entry | DocumentRecord:
        if record and self._preparation.is_unchanged(source, record):
            return record
        content: dict[str, Callable[[], Json]] = {"document": lambda: source.uri}
        with Operation(kind="ingestion stage", name="prepare", content=content):
            return await asyncio.to_thread(self._preparation.prepare, source, record)

    async def _add(self, entry: Entry, *, is_known: bool) -> None:
        if is_known:
            self._known.add(entry.record.uri)
        self._batch.append(entry)
        if sum(len(one.chunks) for one in self._batch) >= self._pipeline.batch_chunks:
            await self._flush()

    async def _looked_up(
        self, group: Sequence[DocumentSource]
    ) -> tuple[list[DocumentSource], dict[str, DocumentRecord]]:
        """Return the sources under the names that the index knows them by, and their records."""
        records = await self._records([source.uri for source in group])
        unknown = [source for source in group if source.uri not in records]
        aliases = {source.uri: source.aliases() for source in unknown}
        others = await self._records([one.uri for found in aliases.values() for one in found])
        named: list[DocumentSource] = []
        for source in group:
            kept = source
            for alias in aliases.get(source.uri, ()):
                record = others.get(alias.uri)
                if record and record.source == alias.origin:
                    kept, records[alias.uri] = alias, record
                    if isinstance(alias, FileSource | ArchiveMember):
                        self._adopted[alias.origin] = alias.root
                    break
            named.append(kept)
        return named, {**records, **await self._incomplete(list(records.values()))}

    async def _incomplete(self, records: Sequence[DocumentRecord]) -> dict[str, DocumentRecord]:
        """Return the records of documents that are to be stored again, as those of no content.

        A writer that was taken for dead while it lived, and was then killed, may leave a record
        whose chunks are gone.
        """
        found = await self._pipeline.index.incomplete(records) if records else []
        if found:
            logger.warning("Chunks of %d documents are gone; they are stored again.", len(found))
        return {record.uri: replace(record, content_hash="", stamp="") for record in found}

    async def _records(self, uris: Sequence[str]) -> dict[str, DocumentRecord]:
        if not uris:
            return {}
        found = await self._pipeline.index.records(uris, tenant=self._pipeline.tenant)
        return {record.uri: record for record in found}

    async def _flush(self) -> None:
        batch, self._batch = self._batch, []
        if not batch:
            return
        if self._options.dry_run:
            await asyncio.to_thread(self._count, batch)
        else:
            await self._store(batch)

    async def _store(self, batch: list[Entry]) -> None:
        try:
            with _stage("embed", batch):
                entries, kept = await self._with_vectors(batch)
            with _stage("commit", batch):
                await self._pipeline.index.commit(entries)
        except _FATAL:
            raise
        except Exception as error:  # noqa: BLE001 - an embedder may raise anything
            await self._retry_or_fail(batch, error)
            return
        self._provider_errors = self._other_errors = 0
        self._report.kept += kept
        for entry in entries:
            self._done(entry)

    async def _with_vectors(self, batch: list[Entry]) -> tuple[list[Entry], int]:
        if self._pipeline.embedder is None:
            return batch, 0
        vectors = EntryVectors(
            embedder=self._pipeline.embedder,
            index=self._pipeline.index,
            tenant=self._pipeline.tenant,
            on_progress=self._pipeline.on_progress,
        )
        updated = [entry.record.uri for entry in batch if entry.record.uri in self._known]
        entries, counts = await vectors.added(batch, updated)
        truncated = [uri for uri in counts.truncated if uri not in self._report.truncated]
        self._report.truncated.extend(truncated)
        return entries, counts.kept

    async def _retry_or_fail(self, batch: list[Entry], error: Exception) -> None:
        """Store the documents of a failed batch one by one, where one of them may be at fault."""
        is_provider = isinstance(error, ProviderError) and error.failure != "rejected"
        if len(batch) > 1 and not is_provider:
            for entry in batch:
                if not self._report.stopped:
                    await self._store([entry])
            return
        for entry in batch:
            self._fail(entry.record.uri, error)
        if is_provider:
            self._provider_errors += 1
        elif not isinstance(error, InputError):
            self._other_errors += 1
        if self._provider_errors >= PROVIDER_ERRORS or self._other_errors >= OTHER_ERRORS:
            self._report.stopped = f"Stopped after repeated failures, the last: {_described(error)}"

    def _done(self, entry: Entry) -> None:
        uri = entry.record.uri
        (self._report.updated if uri in self._known else self._report.added).append(uri)
        self._report.chunks += len(entry.chunks)
        pages = entry.chunks[0].metadata.get("pages_without_text") if entry.chunks else None
        if isinstance(pages, int):
            self._report.unread_pages[uri] = pages

    def _count(self, batch: Sequence[Entry]) -> None:
        """Count what a dry run would embed."""
        embedder = self._pipeline.embedder
        for entry in batch:
            self._done(entry)
            if embedder is not None:
                texts = (passage_text(chunk, embedder.tokenizer) for chunk in entry.chunks)
                self._report.tokens += sum(len(embedder.tokenizer.token_starts(t)) for t in texts)

    async def _delete_gone(self) -> None:
        index, tenant = self._pipeline.index, self._pipeline.tenant
        plan = SyncPlan(
            index=index,
            stream=self._stream,
            tenant=tenant,
            present=self._present,
            adopted=self._adopted,
            force=self._options.force,
        )
        found = await plan.deletions()
        if found.uris and not self._options.dry_run:
            with Operation(kind="ingestion stage", name="delete"):
                await index.delete(found.uris, tenant=tenant)
        self._report.deleted.extend(found.uris)
        self._report.failed.extend(found.refused)

    def _fail(self, uri: str, error: Exception) -> None:
        if not isinstance(error, RagkitError):
            logger.warning("%r failed.", uri, exc_info=error)
        self._report.failed.append(FailedDocument(uri=uri, reason=_described(error)))

    def _findings(self) -> list[FailedDocument]:
        """Return what the stream found that could not become a source."""
        failed = list(self._stream.failed)
        for walk in self._stream.walks:
            self._report.skipped.extend(walk.skipped)
            failed.extend(walk.failed)
            if walk.skipped and not walk.found:
                failed.append(walk.unread())
        for listing in self._stream.listings:
            self._report.skipped.extend(listing.skipped)
            failed.extend(listing.failed)
        return failed


def _stage(name: str, batch: Sequence[Entry]) -> Operation:
    chunks = sum(len(entry.chunks) for entry in batch)
    return Operation(
        kind="ingestion stage", name=name, facts={"documents": len(batch), "chunks": chunks}
    )


def _described(error: Exception) -> str:
    return str(error) if isinstance(error, RagkitError) else f"{type(error).__name__}: {error}"
