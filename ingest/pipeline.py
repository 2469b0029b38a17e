"""The ingestion pipeline: reads, loads, chunks, embeds and commits the documents that changed."""

import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ragkit.core.errors import ConfigError, InputError, RagkitError
from ragkit.core.operation import Operation
from ragkit.core.progress import OnProgress, Progress, paced
from ragkit.core.protocols import LLM, Chunker, Embedder, Entry, Index
from ragkit.core.types import DEFAULT_TENANT, ContextName, DocumentRecord
from ragkit.ingest.deletion import SyncPlan
from ragkit.ingest.engine import IngestionEngine, LocalEngine
from ragkit.ingest.entry_writer import (
    FATAL,
    PROVIDER_ERRORS,
    EntryWriter,
    described,
    stopped_by,
)
from ragkit.ingest.prefetch import KnownSource, Prefetch, PreparedSource
from ragkit.ingest.preparation import Preparation
from ragkit.ingest.report import FailedDocument, IngestReport
from ragkit.ingest.sources.archive import ArchiveMember
from ragkit.ingest.sources.file import FileSource
from ragkit.ingest.sources.lookahead import Lookahead
from ragkit.ingest.sources.root import SourceRoot
from ragkit.ingest.sources.source import DocumentSource
from ragkit.ingest.sources.stream import GROUP, IterableError, SourceStream
from ragkit.ingest.vector_checkpoint import VectorCheckpoints
from ragkit.ingest.vectors import EntryVectors

if TYPE_CHECKING:
    from ragkit.ingest.context_lines import ContextLines

logger = logging.getLogger(__name__)


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

    Without an embedder the index gets no vectors: BM25 search only.

    Attributes:
        context: What is embedded and indexed above each passage.
        llm: The model that writes context lines, where `context` is `"model"`.
        batch_chunks: Number of chunks that are embedded and committed together.
        engine: Where documents are loaded, divided and embedded.
        on_progress: Called at every step.
        checkpoints: Where vectors of large documents are kept until they are stored.
    """

    index: Index
    chunker: Chunker
    embedder: Embedder | None
    tenant: str = DEFAULT_TENANT
    context: ContextName = "headings"
    llm: LLM | None = None
    batch_chunks: int = 512
    engine: IngestionEngine = field(default_factory=LocalEngine)
    on_progress: OnProgress | None = None
    checkpoints: VectorCheckpoints | None = None

    async def run(self, stream: SourceStream, options: RunOptions | None = None) -> IngestReport:
        """Ingest what is new or changed, and report it.

        One document's failure leaves the rest, and its earlier version, as they are. After
        repeated failures of a store or model the run stops and reports what it did.

        Raises:
            InputError: No source was found.
            RagkitError: The store or a setting failed before anything was done.
        """
        return await IngestRun(self, stream, options or RunOptions()).report()

    def context_lines(self, report: IngestReport) -> "ContextLines | None":
        """Return what gives passages their context lines, None where no model writes them.

        Raises:
            ConfigError: A model is needed, and none is set.
        """
        if self.context != "model":
            return None
        if self.llm is None:
            raise ConfigError(
                "ingest.context is 'model', and no language model is set. Fix: set llm.model "
                "(RAGKIT_LLM__MODEL=vllm:http://127.0.0.1:8000), or ingest.context to 'headings'."
            )
        from ragkit.ingest.context_lines import ContextLines  # with the compiler of grammars

        return ContextLines(self.llm, index=self.index, tenant=self.tenant, report=report)


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
            context=pipeline.context,
            take_over=options.force,
            replace_metadata=options.replace_metadata,
        )
        lines = pipeline.context_lines(self._report)
        self._lines = None if options.dry_run else lines
        self._line_errors = 0
        self._adopted: dict[str, SourceRoot] = {}
        self._present: set[str] = set()
        self._touched: list[DocumentRecord] = []
        self._read = 0
        self._cut = ""
        self._listing = Lookahead(stream)
        self._on_progress = paced(pipeline.on_progress)
        self._vectors: EntryVectors | None = None
        if pipeline.embedder is not None:
            self._vectors = EntryVectors(
                embedder=pipeline.engine.embedder(pipeline.embedder),
                index=pipeline.index,
                tenant=pipeline.tenant,
                on_progress=self._on_progress,
                checkpoints=pipeline.checkpoints,
            )
        self._writer = EntryWriter(
            self._report,
            index=pipeline.index,
            vectors=self._vectors,
            batch_chunks=pipeline.batch_chunks,
        )

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
            report.stopped = described(error)
        findings = self._findings()
        if findings and not (self._present or report.failed or report.deleted or report.skipped):
            raise InputError(findings[0].reason)
        report.failed.extend(findings)
        return report

    async def _ingest(self) -> None:
        """Bring the documents of the stream up to date."""
        pool = self._pipeline.engine.pool(self._preparation)
        prefetch = Prefetch(self._preparation, pool, on_wait=self._note_waiting, lines=self._lines)
        try:
            async with (
                aclosing(self._known_sources()) as known,
                aclosing(prefetch.prepared(known)) as prepared,
            ):
                async for one in prepared:
                    await self._take(one)
                    if self._report.stopped:
                        break
            await self._writer.finish()
            await self._touch()
        finally:
            await self._writer.close()
            await pool.close()
            await self._pipeline.engine.close()
            await self._stream.close()
        self._report.stopped = self._report.stopped or self._cut
        self._note_read(self._read, "")

    async def _known_sources(self) -> AsyncGenerator[KnownSource]:
        """Yield the sources with their records, looked up a group at a time."""
        async with aclosing(self._listing.groups()) as groups:
            while True:
                try:
                    group = await anext(groups, None)
                except RagkitError:
                    raise
                except Exception as error:
                    logger.warning("The iterable of sources failed.", exc_info=error)
                    said = str(error) if isinstance(error, IterableError) else described(error)
                    self._cut = f"The iterable of sources failed: {said}"
                    return
                if group is None:
                    return
                named, records = await self._looked_up(group)
                for source in named:
                    yield KnownSource(source, records.get(source.uri))

    def _note_waiting(self, source: DocumentSource) -> None:
        self._note_read(len(self._stream.uris), source.uri)
        self._read += 1

    def _note_read(self, total: int, item: str) -> None:
        if self._on_progress is not None:
            growing = not self._listing.complete
            self._on_progress(
                Progress(phase="read", done=self._read, total=total, item=item, growing=growing)
            )

    async def _take(self, prepared: PreparedSource) -> None:
        """Write a document that changed, and note what became of the others."""
        (source, record), made = prepared.known, prepared.made
        self._present.add(source.uri)
        if isinstance(made, FATAL):
            raise made
        if isinstance(made, Exception):
            self._writer.fail(source.uri, made)
            if self._lines is not None and source.uri in self._lines.failed:
                self._line_errors += 1
                if self._line_errors >= PROVIDER_ERRORS:
                    self._report.stopped = stopped_by(made)
        elif isinstance(made, Entry):
            self._line_errors = 0
            await self._writer.add(made, is_known=record is not None)
        else:
            self._report.unchanged.append(source.uri)
            if record and self._vectors is not None and not self._options.dry_run:
                self._vectors.stored([record])  # a kill may have come before
            if record and made.stamp != record.stamp:
                self._touched.append(made)
            if len(self._touched) >= GROUP:
                await self._touch()

    async def _touch(self) -> None:
        """Store the new stamps of documents that did not change."""
        touched, self._touched = self._touched, []
        if touched and not self._options.dry_run:
            await self._pipeline.index.touch(touched)

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
