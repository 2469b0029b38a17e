"""Buckets of S3, read by s3fs from a server on loopback."""

# A test may look inside.
# pyright: reportPrivateUsage=false

import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer
from typer.testing import CliRunner

from ragkit import InputError
from ragkit.cli.main import app
from ragkit.ingest.pipeline import RunOptions
from ragkit.ingest.sources import ObjectStore, object_store
from ragkit.testing.ingestion import IngestBench

SYNC = RunOptions(sync=True)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    """The variables by which every client of S3 finds its keys and its server."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "reader")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret-word")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)


class Bucket:
    """A bucket of its own, written by Amazon's client."""

    def __init__(self, endpoint: str) -> None:
        self.name = f"bucket-{uuid.uuid4().hex[:8]}"
        self.client: Any = boto3.client("s3", endpoint_url=endpoint)
        self.client.create_bucket(Bucket=self.name)

    @property
    def url(self) -> str:
        return f"s3://{self.name}"

    def put(self, texts: Mapping[str, str]) -> None:
        for key, text in texts.items():
            self.client.put_object(Bucket=self.name, Key=key, Body=text.encode())

    def remove(self, key: str) -> None:
        self.client.delete_object(Bucket=self.name, Key=key)


@pytest.fixture
def bucket(endpoint: str) -> Iterator[Bucket]:
    bucket = Bucket(endpoint)
    yield bucket
    bucket.client.close()


@pytest.fixture
def bench() -> IngestBench:
    return IngestBench()


KEYS = ("docs/a.md", "docs/sub/b c#1?.md", "docs/日本語.md", "docs/.hidden/x.md")


async def test_what_is_new_changed_and_gone_is_told_from_the_listing(
    bench: IngestBench, bucket: Bucket
) -> None:
    bucket.put({key: f"The words of {key}" for key in KEYS})
    bucket.put({"docs/empty/": "", "docs/logo.png": "x", "other/d.md": "delta"})
    base = f"{bucket.url}/docs"
    report = await bench.ingest(base)
    assert report.failed == []
    assert sorted(report.added) == sorted([f"{base}/{key[5:]}" for key in KEYS[:3]])
    assert report.skipped == [f"{base}/logo.png"]
    embedded = len(bench.embedder.texts)
    assert len((await bench.ingest(base, run=SYNC)).unchanged) == 3
    assert len(bench.embedder.texts) == embedded
    bucket.put({KEYS[1]: "other words"})
    bucket.remove(KEYS[0])
    report = await bench.ingest(base, run=SYNC)
    assert (report.updated, report.deleted) == ([f"{base}/sub/b c#1?.md"], [f"{base}/a.md"])


async def test_a_bucket_of_several_pages_is_read_whole(
    bench: IngestBench, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "3")
    bucket.put({f"{number}.md": "" for number in range(10)})
    bucket.put({f"sub/{number}.md": "words" for number in range(10)})
    report = await bench.ingest(bucket.url)
    assert report.added == [f"{bucket.url}/sub/{number}.md" for number in range(10)]
    assert len(report.failed) == 10
    assert all("is empty: it holds no text" in one.reason for one in report.failed)


async def test_what_is_missing_or_away_deletes_nothing(
    bench: IngestBench, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put({"docs/a.md": "alpha"})
    await bench.ingest(f"{bucket.url}/docs")
    forced = RunOptions(sync=True, force=True)
    for url in (f"{bucket.url}/nothing", "s3://no-such-bucket/docs"):
        with pytest.raises(InputError, match=f"There is nothing at '{url}'"):
            await bench.ingest(url, run=forced)
    away = ObjectStore(
        url=f"{bucket.url}/docs",
        options={
            "endpoint_url": "http://127.0.0.1:9",
            "secret": "secret-word",
            "key": "reader",
            "config_kwargs": {"retries": {"max_attempts": 0}},
        },
    )
    monkeypatch.setattr("s3fs.core.S3FileSystem.retries", 1)
    report = await bench.ingest(away, ("note", "in the same run"), run=forced)
    assert "Could not connect" in report.failed[0].reason
    assert "secret-word" not in report.failed[0].reason
    assert (report.added, report.deleted) == (["note"], [])
    assert f"{bucket.url}/docs/a.md" in await bench.uris()


async def test_an_object_that_goes_while_it_is_read_is_its_own_failure(
    bench: IngestBench, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put({"a.md": "alpha", "b.md": "beta"})
    walk = object_store._walk

    def overtaken(*arguments: Any) -> Iterator[Mapping[str, object]]:
        found = list(walk(*arguments))
        bucket.remove("a.md")
        return iter(found)

    monkeypatch.setattr(object_store, "_walk", overtaken)
    report = await bench.ingest(bucket.url)
    assert report.added == [f"{bucket.url}/b.md"]
    assert [one.uri for one in report.failed] == [f"{bucket.url}/a.md"]


def test_the_command_reads_a_bucket_with_the_keys_of_the_environment(
    bucket: Bucket, tmp_path: Path
) -> None:
    bucket.put({"docs/a.md": "# Wolf\n\nThe wolf hunts at night."})
    index = ["--index", str(tmp_path / "index")]
    run = CliRunner().invoke(app, ["ingest", f"{bucket.url}/docs", "--sync", *index])
    assert run.exit_code == 0, run.output
    found = CliRunner().invoke(app, ["search", "when does the wolf hunt", *index])
    assert f"{bucket.url}/docs/a.md" in found.output.replace("\n", "")
