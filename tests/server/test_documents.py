# A test may look inside.
# pyright: reportPrivateUsage=false

import asyncio
import json
import resource
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from ragkit.core.document_text import text_of
from ragkit.core.progress import OnProgress, Progress
from ragkit.core.settings import IngestSettings, Settings
from ragkit.ingest.report import IngestReport
from ragkit.sdk import AsyncRAG
from ragkit.server.app import ServerOptions, build_app
from ragkit.server.jobs import IngestJob, IngestJobs
from ragkit.server.keys import KeyFile, KeyLimits
from ragkit.testing.embedder import HashEmbedder
from ragkit.testing.server import RIVERS, RunningServer, filled_rag, running_server

UPLOAD = {"files": ("notes/seas.md", b"# Seas\n\nThe largest sea is the Philippine Sea.")}


async def test_an_upload_is_ingested_listed_searched_and_deleted(server: RunningServer) -> None:
    sent = await server.http.post(
        "/v1/documents", files=UPLOAD, data={"metadata": '{"year": 2024}'}
    )
    assert sent.status_code == 202
    done = await server.until_done(sent.json()["id"])
    assert done["report"] == {
        "added": 1, "updated": 0, "unchanged": 0, "chunks": 1, "failed": [],
    }  # fmt: skip
    listed = (await server.http.get("/v1/documents")).json()["data"]
    assert [row["uri"] for row in listed] == ["lakes.md", "notes/seas.md", "rivers.md"]
    found = (await server.http.post("/v1/search", json={"query": "largest sea", "k": 1})).json()
    assert found["hits"][0]["metadata"] == {"year": 2024}
    gone = await server.http.delete("/v1/documents", params={"uri": "notes/seas.md"})
    assert gone.json()["deleted"] is True
    again = await server.http.delete("/v1/documents", params={"uri": "notes/seas.md"})
    assert again.status_code == 404


async def test_a_file_that_cannot_be_read_is_reported_and_the_others_are_stored(
    server: RunningServer,
) -> None:
    files = [
        ("files", ("bad.pdf", b"%PDF-1.4 nothing")),
        ("files", ("what.xyz", b"?")),
        ("files", ("good.txt", b"Good text.")),
    ]
    sent = await server.http.post("/v1/documents", files=files)
    report = (await server.until_done(sent.json()["id"]))["report"]
    assert report["added"] == 1
    assert {row["uri"] for row in report["failed"]} == {"bad.pdf", "what.xyz"}
    assert all(row["reason"] for row in report["failed"])


async def test_an_upload_of_which_nothing_can_be_read_is_done_and_counted(
    server: RunningServer,
) -> None:
    sent = await server.http.post("/v1/documents", files={"files": ("bad.pdf", b"%PDF-1.4 x")})
    job = await server.until_done(sent.json()["id"])
    assert job["state"] == "done"
    assert [row["uri"] for row in job["report"]["failed"]] == ["bad.pdf"]
    metrics = (await server.http.get("/metrics")).text
    assert 'ragkit_ingested_documents_total{outcome="failed"} 1.0' in metrics


async def test_the_events_of_a_job_end_with_its_report(server: RunningServer) -> None:
    sent = (await server.http.post("/v1/documents", files=UPLOAD)).json()
    text = (await server.http.get(f"/v1/jobs/{sent['id']}/events")).text
    states = [json.loads(line[6:])["state"] for line in text.splitlines() if "data: {" in line]
    assert states[-1] == "done"
    assert (await server.http.get("/v1/jobs/none/events")).status_code == 404


async def test_a_job_that_a_dead_process_left_is_taken_up_again(tmp_path: Path) -> None:
    folder = tmp_path / "server"
    app = build_app({"": await filled_rag()}, ServerOptions(folder=folder))
    jobs = app.state.ragkit.jobs  # it was never started: as after a kill
    name, files = jobs.new_folder()
    (files / "0").write_text("Text that was uploaded before the kill.")
    await jobs.submit(name, tenant="default", files={"0": "left.txt"}, metadata={})
    jobs._execute("UPDATE jobs SET state = 'running'")
    jobs._database.close()
    async with running_server(folder) as again:
        done = await again.until_done(name)
        while files.exists():  # they are removed once the job is done
            await asyncio.sleep(0.01)
    assert done["state"] == "done"


