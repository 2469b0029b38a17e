"""An ingestion that is stopped keeps what it stored, and the next one does the rest."""

import functools
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ragkit.cli.options import reporting, terminable

# The command with a double that embeds, and that waits for ever over one document, from when the
# three before it are stored.
COMMAND = """
import asyncio, os
import ragkit.sdk.parts
from ragkit.cli.main import main
from ragkit.index.edge import EdgeIndex
from ragkit.testing import HashEmbedder

stored, commit = [], EdgeIndex.commit

async def counted(index, entries):
    await commit(index, entries)
    stored.extend(entries)

EdgeIndex.commit = counted

class WaitingEmbedder(HashEmbedder):
    async def embed(self, texts, **options):
        if any("dolphin" in text for text in texts) and "WAIT" in os.environ:
            while len(stored) < 3:
                await asyncio.sleep(0.01)
            print("waiting", flush=True)
            await asyncio.Event().wait()
        return await super().embed(texts, **options)

ragkit.sdk.parts.build_embedder = lambda settings: WaitingEmbedder(dimensions=8)
main()
"""


def test_sigterm_ends_a_command_as_an_interrupt_does() -> None:
    @reporting
    def stopped() -> None:
        with terminable():
            signal.raise_signal(signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as ended:
        stopped()
    assert ended.value.code == 143
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_ingestion_keeps_what_it_stored_and_a_rerun_goes_on(
    tmp_path: Path, number: signal.Signals, status: int
) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    for name in "abc":
        (docs / f"{name}.html").write_text(f"<p>page {name}</p>")
    (docs / "d.html").write_text("<p>a dolphin</p>")
    (docs / "e.html").write_text("<p>page e</p>")
    command = [sys.executable, "-c", COMMAND, "ingest", "docs"]
    environment = {**os.environ, "RAGKIT_INGEST__BATCH_CHUNKS": "1"}
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, text=True,
        env={**environment, "WAIT": "1"},
        # The processes of pytest-xdist ignore interrupts, and theirs would too.
        preexec_fn=functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
        process.send_signal(number)
        assert process.wait() in {status, -number}  # the latter where Python is late
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("2 added, 0 updated, 3 unchanged, 0 deleted, 0 failed")
