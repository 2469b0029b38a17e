"""Kill writers at random with SIGKILL, and compare the index with one built in one go.

    python tests/crash.py --kills 200 [--model] [--store http://127.0.0.1:6333]

Each round changes the documents, starts a writer in a process of its own (or two at once), kills it
at a random moment, checks that every document is found whole, in its old or its new version, and
runs the writer again. The index must then hold the same records and chunks, and give the same
results, as one built from the same documents at once. The writers add and edit documents, change
metadata alone, delete documents by name, and sync with a folder from which files are gone. Without
`--model` a hashing double embeds, so that the kill falls on the writes more often than on the
model's arithmetic.
"""

import argparse
import asyncio
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from ragkit import AsyncRAG, Settings
from ragkit.core.protocols import Embedder, LegQuery
from ragkit.core.settings import EmbedderSettings, IngestSettings
from ragkit.core.types import Metadata
from ragkit.models.build import build_embedder
from ragkit.testing import HashEmbedder

WORDS = ["river", "lake", "mountain", "forest", "desert", "island", "valley", "glacier", "delta"]
DOCUMENTS, NOTES = 60, 20

Action: TypeAlias = Literal["edit", "metadata", "delete", "sync", "two writers", "two of the same"]
"""The writers that are killed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What one writer does: ingest files and notes, or delete documents."""

    tree: str | None = None
    notes: Mapping[str, str] = field(default_factory=dict[str, str])
    metadata: Metadata | None = None
    deleted: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """The documents as they should be, and the folder of those that are files."""

    tree: Path
    notes: dict[str, str]
    metadata: Metadata

    def texts(self) -> dict[str, str]:
        """Return the text of every document by its uri."""
        files = {f"{self.tree.name}/{path.name}": path.read_text() for path in self.tree.iterdir()}
        return {**files, **self.notes}

    def job(self) -> Job:
        """Return the job that makes all of it."""
        return Job(tree=str(self.tree), notes=self.notes, metadata=self.metadata)


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """An index under test, and the embedder's name."""

    location: str
    model: bool

    def rag(self) -> AsyncRAG:
        """Return the pipeline, with batches small enough that a kill falls between them."""
        part: Embedder = (
            build_embedder(EmbedderSettings()) if self.model else HashEmbedder(dimensions=128)
        )
        settings = Settings(ingest=IngestSettings(batch_chunks=8, chunk_tokens=60))
        return AsyncRAG(settings, index=self.location, embedder=part)

    async def run(self, job: Job) -> None:
        """Do a job, as `ragkit ingest --sync` and `ragkit delete` do it."""
        async with self.rag() as rag:
            if job.deleted:
                await rag.delete(list(job.deleted))
            if job.tree is not None:
                report = await rag.ingest(job.tree, sync=True, force=True, metadata=job.metadata)
                check(report.ok, f"failed: {report.failed} {report.stopped}")
            if job.notes:
                notes = list(job.notes.items())
                report = await rag.ingest(notes, source="notes", sync=True, force=True)
                check(report.ok, f"failed: {report.failed} {report.stopped}")

    async def contents(self) -> dict[str, object]:
        """Return everything that must be equal: records, chunks, faults, results of searches."""
        async with self.rag() as rag:
            index = await rag.index()
            records = sorted(await index.records(), key=lambda record: record.uri)
            results: dict[str, object] = {}
            for word in WORDS:
                vector = (await rag.embedder.embed([word], task="query"))[0]
                legs = await index.search(LegQuery(vector=vector, text=word, depth=1000))
                # Equal scores may come in any order; scores are rounded past float32's noise.
                results[word] = [
                    sorted((item, round(score, 4)) for item, score in leg)
                    for leg in (legs.dense, legs.bm25)
                ]
            # The stamp of a file that was just written, and the name of a write, are their own.
            plain = [repr(replace(record, stamp="", version="")) for record in records]
            stored = [(one.generation, one.chunks) for one in await index.versions()]
            return {
                "records": plain,
                "versions": sorted(stored),
                "faults": [str(fault) for fault in await rag.verify()],
                "results": results,
            }

    async def found(self) -> dict[str, str]:
        """Return the text of every document that a search finds, put together of its chunks."""
        async with self.rag() as rag:
            index = await rag.index()
            vector = (await rag.embedder.embed(["river"], task="query"))[0]
            legs = await index.search(LegQuery(vector=vector, depth=10_000))
            chunks = await index.fetch([item for item, _ in legs.dense])
        texts: dict[str, str] = {}
        for chunk in sorted(chunks, key=lambda chunk: (chunk.uri, chunk.start)):
            texts[chunk.uri] = texts.get(chunk.uri, "") + chunk.text
        return texts


def change(world: World, draw: random.Random, *, share: float, removed: float) -> None:
    """Edit a share of the documents, and remove some."""
    for number in range(DOCUMENTS):
        path = world.tree / f"{number:03}.md"
        action = draw.random()
        if action < removed:
            path.unlink(missing_ok=True)
        elif action < removed + share or not any(world.tree.iterdir()):
            path.write_text(f"# Document {number}\n\n{made_text(draw)}")
    for number in range(NOTES):
        if draw.random() < share or not world.notes:
            world.notes[f"note-{number}"] = made_text(draw)


def made_text(draw: random.Random) -> str:
    """Return a text of a few paragraphs."""
    paragraphs = (" ".join(draw.choices(WORDS, k=50)) for _ in range(draw.randint(1, 6)))
    return ".\n\n".join(paragraphs)


