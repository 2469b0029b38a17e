"""Doubles for tests of ingestion: a counting embedder, a watched index, a hostile loader."""

import ctypes
import logging
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ragkit.core.protocols import Embedder, Entry
from ragkit.core.settings import IndexSettings
from ragkit.core.types import (
    DEFAULT_TENANT,
    Chunk,
    Document,
    DocumentRecord,
    FloatArray,
    Task,
)
from ragkit.index.build import identity_for
from ragkit.index.memory import MemoryIndex
from ragkit.ingest.chunkers.recursive import RecursiveChunker
from ragkit.ingest.pipeline import Pipeline, RunOptions
from ragkit.ingest.report import IngestReport
from ragkit.ingest.sources import (
    FileReader,
    PathPatterns,
    SourceItem,
    SourceOptions,
    SourceStream,
)
from ragkit.testing.embedder import HashEmbedder


def never(text: str) -> Exception | None:
    """Let every text be embedded."""
    del text
    return None


class CountingEmbedder(HashEmbedder):
    """A double that keeps the texts it embedded, and may fail on some."""

    def __init__(
        self, fails: Callable[[str], Exception | None] = never, *, max_tokens: int = 256
    ) -> None:
        """Configure for which texts `embed` raises what, and how many tokens it reads."""
        super().__init__(dimensions=64, max_tokens=max_tokens)
        self.texts: list[str] = []
        self._fails = fails

    async def embed(
        self,
        texts: Sequence[str],
        *,
        task: Task = "passage",
        on_truncated: Callable[[int, int], None] | None = None,
    ) -> FloatArray:
        """Embed texts as `HashEmbedder` does, or fail."""
        for text in texts:
            if error := self._fails(text):
                raise error
        self.texts += texts
        return await super().embed(texts, task=task, on_truncated=on_truncated)


class WatchedIndex(MemoryIndex):
    """A memory index that keeps the calls of its methods, and may fail in some."""

    def __init__(self, embedder: Embedder) -> None:
        """Start empty, for the vectors of an embedder."""
        super().__init__(identity_for(embedder, IndexSettings()))
        self.calls: list[str] = []
        self.looked_up: list[str] = []
        self.failures: dict[str, Exception] = {}

    def _called(self, name: str) -> None:
        self.calls.append(name)
        if error := self.failures.get(name):
            raise error

    async def records(
        self,
        uris: Sequence[str] | None = None,
        *,
        tenant: str | None = DEFAULT_TENANT,
        source: str | None = None,
    ) -> list[DocumentRecord]:
        """Return records; a call for all of them is kept as such."""
        self._called("all records" if uris is None and source is None else "records")
        self.looked_up += uris or []
        return await super().records(uris, tenant=tenant, source=source)

    async def chunks(self, uris: Sequence[str], *, tenant: str = DEFAULT_TENANT) -> list[Chunk]:
        """Return chunks."""
        self._called("chunks")
        return await super().chunks(uris, tenant=tenant)

    async def commit(self, entries: Sequence[Entry]) -> None:
        """Store documents."""
        self._called("commit")
        await super().commit(entries)

    async def incomplete(self, records: Sequence[DocumentRecord]) -> list[DocumentRecord]:
        """Return records whose chunks are not all there."""
        self._called("incomplete")
        return await super().incomplete(records)

    async def touch(self, records: Sequence[DocumentRecord]) -> None:
        """Overwrite records."""
        self._called("touch")
        await super().touch(records)

    async def delete(self, uris: Sequence[str], *, tenant: str = DEFAULT_TENANT) -> int:
        """Remove documents."""
        self._called("delete")
        return await super().delete(uris, tenant=tenant)


class IngestBench:
    """A pipeline over a watched index with a counting embedder."""

    def __init__(self, reader: FileReader | None = None) -> None:
        """Start with an empty index; the reader is that of all runs."""
        self.embedder = CountingEmbedder()
        self.index = WatchedIndex(self.embedder)
        self.reader = reader or FileReader()
        self._pipeline = Pipeline(
            index=self.index,
            chunker=RecursiveChunker(self.embedder.tokenizer, chunk_tokens=50),
            embedder=self.embedder,
        )

    async def ingest(
        self,
        *items: SourceItem,
        source: str | None = None,
        patterns: PathPatterns | None = None,
        run: RunOptions | None = None,
    ) -> IngestReport:
        """Ingest items in one run."""
        options = SourceOptions(
            reader=self.reader, source=source, patterns=patterns or PathPatterns()
        )
        return await self._pipeline.run(SourceStream(items, options), run)

    async def uris(self) -> list[str]:
        """Return the uris of the stored documents, in order."""
        return sorted(record.uri for record in await self.index.records())


@dataclass(frozen=True, slots=True, kw_only=True)
class HostileLoader:
    """A loader whose documents say what they do to the process that loads them."""

    identity: str = "hostile-1"

    def load(self, data: bytes, *, uri: str) -> Document:
        """Do what the document says; return one of it if that leaves the process whole."""
        match data:
            case b"hang":
                re.match("(a+)+$", "a" * 60 + "b")  # in C, where no Python thread runs
            case b"explode":
                _ = [bytearray(2**24) for _ in range(2**14)]
            case b"crash":
                ctypes.string_at(0)
            case b"exit":
                os._exit(3)
            case b"print":
                print("text on the stream of answers", flush=True)  # noqa: T201 - the attack
            case b"raise":
                raise ZeroDivisionError("a bug in a library")
            case b"log":
                logging.getLogger("hostile").warning("A part of %r was left out.", uri)
            case _:
                pass
        return Document.from_text(data.decode(), uri=uri)
