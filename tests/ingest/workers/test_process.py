"""A worker process: whatever a document does, it ends no process but the one that loads it."""

import asyncio
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ragkit import InputError
from ragkit.core.errors import ConfigError
from ragkit.ingest.sources.source import LoadCall
from ragkit.ingest.workers.process import ParserLimits, ParserProcess
from ragkit.testing.ingestion import HostileLoader


def _call(data: bytes) -> LoadCall:
    return LoadCall(loader=HostileLoader(), data=data, uri="a.txt")


async def test_documents_are_loaded_one_after_the_other() -> None:
    process = await ParserProcess.start(ParserLimits())
    for data in (b"one", b"print", b"two" * 10**6):
        document = await process.load(_call(data))
        assert document.text == data.decode()
        assert process.is_usable
    await process.close()
    await process.close()


async def test_what_a_loader_raises_fails_its_document_alone() -> None:
    process = await ParserProcess.start(ParserLimits())
    with pytest.raises(InputError, match=r"^ZeroDivisionError: a bug in a library$"):
        await process.load(_call(b"raise"))
    assert (await process.load(_call(b"next"))).text == "next"
    await process.close()


async def test_what_a_loader_logs_is_logged_here(caplog: pytest.LogCaptureFixture) -> None:
    process = await ParserProcess.start(ParserLimits())
    with caplog.at_level(logging.WARNING):
        await process.load(_call(b"log"))
    await process.close()
    assert [(one.name, one.getMessage()) for one in caplog.records] == [
        ("hostile", "A part of 'a.txt' was left out.")
    ]


@pytest.mark.parametrize(
    ("data", "limits", "reason"),
    [
        (
            b"hang",
            ParserLimits(timeout_s=0.3),
            r"not read within 0\.3 s\. Fix:.*document_timeout_s",
        ),
        (b"explode", ParserLimits(memory_mb=300), r"more than 300 MiB of memory.*document_memory"),
        (b"crash", ParserLimits(), r"'a\.txt' ended the process that read it \(SIGSEGV\)\. Fix:"),
        (b"exit", ParserLimits(), r"'a\.txt' ended the process that read it \(status 3\)\. Fix:"),
    ],
    ids=lambda value: value.decode() if isinstance(value, bytes) else "",
)
async def test_a_document_that_takes_the_process_with_it(
    data: bytes, limits: ParserLimits, reason: str
) -> None:
    process = await ParserProcess.start(limits)
    with pytest.raises(InputError, match=reason):
        await process.load(_call(data))
    assert not process.is_usable
    await process.close()


async def test_a_cancelled_call_ends_the_process() -> None:
    process = await ParserProcess.start(ParserLimits())
    task = asyncio.create_task(process.load(_call(b"hang")))
    await asyncio.wait([task], timeout=0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not process.is_usable
    await process.close()


async def test_a_python_that_does_not_start_is_a_setting_to_correct(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "none"))
    with pytest.raises(ConfigError, match=r"cannot be started.*RAGKIT_INGEST__WORKERS=0"):
        await ParserProcess.start(ParserLimits())
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(ConfigError, match="it ended with 1"):
        await ParserProcess.start(ParserLimits())


PARENT = """
import asyncio
from ragkit.ingest.sources.source import LoadCall
from ragkit.ingest.workers.process import ParserLimits, ParserProcess
from ragkit.testing.ingestion import HostileLoader

async def main():
    process = await ParserProcess.start(ParserLimits())
    call = LoadCall(loader=HostileLoader(), data=b"hang", uri="a.txt")
    task = asyncio.create_task(process.load(call))
    await asyncio.sleep(0)
    print(process._process.pid, flush=True)
    await task

asyncio.run(main())
"""


def test_a_process_that_hangs_in_c_ends_with_a_parent_that_is_killed() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        handle = os.pidfd_open(child)
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    _wait_for_end(handle)


def _wait_for_end(handle: int) -> None:
    """Wait until a process has ended, as long as the test may take."""

    async def wait() -> None:
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        loop.add_reader(handle, ended.set)
        await ended.wait()
        loop.remove_reader(handle)

    asyncio.run(wait())
    os.close(handle)