def planned(world: World, action: Action, draw: random.Random) -> tuple[World, list[Job]]:
    """Change the world as an action does, and return it with the writers' jobs."""
    if action == "metadata":
        world = replace(world, metadata={"round": draw.randrange(10**6)})
    elif action == "sync":
        change(world, draw, share=0, removed=0.4)
    elif action == "delete":
        files = draw.sample(sorted(world.tree.iterdir()), k=len(list(world.tree.iterdir())) // 2)
        notes = draw.sample(sorted(world.notes), k=len(world.notes) // 2)
        for path in files:
            path.unlink()
        for note in notes:
            del world.notes[note]
        return world, [Job(deleted=[*(f"{world.tree.name}/{path.name}" for path in files), *notes])]
    else:
        change(world, draw, share=0.5, removed=0.1)
    whole = world.job()
    if action == "two writers":
        return world, [replace(whole, notes={}), replace(whole, tree=None)]
    return world, [whole, whole] if action == "two of the same" else [whole]


class Writers:
    """Processes that have imported everything and wait for a job, so that a kill falls on it."""

    def __init__(self, store: Store) -> None:
        """Start two."""
        self._store = store
        self._spare = [self._started() for _ in range(2)]

    def killed_after(self, jobs: Sequence[Job], seconds: float) -> int:
        """Do jobs at once, kill the last one after some seconds, and return whether it was."""
        processes = [self._spare.pop(0) for _ in jobs]
        for process, job in zip(processes, jobs, strict=True):
            assert process.stdin is not None
            process.stdin.write(json.dumps(job_json(job)) + "\n")
            process.stdin.flush()
        time.sleep(seconds)
        processes[-1].send_signal(signal.SIGKILL)
        self._spare += [self._started() for _ in jobs]
        for process in processes:
            process.communicate()
            ended = process.returncode in {0, -signal.SIGKILL}
            check(ended, f"a writer ended with status {process.returncode}")
        return int(processes[-1].returncode == -signal.SIGKILL)

    def close(self) -> None:
        """End the processes that still wait."""
        for process in self._spare:
            process.kill()
            process.communicate()

    def _started(self) -> "subprocess.Popen[str]":
        command = [sys.executable, __file__, "--writer", "--store", self._store.location]
        return subprocess.Popen(
            [*command, *(["--model"] if self._store.model else [])],
            stdin=subprocess.PIPE,
            text=True,
        )


def run(store: Store, *jobs: Job) -> float:
    """Do jobs one after the other in this process; return the seconds of the first."""
    seconds: list[float] = []
    for job in jobs:
        started = time.perf_counter()
        asyncio.run(store.run(job))
        seconds.append(time.perf_counter() - started)
    return seconds[0]


def job_json(job: Job) -> dict[str, object]:
    """Return a job as JSON, for the command line of a writer."""
    return {
        "tree": job.tree,
        "notes": dict(job.notes),
        "metadata": job.metadata,
        "deleted": list(job.deleted),
    }


def rounds(kills: int, store: Store, *, seed: int) -> dict[str, int]:
    """Run rounds until `kills` writers were killed; stop at the first difference."""
    draw = random.Random(seed)
    killed: Counter[str] = Counter()
    number = 0
    writers = Writers(store)
    with tempfile.TemporaryDirectory() as folder, closing(writers):
        tree = Path(folder, "tree")
        tree.mkdir()
        fresh = Store(location=str(Path(folder, "fresh")), model=store.model)
        world = World(tree=tree, notes={}, metadata={"round": 0})
        change(world, draw, share=1, removed=0)
        first = run(store, world.job())
        seconds: dict[str, float] = {}
        while killed.total() < kills:
            number += 1
            action: Action = draw.choice(get_args(Action))
            before = world.texts()
            world, jobs = planned(world, action, draw)
            delay = draw.uniform(0, seconds.get(action, first))
            killed[action] += writers.killed_after(jobs, delay)
            where = f"round {number} ({action}, killed after {delay:.3f} s)"
            compare_texts(before, world.texts(), asyncio.run(store.found()), where)
            seconds[action] = run(store, jobs[-1], world.job())
            shutil.rmtree(fresh.location, ignore_errors=True)
            run(fresh, world.job())
            ours, theirs = (asyncio.run(one.contents()) for one in (store, fresh))
            for key, value in theirs.items():
                check(ours[key] == value, f"{where}: {key} differ")
            check(ours["faults"] == [], f"{where}: {ours['faults']}")
    return {"rounds": number, "killed": killed.total(), **killed}


def compare_texts(
    before: Mapping[str, str], after: Mapping[str, str], found: Mapping[str, str], where: str
) -> None:
    """Check that each document is found whole in its old or new version, or gone if it may be."""
    for uri in before.keys() | after.keys():
        allowed = {before.get(uri), after.get(uri)}
        text = found.get(uri)
        check(text in allowed, f"{where}: {uri} is found as {text!r:.200}, which is no version")
    lost = sorted(found.keys() - before.keys() - after.keys())
    check(not lost, f"{where}: {lost} are found and were never ingested")


def check(condition: bool, message: str) -> None:
    """Stop with a message where a condition does not hold."""
    if not condition:
        raise SystemExit(message)


def main() -> None:
    """Run the rounds, or one writer as the child of one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", action="store_true", help="embed with the packaged model")
    parser.add_argument("--store", help="a folder or a Qdrant URL instead of a temporary folder")
    parser.add_argument("--writer", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        location = options.store or str(Path(folder, "index"))
        store = Store(location=location, model=options.model)
        if options.writer:
            asyncio.run(store.run(Job(**json.loads(sys.stdin.readline()))))
        else:
            print(json.dumps(rounds(options.kills, store, seed=options.seed)))


if __name__ == "__main__":
    main()