async def test_the_progress_of_a_job_is_an_event(tmp_path: Path) -> None:
    go = asyncio.Event()

    async def ingest(job: IngestJob, on_progress: OnProgress) -> IngestReport:
        on_progress(Progress(phase="embed", done=3, total=10, rate=2.0, left_s=3.5))
        await go.wait()
        return IngestReport()

    jobs = IngestJobs(tmp_path, ingest)
    jobs.open()
    await jobs.start()
    name, _ = jobs.new_folder()
    await jobs.submit(name, tenant="t", files={}, metadata={})
    seen: list[dict[str, Any]] = []
    async for job in jobs.follow(name, tenant="t"):
        seen.append(job.json())
        if "progress" in seen[-1]:
            go.set()
    await jobs.stop()
    wanted = {
        "phase": "embed",
        "done": 3,
        "total": 10,
        "growing": False,
        "rate": 2.0,
        "left_s": 3.5,
    }
    assert wanted in [one.get("progress") for one in seen]
    assert (seen[-1]["state"], "progress" in seen[-1]) == ("done", False)


async def test_jobs_go_on_once_their_database_can_be_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def ingest(job: IngestJob, on_progress: OnProgress) -> IngestReport:
        return IngestReport()

    monkeypatch.setattr("ragkit.server.jobs._PAUSE_S", 0.01)
    jobs = IngestJobs(tmp_path, ingest)
    jobs.open()
    await jobs.start()
    trigger = "CREATE TRIGGER full BEFORE UPDATE ON jobs BEGIN INSERT INTO gone VALUES (1); END"
    jobs._execute(trigger)
    name, _ = jobs.new_folder()
    await jobs.submit(name, tenant="t", files={}, metadata={})
    while "ingestion jobs wait" not in caplog.text:
        await asyncio.sleep(0)
    jobs._execute("DROP TRIGGER full")
    states = [job.state async for job in jobs.follow(name, tenant="t")]
    await jobs.stop()
    assert states[-1] == "done"


async def test_files_of_an_upload_that_never_became_a_job_are_removed(tmp_path: Path) -> None:
    folder = tmp_path / "server"
    app = build_app({"": await filled_rag()}, ServerOptions(folder=folder))
    jobs = app.state.ragkit.jobs  # it was never started: as after a kill
    _, files = jobs.new_folder()
    (files / "0").write_text("Half an upl")
    (folder / "mine").mkdir()
    jobs._database.close()
    async with running_server(folder):
        assert not files.exists()
    assert (folder / "mine").exists()


async def test_an_upload_that_is_refused_leaves_no_files(
    guarded_server: RunningServer, keys: KeyFile, tmp_path: Path
) -> None:
    secret = keys.add("w", tenant="default", role="write", limits=KeyLimits(upload_bytes=100))
    header = {"Authorization": f"Bearer {secret}"}
    files = [("files", ("a.txt", b"x" * 90)), ("files", ("b.txt", b"x" * 90))]
    refused = await guarded_server.http.post("/v1/documents", files=files, headers=header)
    assert refused.status_code == 413
    assert not [path for path in (tmp_path / "server").iterdir() if path.is_dir()]


async def test_the_text_of_a_document_has_the_overlap_of_its_chunks_once(tmp_path: Path) -> None:
    settings = Settings(ingest=IngestSettings(chunk_tokens=40, overlap_tokens=15))
    text = "".join(f"This is sentence number {number} of the document. " for number in range(40))
    async with AsyncRAG(settings, index=":memory:", embedder=HashEmbedder(dimensions=64)) as rag:
        await rag.ingest(("long.txt", text))
        chunks = await rag.chunks("long.txt")
        assert chunks[1].start < chunks[0].end
        assert text_of(chunks) == text


