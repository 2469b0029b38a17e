"""Collections of one's own: listed, synced, and alone in their failures."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from ragkit import ConfigError, Document
from ragkit.ingest.pipeline import RunOptions
from ragkit.ingest.report import FailedDocument
from ragkit.ingest.sources import FileReader, PathPatterns, SkippedDocument
from ragkit.ingest.sources.collection import Collection, Listed
from ragkit.ingest.sources.item import MemorySource
from ragkit.testing.ingestion import IngestBench

FORCED = RunOptions(sync=True, force=True)


@dataclass(kw_only=True)
class Shelf:
    """A collection of texts by name; an exception among them is raised when it is reached."""

    items: Sequence[str | Exception | Listed]
    name: str = "shelf"
    origin: str = "shelf:1"
    closed: list[bool] = field(default_factory=list[bool])

    def path(self, uri: str) -> str | None:
        return uri.removeprefix("shelf/")

    @contextmanager
    def listing(self, reader: FileReader) -> Generator[Iterator[Listed]]:
        assert reader.registry.knows("a.md")
        yield self._listed()
        self.closed.append(True)

    def _listed(self) -> Iterator[Listed]:
        for item in self.items:
            if isinstance(item, Exception):
                raise item
            if isinstance(item, str):
                document = Document(uri=f"shelf/{item}", title="", text=item, content_hash="")
                yield MemorySource(document=document, origin=self.origin)
            else:
                yield item


@pytest.fixture
def bench() -> IngestBench:
    return IngestBench()


async def test_a_collection_of_ones_own_is_listed_synced_and_closed(bench: IngestBench) -> None:
    shelf = Shelf(items=["a.md", "b.md", SkippedDocument(uri="shelf/c.png")])
    assert isinstance(shelf, Collection)
    report = await bench.ingest(shelf, ("note", "words"))
    assert report.added == ["shelf/a.md", "shelf/b.md", "note"]
    assert (report.skipped, shelf.closed) == (["shelf/c.png"], [True])
    report = await bench.ingest(Shelf(items=["b.md"]), run=FORCED)
    assert (report.deleted, await bench.uris()) == (["shelf/a.md"], ["note", "shelf/b.md"])


async def test_patterns_bind_what_is_listed_skipped_and_deleted(bench: IngestBench) -> None:
    await bench.ingest(Shelf(items=["a.md", "a.txt"]))
    only = PathPatterns.of(include=["*.md"])
    shelf = Shelf(items=["b.md", "b.txt", SkippedDocument(uri="shelf/c.png")])
    report = await bench.ingest(shelf, patterns=only, run=FORCED)
    assert (report.added, report.deleted, report.skipped) == (["shelf/b.md"], ["shelf/a.md"], [])


@pytest.mark.parametrize(
    "fault",
    [
        RuntimeError("down, at ftp://user:secret-word@host"),
        FailedDocument(uri="shelf/x", reason="one part is unreadable"),
    ],
)
async def test_a_listing_that_fails_deletes_nothing_and_leaves_the_others(
    bench: IngestBench, fault: Exception | FailedDocument
) -> None:
    await bench.ingest(Shelf(items=["a.md", "b.md"]))
    report = await bench.ingest(Shelf(items=["b.md", fault]), ("note", "words"), run=FORCED)
    assert (report.added, report.deleted, len(report.failed)) == (["note"], [], 1)
    assert "secret-word" not in report.failed[0].reason
    assert len(await bench.uris()) == 3


async def test_a_wrong_setting_ends_the_run(bench: IngestBench) -> None:
    with pytest.raises(ConfigError, match="is not installed"):
        await bench.ingest(Shelf(items=[ConfigError("x is not installed. Fix: install it")]))
