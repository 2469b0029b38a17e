"""Ingest many mixed files, killed at random, and many small ones that have not changed.

    python tests/scale.py --files 5000 --kills 20 --small 100000

The files are of every format that ragkit's examples have, each with a text of its own. A process
that ingests them is killed by SIGKILL after a random number of documents, again and again, and then
runs to its end. The index must hold what one that was built in one go holds: nothing lost, nothing
twice. Both tables are of the memory of the ingesting process and its workers, and of the time and
memory of runs over small files, the second of which changes nothing.
"""

import argparse
import asyncio
import io
import json
import random
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil  # type: ignore[import-untyped]

sys.path.insert(0, str(Path(__file__).parents[1]))

from ragkit import AsyncRAG, Settings
from ragkit.core.progress import Progress
from ragkit.core.settings import IngestSettings
from ragkit.testing import HashEmbedder
from tests.ingest.fuzz import examples

_TEXTS = {".md", ".txt", ".rst", ".adoc", ".html", ".csv", ".eml", ".srt", ".py"}
_PER_FOLDER = 1000
_CURVE = 10


@dataclass(slots=True, kw_only=True)
class RunFigures:
    """The figures of a run of the ingesting process.

    Attributes:
        memory: Documents that were read, and MiB of the process and of its workers, in order.
        seconds: Of the run.
        done: Documents that were read when it ended.
        killed: Whether it was killed before its end.
        report: Counts of its report by name, empty where it was killed.
    """

    memory: list[tuple[int, float, float]] = field(default_factory=list[tuple[int, float, float]])
    seconds: float = 0.0
    done: int = 0
    killed: bool = False
    report: dict[str, int] = field(default_factory=dict[str, int])


def write_mixed(folder: Path, files: int) -> None:
    """Write files of all formats in turn, no two of them alike."""
    originals = sorted(examples().items())
    for number in range(files):
        extension, data = originals[number % len(originals)]
        below = folder / f"{number // _PER_FOLDER:03}"
        below.mkdir(parents=True, exist_ok=True)
        (below / f"{number:06}{extension}").write_bytes(_variation(data, extension, number))


def _variation(data: bytes, extension: str, number: int) -> bytes:
    """Return a file of another text, or where that is not simple, of other bytes."""
    if extension in _TEXTS:
        return data + f"\n\nVariation {number} of the river, the lake and the forest.\n".encode()
    if zipfile.is_zipfile(io.BytesIO(data)):
        stream = io.BytesIO(data)
        with zipfile.ZipFile(stream, "a") as package:
            package.comment = str(number).encode()
        return stream.getvalue()
    return data + b"\n" * (number % 97)


def write_small(folder: Path, files: int) -> None:
    """Write small Markdown files."""
    for number in range(files):
        below = folder / f"{number // _PER_FOLDER:03}"
        below.mkdir(parents=True, exist_ok=True)
        (below / f"{number:06}.md").write_text(f"# Note {number}\n\nThe lake {number} is deep.\n")


def rag_of(index: Path) -> AsyncRAG:
    """Return the pipeline, with batches small enough that a kill falls between them."""
    settings = Settings(ingest=IngestSettings(batch_chunks=32))
    return AsyncRAG(settings, index=index, embedder=HashEmbedder(dimensions=32))


async def write(tree: Path, index: Path) -> None:
    """Ingest a tree; print the number of documents that were read, and at last the report."""

    def say(progress: Progress) -> None:
        if progress.phase == "read":
            print(progress.done, flush=True)

    async with rag_of(index) as rag:
        report = await rag.ingest(tree, sync=True, on_progress=say)
    names = ("added", "updated", "unchanged", "deleted", "failed")
    counts: dict[str, int] = {name: len(getattr(report, name)) for name in names}
    print(json.dumps({**counts, "stopped": bool(report.stopped)}), flush=True)