async def test_text_and_chunks_of_a_document_are_exact(server: RunningServer) -> None:
    assert (await server.http.get("/v1/documents/text", params={"uri": "rivers.md"})).text == RIVERS
    found = await server.http.get("/v1/documents/chunks", params={"uri": "rivers.md"})
    for chunk in found.json()["data"]:
        assert RIVERS[chunk["start"] : chunk["end"]] == chunk["text"]
    unknown = await server.http.get("/v1/documents/text", params={"uri": "../etc/passwd"})
    assert unknown.status_code == 404


async def test_documents_are_listed_in_pages(server: RunningServer) -> None:
    first = (await server.http.get("/v1/documents", params={"limit": 1})).json()
    assert ([row["uri"] for row in first["data"]], first["has_more"]) == (["lakes.md"], True)
    after: dict[str, str | int] = {"limit": 1, "after": "lakes.md"}
    second = (await server.http.get("/v1/documents", params=after)).json()
    assert ([row["uri"] for row in second["data"]], second["has_more"]) == (["rivers.md"], False)


@pytest.mark.parametrize("name", ["../../x.md", "/etc/x.md", "C:\\x.md", "..\\x.md"])
async def test_a_name_never_leads_out_of_the_documents(server: RunningServer, name: str) -> None:
    sent = await server.http.post("/v1/documents", files={"files": (name, b"text")})
    assert sent.status_code == 202
    (uri,) = sent.json()["files"]
    assert uri.endswith("x.md")
    assert ".." not in uri
    assert not uri.startswith("/")
    await server.until_done(sent.json()["id"])


@pytest.mark.parametrize("metadata", ["[]", "nonsense", '{"a": {"b": 1}}', '{"a": null}'])
async def test_metadata_of_another_kind_is_refused(server: RunningServer, metadata: str) -> None:
    sent = await server.http.post("/v1/documents", files=UPLOAD, data={"metadata": metadata})
    assert sent.status_code == 400
    assert sent.json()["error"]["param"] == "metadata"


async def test_a_body_over_the_limit_is_refused(tmp_path: Path) -> None:
    options = ServerOptions(folder=tmp_path / "server", body_bytes=1000)
    async with running_server(tmp_path, options=options) as server:
        large = await server.http.post("/v1/documents", files={"files": ("a.txt", b"x" * 2000)})
        assert large.status_code == 413

        async def pieces() -> AsyncIterator[bytes]:
            for _ in range(4):
                yield b"x" * 500

        hidden = await server.http.post("/v1/search", content=pieces())
        assert hidden.status_code == 413


async def test_a_keys_limits_of_documents_and_bytes_hold(
    guarded_server: RunningServer, keys: KeyFile
) -> None:
    limits = KeyLimits(documents=3, upload_bytes=100)
    secret = keys.add("w", tenant="default", role="write", limits=limits)
    header = {"Authorization": f"Bearer {secret}"}
    post = guarded_server.http.post
    large = {"files": ("big.txt", b"x" * 101)}
    assert (await post("/v1/documents", files=large, headers=header)).status_code == 413
    two = [("files", ("a.txt", b"a")), ("files", ("b.txt", b"b"))]
    refused = await post("/v1/documents", files=two, headers=header)
    assert refused.status_code == 403
    assert refused.json()["error"]["code"] == "document_limit_exceeded"
    replacing = {"files": ("rivers.md", b"# New")}
    assert (await post("/v1/documents", files=replacing, headers=header)).status_code == 202


async def test_an_upload_without_room_is_a_sentence_and_leaves_no_files(
    server: RunningServer, tmp_path: Path
) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    upload = {"files": ("large.txt", b"x" * 900_000)}
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))  # as a full disk does
    try:
        refused = await server.http.post("/v1/documents", files=upload)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    assert refused.status_code == 503
    assert refused.json()["error"]["code"] == "storage_full"
    assert str(tmp_path) not in refused.text
    assert not [path for path in (tmp_path / "server").rglob("*") if path.is_dir()]
    assert (await server.http.post("/v1/documents", files=upload)).status_code == 202
