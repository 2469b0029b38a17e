"""Ingestion in the background: jobs in a SQLite file, taken up again after a restart."""

import asyncio
import contextlib
import functools
import json
import logging
import shutil
import time
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from ragkit.core.database import Database
from ragkit.core.errors import InputError, RagkitError
from ragkit.core.progress import OnProgress, Progress
from ragkit.ingest.report import IngestReport
from ragkit.server.errors import api_error

JobState: TypeAlias = Literal["queued", "running", "done", "failed"]
Ingest: TypeAlias = Callable[["IngestJob", OnProgress], Awaitable[IngestReport]]

_log = logging.getLogger(__name__)
_LOOK_S = 0.5
"""Seconds between two looks at a running job's progress, and so between two of its events."""
_PAUSE_S = 5.0
"""Seconds until jobs are tried again when their database could not be written."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    id TEXT PRIMARY KEY, tenant TEXT NOT NULL, state TEXT NOT NULL, created REAL NOT NULL,
    files TEXT NOT NULL, metadata TEXT NOT NULL, outcome TEXT NOT NULL
)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestJob:
    """Files that were uploaded together.

    Attributes:
        id: Its id.
        tenant: Whose documents they become.
        state: How far it is.
        files: Uris by the names of the files in `folder`.
        metadata: Added to every document.
        folder: Where the files lie until the job is done.
        outcome: The progress while it runs; counts and failures once it is done; the error once it
            failed.
    """

    id: str
    tenant: str
    state: JobState
    files: Mapping[str, str]
    metadata: Mapping[str, Any]
    folder: Path
    outcome: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def json(self) -> dict[str, Any]:
        """The job as clients see it."""
        return {
            "id": self.id,
            "object": "ingest_job",
            "state": self.state,
            "files": list(self.files.values()),
            **self.outcome,
        }


class IngestJobs:
    """Runs ingestion jobs one after the other; their files lie beside the database."""

    def __init__(self, folder: Path, ingest: Ingest) -> None:
        """Keep jobs in `folder`, which one process uses at a time, and run each by `ingest`."""
        self.folder = folder
        self._ingest = ingest
        self._progress: dict[str, Progress] = {}
        self._changed = asyncio.Condition()
        self._work = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._database = Database(folder / "jobs.sqlite", _SCHEMA, exclusive=True)

    def open(self) -> None:
        """Open the database.

        Raises:
            InputError: It cannot be opened, or another server uses this folder.
        """
        try:
            self._database.open()
        except InputError as error:
            raise InputError(
                f"The folder {str(self.folder)!r} cannot be used: {error.__cause__}. "
                "Fix: end the other server that uses it, or name another folder with --data."
            ) from error

    async def start(self) -> None:
        """Take up what an earlier process left, and work on jobs until `stop`.

        Files of uploads that never became a job are removed.
        """
        self._execute("UPDATE jobs SET state = 'queued' WHERE state = 'running'")
        waiting = {job.id for job in self._jobs("WHERE state = 'queued'", ())}
        for folder in self.folder.iterdir():
            if folder.is_dir() and _is_id(folder.name) and folder.name not in waiting:
                await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        self._work.set()
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Stop working; a job that runs is taken up again by the next start."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        self._database.close()

    def new_folder(self) -> tuple[str, Path]:
        """Return the id of a new job, and an empty folder for its files."""
        name = uuid.uuid4().hex
        folder = self.folder / name
        folder.mkdir()
        return name, folder

    async def submit(
        self, name: str, *, tenant: str, files: Mapping[str, str], metadata: Mapping[str, Any]
    ) -> IngestJob:
        """Queue a job whose files lie in its folder."""
        row = (name, tenant, "queued", time.time(), json.dumps(files), json.dumps(metadata), "{}")
        self._execute("INSERT INTO jobs VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        self._work.set()
        job = self.find(name, tenant=tenant)
        if job is None:
            raise AssertionError("a job that was stored is there")
        return job

    def find(self, name: str, *, tenant: str) -> IngestJob | None:
        """Return a tenant's job, None where there is no such job."""
        return next(iter(self._jobs("WHERE id = ? AND tenant = ?", (name, tenant))), None)

    def jobs(self, *, tenant: str) -> list[IngestJob]:
        """Return a tenant's last hundred jobs, the latest first."""
        return self._jobs("WHERE tenant = ? ORDER BY created DESC, rowid DESC LIMIT 100", (tenant,))

    async def follow(self, name: str, *, tenant: str) -> AsyncGenerator[IngestJob]:
        """Yield a job at once, and whenever it changes, until it has ended."""
        last: IngestJob | None = None
        while True:
            async with self._changed:
                job = self.find(name, tenant=tenant)
                while job is not None and job == last:
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._changed.wait(), _LOOK_S)
                    job = self.find(name, tenant=tenant)
            if job is None:
                return
            yield job
            if job.state in {"done", "failed"}:
                return
            last = job

    async def _run(self) -> None:
        while True:
            try:
                await self._run_next()
            except RagkitError as error:  # the disk may be full: what waits is tried again
                _log.error("ingestion jobs wait: %s", error)
                await asyncio.sleep(_PAUSE_S)

    async def _run_next(self) -> None:
        """Run the first job that has not ended; one that seems to run was broken off."""
        unended = "WHERE state IN ('queued', 'running') ORDER BY created, rowid LIMIT 1"
        job = next(iter(self._jobs(unended, ())), None)
        if job is None:
            self._work.clear()
            await self._work.wait()
            return
        await self._set(job.id, "running", {})
        try:
            report = await self._ingested(job)
        except Exception as error:  # noqa: BLE001 - a fault in one job must not end later ones
            await self._set(job.id, "failed", {"error": api_error(error).body["error"]})
        else:
            await self._set(job.id, "done", {"report": report_json(report)})
        await asyncio.to_thread(shutil.rmtree, job.folder, ignore_errors=True)

    async def _ingested(self, job: IngestJob) -> IngestReport:
        """Ingest a job's files; its progress is known meanwhile."""
        try:
            return await self._ingest(job, functools.partial(self._progress.__setitem__, job.id))
        finally:
            self._progress.pop(job.id, None)

    async def _set(self, name: str, state: JobState, outcome: Mapping[str, Any]) -> None:
        values = (state, json.dumps(outcome), name)
        self._execute("UPDATE jobs SET state = ?, outcome = ? WHERE id = ?", values)
        async with self._changed:
            self._changed.notify_all()

    def _jobs(self, condition: str, values: Sequence[str]) -> list[IngestJob]:
        rows = self._execute(
            f"SELECT id, tenant, state, files, metadata, outcome FROM jobs {condition}", values
        )
        return [
            IngestJob(
                id=name,
                tenant=tenant,
                state=state,
                files=json.loads(files),
                metadata=json.loads(metadata),
                folder=self.folder / name,
                outcome=self._progress_json(name) or json.loads(outcome),
            )
            for name, tenant, state, files, metadata, outcome in rows
        ]

    def _progress_json(self, name: str) -> dict[str, Any]:
        step = self._progress.get(name)
        if step is None:
            return {}
        return {
            "progress": {
                "phase": step.phase,
                "done": step.done,
                "total": step.total,
                "growing": step.growing,
                "rate": step.rate,
                "left_s": step.left_s,
            }
        }

    def _execute(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self._database.transaction() as db:
            return db.execute(statement, values).fetchall()


def _is_id(name: str) -> bool:
    try:
        return uuid.UUID(name).hex == name
    except ValueError:
        return False


def report_json(report: IngestReport) -> dict[str, Any]:
    """Counts of a report, and each failure with its reason."""
    return {
        "added": len(report.added),
        "updated": len(report.updated),
        "unchanged": len(report.unchanged),
        "chunks": report.chunks,
        "failed": [{"uri": one.uri, "reason": one.reason} for one in report.failed],
    }
