"""The building of an index again from the documents that are stored in it."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import TypeAlias

from ragkit.core.errors import InputError
from ragkit.core.operation import Operation
from ragkit.core.progress import OnProgress, Progress, paced
from ragkit.core.protocols import Embedder, Entry
from ragkit.core.types import DocumentRecord, IndexIdentity
from ragkit.index.generation import NextGeneration
from ragkit.ingest.redivision import Redivision
from ragkit.ingest.vector_checkpoint import VectorCheckpoints
from ragkit.ingest.vectors import EntryVectors

MAX_PASSES = 20
"""Passes at most over an index that others write to meanwhile."""

_Key: TypeAlias = tuple[str, str]
"""Tenant and uri of a document."""


@dataclass(slots=True, kw_only=True)
class ReindexReport:
    """The outcome of building an index again.

    Attributes:
        changed: Whether a new index took the place of the old one; if not, nothing had changed.
        documents: Number of documents in the index, of all tenants.
        chunks: Number of their chunks.
        written: Number of chunks that this run wrote; an earlier run that broke off wrote others.
        kept: Number of those whose vectors were kept, since model and text are the same.
        divided: Number of documents that this run divided by the new chunker.
        undivided: Uris of documents that keep the chunks of another chunker, since their structure
            is not stored; the next ingestion of their sources divides them.
        truncated: Uris of documents with a passage longer than the model reads.
        seconds: Duration of the run.
    """

    changed: bool = True
    documents: int = 0
    chunks: int = 0
    written: int = 0
    kept: int = 0
    divided: int = 0
    undivided: list[str] = field(default_factory=list[str])
    truncated: list[str] = field(default_factory=list[str])
    seconds: float = 0.0


class Rebuild:
    """One run that builds the next generation of an index, and puts it in its place.

    What others store or delete meanwhile is carried over in further passes, the last of which finds
    nothing more.
    """

    def __init__(
        self,
        generation: NextGeneration,
        *,
        embedder: Embedder,
        redivision: Redivision,
        batch_chunks: int,
        on_progress: OnProgress | None = None,
        checkpoints: VectorCheckpoints | None = None,
    ) -> None:
        """Configure; nothing is read yet."""
        self._generation = generation
        self._embedder, self._redivision = embedder, redivision
        self._batch_chunks, self._on_progress = batch_chunks, paced(on_progress)
        self._checkpoints = checkpoints
        self._report = ReindexReport()
        self._done = self._total = 0
        self._keeps_vectors = _model(generation.current.identity) == _model(generation.identity)

    async def run(self) -> ReindexReport:
        """Build and switch.

        Raises:
            InputError: A document is not whole, or others wrote in every pass.
            RagkitError: The embedder or the store failed. The next run goes on from there.
        """
        with Operation(kind="ingestion stage", name="reindex") as operation:
            if await self._is_due():
                await self._build()
            else:
                self._report.changed = False
        self._report.seconds = operation.seconds
        return self._report

    async def _is_due(self) -> bool:
        """Return whether the settings would give another index."""
        current = self._generation.current
        records = await current.records(tenant=None)
        self._count(records)
        types = {name: self._generation.fields[name] for name in current.fields}
        if current.identity != self._generation.identity or types != current.fields:
            return True
        others = [record for record in records if self._redivision.is_due(record)]
        for tenant, batch in self._batches(others):
            for entry in await self._read(batch, tenant):
                if await asyncio.to_thread(self._redivision.divided, entry) is not None:
                    return True
        return False

    def _count(self, records: Sequence[DocumentRecord]) -> None:
        self._report.documents = len(records)
        self._report.chunks = sum(record.chunks for record in records)
        self._report.undivided = [
            record.uri for record in records if self._redivision.is_due(record)
        ]

    async def _build(self) -> None:
        for _ in range(MAX_PASSES):
            moment, records = await self._generation.snapshot()
            await self._catch_up(records)
            following = await self._generation.following()
            await following.optimize()
            self._count(await following.records(tenant=None))
            if await self._generation.switch(moment):
                return
        raise InputError(
            f"The index was written in each of {MAX_PASSES} passes over it. Fix: stop the "
            "ingestion, and run ragkit reindex again; it goes on from here."
        )

    async def _catch_up(self, records: Sequence[DocumentRecord]) -> None:
        """Make the new index hold the documents that the old one has, by these records."""
        following = await self._generation.following()
        old = _by_key(records)
        new = _by_key(await following.records(tenant=None))
        if gone := [record for key, record in new.items() if key not in old]:
            await following.discard(gone)
        due: list[DocumentRecord] = []
        touched: list[DocumentRecord] = []
        for key, record in old.items():
            built = new.get(key)
            wanted = self._built(record, built)
            if wanted is None:
                due.append(record)
            elif wanted != built:
                touched.append(wanted)
        if touched:
            await following.touch(touched)
        self._total = self._done + sum(record.chunks for record in due)
        for tenant, batch in self._batches(due):
            await self._store(batch, tenant)

    def _built(self, record: DocumentRecord, built: DocumentRecord | None) -> DocumentRecord | None:
        """Return the record that a document is to have which is built already, else None."""
        if built is None:
            return None
        if built.generation == record.generation:
            return record
        wanted = replace(self._redivision.record(record), chunks=built.chunks)
        return wanted if built.generation == wanted.generation else None

    def _batches(
        self, records: Sequence[DocumentRecord]
    ) -> Iterator[tuple[str, list[DocumentRecord]]]:
        """Yield documents of one tenant, of `batch_chunks` chunks or one document at a time."""
        ordered = sorted(records, key=lambda record: (record.tenant, record.uri))
        for tenant, owned in groupby(ordered, key=lambda record: record.tenant):
            batch: list[DocumentRecord] = []
            for record in owned:
                if batch and sum(one.chunks for one in [*batch, record]) > self._batch_chunks:
                    yield tenant, batch
                    batch = []
                batch.append(record)
            yield tenant, batch

    async def _read(self, records: Sequence[DocumentRecord], tenant: str) -> list[Entry]:
        """Return documents as they are stored, without those that others changed meanwhile.

        Raises:
            InputError: One of them is not whole.
        """
        current = self._generation.current
        found = await current.chunks([record.uri for record in records], tenant=tenant)
        chunks = {uri: tuple(owned) for uri, owned in groupby(found, key=lambda one: one.uri)}
        entries: list[Entry] = []
        for record in records:
            own = chunks.get(record.uri, ())
            if {chunk.generation for chunk in own} <= {record.generation} and (
                len(own) == record.chunks
            ):
                entries.append(Entry(record=record, chunks=own, vectors=None))
            elif await current.incomplete([record]):
                raise InputError(
                    f"Chunks of {record.uri!r} are gone. Fix: ragkit verify --repair, with the "
                    "settings that the index was built with."
                )
        return entries

    async def _store(self, records: Sequence[DocumentRecord], tenant: str) -> None:
        """Store documents in the new index."""
        stored = await self._read(records, tenant)
        entries = [await asyncio.to_thread(self._divided, entry) for entry in stored]
        vectors = EntryVectors(
            embedder=self._embedder,
            index=self._generation.current,
            tenant=tenant,
            on_progress=lambda step: self._note(step.done, step.item),
            checkpoints=self._checkpoints,
        )
        uris = [entry.record.uri for entry in entries] if self._keeps_vectors else []
        embedded, counts = await vectors.added(entries, uris)
        await (await self._generation.following()).commit(embedded)
        vectors.stored([entry.record for entry in embedded])
        report = self._report
        report.kept += counts.kept
        report.written += sum(len(entry.chunks) for entry in embedded)
        report.truncated += [uri for uri in counts.truncated if uri not in report.truncated]
        self._done += sum(record.chunks for record in records)
        self._note(0, records[-1].uri)

    def _divided(self, entry: Entry) -> Entry:
        if not self._redivision.is_due(entry.record):
            return entry
        divided = self._redivision.divided(entry)
        self._report.divided += divided is not None
        return divided or entry

    def _note(self, further: int, item: object) -> None:
        if self._on_progress is not None:
            done = min(self._done + further, self._total)
            self._on_progress(
                Progress(phase="reindex", done=done, total=self._total, item=str(item))
            )


def _by_key(records: Sequence[DocumentRecord]) -> dict[_Key, DocumentRecord]:
    return {(record.tenant, record.uri): record for record in records}


def _model(identity: IndexIdentity) -> tuple[str, str, int, str]:
    """Return what the vectors of passages follow from."""
    return identity.embedder, identity.revision, identity.dimensions, identity.passage_prompt
