"""The preparation of documents ahead of their writing: several at the same time, in their order."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from ragkit.core.operation import Operation
from ragkit.core.protocols import Entry
from ragkit.core.types import DocumentRecord, Json
from ragkit.ingest.engine import DocumentPool
from ragkit.ingest.preparation import Preparation, ReadSource
from ragkit.ingest.sources.source import DocumentSource

if TYPE_CHECKING:
    from ragkit.ingest.context_lines import ContextLines


class KnownSource(NamedTuple):
    """A source, with the record of the version that is stored."""

    source: DocumentSource
    record: DocumentRecord | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedSource:
    """A source's new version, the record of an unchanged one, or the error of one that failed."""

    known: KnownSource
    made: Entry | DocumentRecord | Exception


class Prefetch:
    """Prepares sources, as many at the same time as there are processes for it, and one more.

    Whatever is done in this process, reading, loading and chunking, is done for one document at a
    time: archives, metadata functions, loaders and chunkers need not be safe for threads.
    """

    def __init__(
        self,
        preparation: Preparation,
        pool: DocumentPool,
        *,
        on_wait: Callable[[DocumentSource], None],
        lines: "ContextLines | None" = None,
    ) -> None:
        """Configure.

        Args:
            preparation: Of each source.
            pool: Processes that load documents.
            on_wait: Called with each source before its result is awaited.
            lines: Writes the context lines, where a model does.
        """
        self._preparation, self._pool, self._on_wait = preparation, pool, on_wait
        self._lines = lines
        self._here = asyncio.Lock()

    async def prepared(self, sources: AsyncIterable[KnownSource]) -> AsyncGenerator[PreparedSource]:
        """Yield the prepared sources; what is prepared ahead is dropped when this is closed."""
        ahead: deque[tuple[KnownSource, asyncio.Task[Entry | DocumentRecord]]] = deque()
        try:
            async for known in sources:
                if not ahead and (record := self._unchanged(known)) is not None:
                    self._on_wait(known.source)
                    yield PreparedSource(known=known, made=record)
                    continue
                ahead.append((known, asyncio.create_task(self._prepared(known))))
                if len(ahead) > self._pool.workers + 1:
                    yield await self._next(ahead)
            while ahead:
                yield await self._next(ahead)
        finally:
            tasks = [task for _, task in ahead]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _unchanged(self, known: KnownSource) -> DocumentRecord | None:
        """Return the record where that is sure at once; an error comes again where it counts."""
        source, record = known
        try:
            is_unchanged = record and self._preparation.is_unchanged(source, record)
        except Exception:  # noqa: BLE001 - of the metadata function
            return None
        return record if is_unchanged else None

    async def _next(
        self, ahead: deque[tuple[KnownSource, asyncio.Task[Entry | DocumentRecord]]]
    ) -> PreparedSource:
        known, task = ahead[0]
        self._on_wait(known.source)
        await asyncio.wait([task])
        ahead.popleft()
        error = task.exception()
        if error is None:
            return PreparedSource(known=known, made=task.result())
        if not isinstance(error, Exception):
            raise error
        return PreparedSource(known=known, made=error)

    async def _prepared(self, known: KnownSource) -> Entry | DocumentRecord:
        content: dict[str, Callable[[], Json]] = {"document": lambda: known.source.uri}
        with Operation(kind="ingestion stage", name="prepare", content=content):
            made = await self._made(known)
        if self._lines is None or not isinstance(made, Entry):
            return made
        with Operation(kind="ingestion stage", name="context", content=content):
            return await self._lines.added(made, is_known=known.record is not None)

    async def _made(self, known: KnownSource) -> Entry | DocumentRecord:
        async with self._here:
            made = await asyncio.to_thread(self._prepared_here, known)
        if not isinstance(made, ReadSource):
            return made
        loaded = await self._pool.load(made)
        if isinstance(loaded, Entry):
            return loaded
        async with self._here:
            return await asyncio.to_thread(self._preparation.entry, made, loaded)

    def _prepared_here(self, known: KnownSource) -> Entry | DocumentRecord | ReadSource:
        """Read a source, and prepare it unless a process of the pool loads it."""
        source, record = known
        if record and self._preparation.is_unchanged(source, record):
            return record
        read = self._preparation.read(source, record)
        if isinstance(read, DocumentRecord) or self._pool.takes(read.opened.load):
            return read
        return self._preparation.entry(read, read.opened.load())
