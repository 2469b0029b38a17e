"""Ingestion in the background: progress, one row for each document, cancelling, a dry run."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias

from ragkit.core.errors import InputError
from ragkit.core.progress import Progress
from ragkit.core.settings import Settings
from ragkit.core.types import Document
from ragkit.ingest.report import FailedDocument, IngestReport
from ragkit.sdk import AsyncRAG
from ragkit.ui.background import Job
from ragkit.ui.uploads import Upload, read_uploads
from ragkit.ui.workspace import Workspace

Outcome: TypeAlias = Literal[
    "reading", "added", "updated", "unchanged", "deleted", "skipped", "failed", "cancelled"
]
_READ = "read"
_NO_LOADER = "No loader reads this format."
_UNREAD = "Pages without text, most likely scans: {}. The setting ingest.ocr reads them."
_CUT = "A passage is longer than the embedding model reads and was cut."


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A document of an ingestion: its outcome so far, and why where that needs a word."""

    uri: str
    outcome: Outcome
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The counts of an ingestion so far.

    Attributes:
        files: Number of documents read.
        files_total: Number of those found.
        chunks: Number of passages embedded.
        item: Uri of the present document.
        growing: Whether more documents may be found.
        chunks_per_s: Passages embedded in a second; None until it is known.
        left_s: Seconds that the rest will take at the present speed; None until it is known.
    """

    files: int
    files_total: int
    chunks: int
    item: str
    growing: bool = False
    chunks_per_s: float | None = None
    left_s: float | None = None

    @property
    def share(self) -> float:
        """Documents read of all, 0 to 1."""
        return min(1.0, self.files / self.files_total) if self.files_total else 0.0


class ProgressLog:
    """Adds up what an ingestion reports."""

    def __init__(self) -> None:
        """Start with nothing."""
        self.rows: dict[str, Row] = {}
        self._read = Progress(phase=_READ, done=0, total=0)
        self._rate: float | None = None
        self._embedded = self._batch = 0
        self._item = ""

    def __call__(self, step: Progress) -> None:
        """Take in a step; the counts of each batch of passages begin at 0 again."""
        self._item = str(step.item) or self._item
        if step.phase == _READ:
            self._read = step
            if step.item and str(step.item) not in self.rows:
                self.rows[str(step.item)] = Row(uri=str(step.item), outcome="reading")
            return
        if step.done < self._batch:
            self._embedded += self._batch
        self._batch, self._rate = step.done, step.rate

    @property
    def status(self) -> Status:
        """The counts so far."""
        return Status(
            files=self._read.done,
            files_total=self._read.total,
            chunks=self._embedded + self._batch,
            item=self._item,
            growing=self._read.growing,
            chunks_per_s=self._rate,
            left_s=self._read.left_s,
        )


class Ingestion:
    """One ingestion of this process: uploads, or a file or folder of this machine."""

    def __init__(
        self,
        workspace: Workspace,
        *,
        uploads: Sequence[Upload] = (),
        path: Path | None = None,
        dry_run: bool = False,
    ) -> None:
        """Start; a dry run reports what would be done, and does nothing."""
        self._workspace, self._uploads, self._path = workspace, uploads, path
        self.dry_run = dry_run
        self._log = ProgressLog()
        self._before: dict[str, str] = {}
        self._failed: tuple[FailedDocument, ...] = ()
        self.job = Job(self._run)

    @property
    def status(self) -> Status:
        """The counts so far."""
        return self._log.status

    def rows(self) -> list[Row]:
        """Return one row for each document, then one for each upload that could not be read."""
        rows = dict(self._log.rows)
        if self.job.result is not None:
            rows = outcome_rows(self.job.result, rows)
        elif not self.job.running:
            after = {record.uri: record.generation for record in self._workspace.documents()}
            rows = {uri: self._ended(row, after) for uri, row in rows.items()}
        failed = [Row(uri=one.uri, outcome="failed", reason=one.reason) for one in self._failed]
        return [*rows.values(), *failed]

    def cancel(self) -> None:
        """Stop; what was stored stays."""
        self.job.cancel()
        self._workspace.revision += 1

    async def _run(self) -> IngestReport:
        rag = await self._rag()
        sources: list[Path | Document] = [self._path] if self._path is not None else []
        folder = None if self.dry_run else self._workspace.uploads
        read = await asyncio.to_thread(read_uploads, folder, self._uploads, rag.settings.ingest)
        self._failed = read.failed
        try:
            return await rag.ingest(*sources, *read.documents, dry_run=self.dry_run)
        finally:
            self._workspace.revision += 1
            if self._workspace.models.failures:
                self._workspace.models.retry()  # the index may be there now

    async def _rag(self) -> AsyncRAG:
        """Return the SDK that ingests into the open index; note the versions that are there.

        A dry run into an index that does not exist has one of its own, which creates nothing.
        """
        base, settings = self._workspace.rag, _without_model(self._workspace.settings)
        try:
            index = await base.index(create=not self.dry_run)
        except InputError:
            if not self.dry_run:
                raise
            return AsyncRAG(settings, embedder=base.embedder, on_progress=self._log)
        records = await index.records(tenant=self._workspace.tenant)
        self._before = {record.uri: record.generation for record in records}
        return AsyncRAG(settings, index=index, embedder=base.embedder, on_progress=self._log)

    def _ended(self, row: Row, after: Mapping[str, str]) -> Row:
        """Return what became of a document of a run that did not end by itself."""
        if row.uri in after and after[row.uri] != self._before.get(row.uri):
            return replace(row, outcome="updated" if row.uri in self._before else "added")
        why = self.job.error or "The ingestion was cancelled before this document was stored."
        return replace(row, outcome="failed" if self.job.error else "cancelled", reason=why)


def outcome_rows(report: IngestReport, rows: Mapping[str, Row]) -> dict[str, Row]:
    """Return the rows with the outcomes that a report tells."""
    outcomes: dict[Outcome, Sequence[str]] = {
        "added": report.added,
        "updated": report.updated,
        "unchanged": report.unchanged,
        "deleted": report.deleted,
        "skipped": report.skipped,
    }
    made = dict(rows)
    for outcome, uris in outcomes.items():
        reason = _NO_LOADER if outcome == "skipped" else ""
        made |= {uri: Row(uri=uri, outcome=outcome, reason=reason) for uri in uris}
    for uri in report.truncated:
        made[uri] = replace(made[uri], reason=_CUT)
    for uri, pages in report.unread_pages.items():
        made[uri] = replace(made[uri], reason=_UNREAD.format(pages))
    for failure in report.failed:
        made[failure.uri] = Row(uri=failure.uri, outcome="failed", reason=failure.reason)
    return made


def _without_model(settings: Settings) -> Settings:
    """Return settings without a language model, unless an ingestion asks it."""
    if settings.ingest.context == "model":
        return settings
    without = settings.llm.model_copy(update={"model": None})
    return settings.model_copy(update={"llm": without})
