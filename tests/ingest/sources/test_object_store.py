"""File systems of fsspec: known by their listing, and deleted once they are surely gone."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
from fsspec import register_implementation
from fsspec.implementations.memory import MemoryFileSystem

from ragkit import ConfigError, InputError
from ragkit.ingest.deletion import MASS_DELETION
from ragkit.ingest.pipeline import RunOptions
from ragkit.ingest.sources import ObjectStore, PathPatterns
from ragkit.ingest.sources.object_store import stamp_of
from ragkit.testing.ingestion import IngestBench

SYNC = RunOptions(sync=True)
FORCED = RunOptions(sync=True, force=True)


class Bucket(MemoryFileSystem):
    """A store in memory that says ETags, keeps what is read, and may fail to list a folder."""

    protocol = "bucket"
    reads: ClassVar[list[str]] = []
    closed: ClassVar[set[str]] = set()
    cachable = False

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return super()._strip_protocol(path.replace("bucket://", "memory://"))

    def ls(self, path: str, detail: bool = True, **options: Any) -> Any:
        """List a folder with ETags."""
        if path.strip("/") in self.closed:
            raise PermissionError(13, f"Access denied to {path} at bucket://user:secret-word@host")
        found = super().ls(path, detail=True, **options)
        for one in found:
            if one["type"] == "file":
                one["ETag"] = f'"{hash(self.store[one["name"]].getvalue())}"'
        return found if detail else [one["name"] for one in found]

    def cat_file(self, path: str, *arguments: Any, **options: Any) -> Any:
        """Read a file."""
        self.reads.append(path)
        return super().cat_file(path, *arguments, **options)


@pytest.fixture(autouse=True)
def bucket() -> Iterator[Bucket]:
    register_implementation("bucket", Bucket, clobber=True)
    found = Bucket()
    found.store.clear()
    found.pseudo_dirs[:] = [""]
    Bucket.reads.clear()
    yield found
    Bucket.closed.clear()
    found.store.clear()


def put(bucket: Bucket, **texts: str) -> None:
    for name, text in texts.items():
        bucket.pipe_file(f"/b/{name.replace('__', '/')}.md", text.encode())


@pytest.fixture
def bench() -> IngestBench:
    return IngestBench()


async def test_unchanged_files_are_not_read_and_those_gone_are_deleted(
    bench: IngestBench, bucket: Bucket
) -> None:
    put(bucket, docs__a="alpha", docs__b="beta", docs__sub__c="gamma", other__d="delta")
    bucket.pipe_file("/b/docs/logo.png", b"\x89PNG")
    bucket.pipe_file("/b/docs/.git/config.md", b"hidden")
    report = await bench.ingest("bucket://b/docs", "bucket://b/other/", ("note", "in code"))
    base = "bucket://b/docs"
    assert report.added == [f"{base}/a.md", f"{base}/b.md", f"{base}/sub/c.md",
                            "bucket://b/other/d.md", "note"]  # fmt: skip
    assert report.skipped == [f"{base}/logo.png"]
    Bucket.reads.clear()
    put(bucket, docs__b="beta, changed")
    bucket.rm_file("/b/docs/a.md")
    bucket.rm_file("/b/other/d.md")
    report = await bench.ingest(base, run=SYNC)
    assert (report.updated, report.deleted) == ([f"{base}/b.md"], [f"{base}/a.md"])
    assert Bucket.reads == ["/b/docs/b.md"]
    assert await bench.uris() == sorted(
        [f"{base}/b.md", f"{base}/sub/c.md", "bucket://b/other/d.md", "note"]
    )


async def test_a_file_has_one_uri_from_whichever_folder_it_is_ingested(
    bench: IngestBench, bucket: Bucket
) -> None:
    put(bucket, docs__a="alpha", docs__sub__b="beta")
    await bench.ingest("bucket://b/docs")
    for url in ("bucket://b/", "bucket://b/docs/sub", "bucket://b/docs/a.md"):
        assert (await bench.ingest(url, run=SYNC)).failed == []
    assert await bench.uris() == ["bucket://b/docs/a.md", "bucket://b/docs/sub/b.md"]
    assert len(Bucket.reads) == 2


async def test_patterns_and_a_name_choose_files_and_uris(
    bench: IngestBench, bucket: Bucket
) -> None:
    put(bucket, docs__a="alpha", docs__sub__b="beta")
    only = PathPatterns.of(include=["/sub/"])
    report = await bench.ingest("bucket://b/docs", source="handbook", patterns=only)
    assert report.added == ["handbook/sub/b.md"]
    bucket.rm_file("/b/docs/sub/b.md")
    put(bucket, docs__sub__x="x")
    report = await bench.ingest("bucket://b/docs", source="handbook", patterns=only, run=SYNC)
    assert report.deleted == ["handbook/sub/b.md"]


@pytest.mark.parametrize("closed", ["b", "b/docs", "b/docs/sub"])
async def test_a_folder_that_cannot_be_listed_deletes_nothing_even_by_force(
    bench: IngestBench, bucket: Bucket, closed: str
) -> None:
    put(bucket, docs__a="alpha", docs__sub__b="beta")
    await bench.ingest("bucket://b")
    bucket.rm_file("/b/docs/a.md")
    Bucket.closed.add(closed)
    report = await bench.ingest("bucket://b", ("note", "in the same run"), run=FORCED)
    assert report.deleted == []
    assert "PermissionError: [Errno 13] Access denied" in report.failed[0].reason
    assert "secret-word" not in report.failed[0].reason


async def test_a_folder_that_is_gone_and_a_mass_deletion_delete_nothing(
    bench: IngestBench, bucket: Bucket
) -> None:
    put(bucket, **{f"docs__{number}": "words" for number in range(MASS_DELETION)})
    put(bucket, docs__keep="words")
    await bench.ingest("bucket://b/docs")
    for number in range(MASS_DELETION):
        bucket.rm_file(f"/b/docs/{number}.md")
    report = await bench.ingest("bucket://b/docs", run=SYNC)
    assert "10 of 11 are gone" in report.failed[0].reason
    bucket.rm("/b/docs", recursive=True)
    with pytest.raises(InputError, match="There is nothing at 'bucket://b/docs'"):
        await bench.ingest("bucket://b/docs", run=FORCED)
    assert len(await bench.uris()) == MASS_DELETION + 1


async def test_a_file_that_is_too_large_or_gone_meanwhile_is_its_own_failure(
    bench: IngestBench, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    object.__setattr__(bench.reader, "max_bytes", 100)
    put(bucket, a="words", b="x" * 101, c="gone meanwhile")
    listed = Bucket.ls

    def lying(self: Bucket, path: str, detail: bool = True, **options: Any) -> Any:
        return [{**one, "size": None} for one in listed(self, path, detail, **options)]

    for claims in (listed, lying):
        monkeypatch.setattr(Bucket, "ls", claims)
        report = await bench.ingest("bucket://b", run=RunOptions(dry_run=True))
        assert report.added == ["bucket://b/a.md", "bucket://b/c.md"]
        assert "ingest.max_file_mb" in report.failed[0].reason


async def test_a_local_file_system_is_known_by_its_times(
    bench: IngestBench, tmp_path: Path
) -> None:
    (tmp_path / "a.md").write_text("alpha")
    os.utime(tmp_path / "a.md", (1, 1))
    url = f"file://{tmp_path}"
    report = await bench.ingest(url)
    assert report.added == [f"{url}/a.md"]
    (record,) = await bench.index.records()
    assert record.stamp == "stored:5:1.0"
    (tmp_path / "a.md").write_text("other")
    assert (await bench.ingest(url)).updated == [f"{url}/a.md"]
    (record,) = await bench.index.records()
    assert record.stamp == ""  # just written: another write could have the same time


async def test_a_store_that_says_nothing_is_compared_by_content(bench: IngestBench) -> None:
    MemoryFileSystem().pipe_file("/m/a.md", b"words")
    assert (await bench.ingest("memory://m")).added == ["memory://m/a.md"]
    embedded = len(bench.embedder.texts)
    assert (await bench.ingest("memory://m")).unchanged == ["memory://m/a.md"]
    assert len(bench.embedder.texts) == embedded


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"size": 1, "ETag": '"x"', "LastModified": "now"}, 'stored:1:ETag="x"'),
        ({"size": 1, "etag": "x", "generation": "7"}, "stored:1:etag=x:generation=7"),
        ({"size": 1, "updated": "2024-01-01T00:00:00.123Z"}, "stored:1:2024-01-01T00:00:00.123Z"),
        ({"size": 1, "created": 5.0}, ""),
        ({"size": 1}, ""),
    ],
)
def test_a_stamp_is_of_what_changes_with_the_content(
    facts: Mapping[str, object], expected: str
) -> None:
    assert stamp_of(facts) == expected


async def test_stores_that_cannot_be_read_are_errors(bench: IngestBench) -> None:
    with pytest.raises(ConfigError, match=r"'gs://b/docs' needs another package: .*gcsfs"):
        await bench.ingest("gs://b/docs")
    with pytest.raises(InputError, match="'nope://b' cannot be read: Protocol not known: nope"):
        await bench.ingest("nope://user:secret-word@b")
    with pytest.raises(InputError, match="is a chain of file systems"):
        await bench.ingest("zip://x.md::bucket://b/a.zip")
    assert "secret-word" not in repr(ObjectStore(url="sftp://user:secret-word@host/x"))