def run(tree: Path, index: Path, *, kill_after: int | None = None) -> RunFigures:
    """Ingest a tree in a process of its own, which is killed after so many documents."""
    found, started = RunFigures(), time.perf_counter()
    command = [sys.executable, __file__, "--write", str(tree), str(index)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        every = 1
        for line in process.stdout:
            if line.startswith("{"):
                found.report = json.loads(line)
                continue
            found.done = int(line)
            if found.done % every == 0:
                found.memory.append((found.done, *memory_mib(process.pid)))
                every = max(1, found.done // 50)
            if kill_after is not None and found.done >= kill_after:
                process.kill()
                found.killed = True
                break
    found.seconds = time.perf_counter() - started
    if not found.killed and (process.returncode or found.report.get("stopped")):
        raise AssertionError(f"The run ended with {process.returncode}: {found.report}")
    return found


def memory_mib(pid: int) -> tuple[float, float]:
    """Return the resident memory of a process, and of its workers together."""
    own = others = 0.0
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        own = process.memory_info().rss
        for child in process.children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                others += child.memory_info().rss
    return own / 2**20, others / 2**20


async def contents(index: Path) -> dict[str, object]:
    """Return what two indexes of the same documents have in common, whoever wrote them."""
    async with rag_of(index) as rag:
        stored = await rag.index()
        records = sorted(await stored.records(), key=lambda record: record.uri)
        chunks = await stored.chunks([record.uri for record in records])
        versions = sorted((one.generation, one.chunks) for one in await stored.versions())
        return {
            "records": [(one.uri, one.content_hash, one.generation, one.chunks) for one in records],
            "versions": versions,
            "texts": [(one.uri, one.start, one.end, one.text) for one in chunks],
            "faults": [str(fault) for fault in await rag.verify()],
        }


def killed_and_clean(folder: Path, *, files: int, kills: int, draw: random.Random) -> RunFigures:
    """Ingest mixed files with kills; compare with a run without, and return that one's figures.

    Raises:
        AssertionError: The indexes differ, or a document is lost, double or not whole.
    """
    tree, index = folder / "mixed", folder / "killed"
    write_mixed(tree, files)
    reached = done = 0
    while done < kills and reached < files:
        step = max(1, 2 * files // (kills + 1))
        figures = run(tree, index, kill_after=reached + draw.randint(1, step))
        if not figures.killed:
            break
        reached, done = max(reached, figures.done - draw.randint(0, step // 4)), done + 1
    last = run(tree, index)
    clean = run(tree, folder / "clean")
    print(f"{done} kills; the last run: {last.report}; without kills: {clean.report}")
    wanted, found = (asyncio.run(contents(folder / name)) for name in ("clean", "killed"))
    for name, value in wanted.items():
        if found[name] != value:
            raise AssertionError(f"The index of killed runs has other {name}.")
    if found["faults"] or clean.report["added"] + clean.report["failed"] != files:
        raise AssertionError(f"Faults {found['faults']}, and a clean run of {clean.report}.")
    return clean


def unchanged(folder: Path, *, files: int) -> tuple[RunFigures, RunFigures]:
    """Ingest small files twice; return the figures of both runs."""
    write_small(folder / "small", files)
    first, again = (run(folder / "small", folder / "small-index") for _ in range(2))
    if again.report["unchanged"] != files:
        raise AssertionError(f"The second run found changes: {again.report}")
    return first, again


def curve(figures: RunFigures) -> Sequence[tuple[int, float, float]]:
    """Return the largest memory of each tenth of a run: documents, MiB here and of workers."""
    bounds = [figures.done * (tenth + 1) / _CURVE for tenth in range(_CURVE)]
    rows: list[tuple[int, float, float]] = []
    for low, high in zip([0.0, *bounds], bounds, strict=False):
        part = [one for one in figures.memory if low < one[0] <= high]
        if part:
            largest = (max(one[1] for one in part), max(one[2] for one in part))
            rows.append((int(high), *largest))
    return rows


def main() -> None:
    """Run both checks, and print their tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=5000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--small", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", nargs=2, type=Path, metavar=("TREE", "INDEX"))
    options = parser.parse_args()
    if options.write:
        asyncio.run(write(*options.write))
        return
    with tempfile.TemporaryDirectory() as name:
        folder, draw = Path(name), random.Random(options.seed)
        if options.files:
            clean = killed_and_clean(folder, files=options.files, kills=options.kills, draw=draw)
            print(f"{options.files} files in {clean.seconds:.0f} s")
            for done, own, others in curve(clean):
                print(f"{done:>8} documents {own:8.0f} MiB {others:8.0f} MiB workers")
        if options.small:
            for run_of in unchanged(folder, files=options.small):
                largest = max(own + others for _, own, others in run_of.memory)
                print(f"{run_of.seconds:8.1f} s {largest:8.0f} MiB  {run_of.report}")


if __name__ == "__main__":
    main()
