"""The writing of prepared documents in batches: one is embedded while the one before is stored."""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence

from ragkit.core.errors import (
    ConfigError,
    IndexMismatch,
    InputError,
    MissingExtraError,
    ProviderError,
    RagkitError,
)
from ragkit.core.operation import Operation
from ragkit.core.protocols import Entry, Index
from ragkit.ingest.report import FailedDocument, IngestReport
from ragkit.ingest.vectors import EntryVectors, embedded_spans

logger = logging.getLogger(__name__)

PROVIDER_ERRORS = 3
"""Batches in a row that a store or model may fail before a run stops."""
OTHER_ERRORS = 10
"""Documents in a row that may fail to be embedded or stored for other reasons."""
FATAL = (ConfigError, MissingExtraError, IndexMismatch)
"""Errors that no document is to blame for, and that end a run."""
_IN_FLIGHT = 2
"""Batches that are being embedded or stored; a document more, and its reading waits."""


class EntryWriter:
    """Embeds and stores documents, and reports what became of each."""

    def __init__(
        self,
        report: IngestReport,
        *,
        index: Index,
        vectors: EntryVectors | None,
        batch_chunks: int,
    ) -> None:
        """Configure; without `vectors` the documents get none."""
        self._report = report
        self._index, self._vectors, self._batch_chunks = index, vectors, batch_chunks
        self._batch: list[Entry] = []
        self._known: set[str] = set()
        self._tasks: deque[asyncio.Task[None]] = deque()
        self._embedding, self._storing = asyncio.Lock(), asyncio.Lock()
        self._provider_errors = self._other_errors = 0

    async def add(self, entry: Entry, *, is_known: bool) -> None:
        """Take a document, and wait while too many others are being written.

        Raises:
            RagkitError: An earlier batch showed that no document can be written.
        """
        if is_known:
            self._known.add(entry.record.uri)
        self._batch.append(entry)
        if sum(len(one.chunks) for one in self._batch) >= self._batch_chunks:
            await self._begin()

    async def finish(self) -> None:
        """Write what was taken.

        Raises:
            RagkitError: A batch showed that no document can be written.
        """
        await self._begin()
        while self._tasks:
            await self._oldest()

    async def close(self) -> None:
        """Give up what is not written yet."""
        tasks, self._tasks = self._tasks, deque()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _begin(self) -> None:
        batch, self._batch = self._batch, []
        if not batch:
            return
        while len(self._tasks) >= _IN_FLIGHT:
            await self._oldest()
        job = self._counted if self._report.dry_run else self._written
        self._tasks.append(asyncio.create_task(job(batch)))

    async def _oldest(self) -> None:
        await asyncio.wait([self._tasks[0]])
        self._tasks.popleft().result()

    async def _written(self, batch: list[Entry]) -> None:
        try:
            async with self._embedding:
                if self._report.stopped:
                    return
                with _stage("embed", batch):
                    entries, kept = await self._with_vectors(batch)
            async with self._storing:
                with _stage("commit", batch):
                    await self._index.commit(entries)
                    if self._vectors is not None:
                        self._vectors.stored([entry.record for entry in entries])
        except FATAL:
            raise
        except Exception as error:  # noqa: BLE001 - an embedder may raise anything
            await self._retry_or_fail(batch, error)
            return
        self._provider_errors = self._other_errors = 0
        self._report.kept += kept
        for entry in entries:
            self._done(entry)

    async def _with_vectors(self, batch: list[Entry]) -> tuple[list[Entry], int]:
        if self._vectors is None:
            return batch, 0
        updated = [entry.record.uri for entry in batch if entry.record.uri in self._known]
        entries, counts = await self._vectors.added(batch, updated)
        truncated = [uri for uri in counts.truncated if uri not in self._report.truncated]
        self._report.truncated.extend(truncated)
        self._report.resumed += counts.resumed
        return entries, counts.kept

    async def _retry_or_fail(self, batch: list[Entry], error: Exception) -> None:
        """Store the documents of a failed batch one by one, where one of them may be at fault."""
        is_provider = isinstance(error, ProviderError) and error.failure != "rejected"
        if len(batch) > 1 and not is_provider:
            for entry in batch:
                await self._written([entry])
            return
        for entry in batch:
            self.fail(entry.record.uri, error)
        if is_provider:
            self._provider_errors += 1
        elif not isinstance(error, InputError):
            self._other_errors += 1
        if self._provider_errors >= PROVIDER_ERRORS or self._other_errors >= OTHER_ERRORS:
            self._report.stopped = stopped_by(error)

    def _done(self, entry: Entry) -> None:
        uri = entry.record.uri
        (self._report.updated if uri in self._known else self._report.added).append(uri)
        self._report.chunks += len(entry.chunks)
        pages = entry.chunks[0].metadata.get("pages_without_text") if entry.chunks else None
        if isinstance(pages, int):
            self._report.unread_pages[uri] = pages

    async def _counted(self, batch: Sequence[Entry]) -> None:
        """Count what a dry run would embed."""
        tokens = 0 if self._vectors is None else await asyncio.to_thread(self._tokens, batch)
        self._report.tokens += tokens
        for entry in batch:
            self._done(entry)

    def _tokens(self, batch: Sequence[Entry]) -> int:
        assert self._vectors is not None
        embedder = self._vectors.embedder
        chunks = [chunk for entry in batch for chunk in entry.chunks]
        spans = embedded_spans(chunks, embedder)
        texts = {(one.uri, span.text) for one, span in zip(chunks, spans, strict=True)}
        return sum(len(embedder.tokenizer.token_starts(text)) for _, text in texts)

    def fail(self, uri: str, error: Exception) -> None:
        """Report a document that failed."""
        if not isinstance(error, RagkitError):
            logger.warning("%r failed.", uri, exc_info=error)
        self._report.failed.append(FailedDocument(uri=uri, reason=described(error)))


def _stage(name: str, batch: Sequence[Entry]) -> Operation:
    chunks = sum(len(entry.chunks) for entry in batch)
    return Operation(
        kind="ingestion stage", name=name, facts={"documents": len(batch), "chunks": chunks}
    )


def stopped_by(error: Exception) -> str:
    """Return why a run stops that a store or model failed again and again."""
    return f"Stopped after repeated failures, the last: {described(error)}"


def described(error: Exception) -> str:
    """Return an error's message, with its type where it is none of ragkit's."""
    return str(error) if isinstance(error, RagkitError) else f"{type(error).__name__}: {error}"
