"""Kill ingestions at random with SIGKILL, and compare the index with one built in one go.

    python tests/crash.py --kills 50 [--model]

Each round changes the documents, starts an ingestion in a process of its own, kills it at a random
moment, checks that every document is still found in its old or its new version, and ingests again
normally. The index must then hold the same chunks, and give the same results, as one built from the
same documents at once. Without `--model` a hashing double embeds, so that the moments of the kill
fall on the writes more often than on the model's arithmetic.
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
from pathlib import Path

from ragkit import AsyncRAG, Settings
from ragkit.core.protocols import Embedder, LegQuery
from ragkit.core.settings import EmbedderSettings, IngestSettings
from ragkit.models.build import build_embedder
from ragkit.testing.embedder import HashEmbedder

WORDS = ["river", "lake", "mountain", "forest", "desert", "island", "valley", "glacier", "delta"]
DOCUMENTS = 60


def rag(index: Path, *, model: bool) -> AsyncRAG:
    """The pipeline under test, with batches small enough that a kill falls between them."""
    part: Embedder = build_embedder(EmbedderSettings()) if model else HashEmbedder(dimensions=128)
    settings = Settings(ingest=IngestSettings(batch_chunks=8, chunk_tokens=60))
    return AsyncRAG(settings, index=index, embedder=part)


async def ingest(tree: Path, index: Path, *, model: bool) -> None:
    """One ingestion, as `ragkit ingest --sync` does it."""
    async with rag(index, model=model) as one:
        print("started", flush=True)
        report = await one.ingest(tree, sync=True)
        if report.failed:
            raise SystemExit(f"failed: {report.failed}")


async def contents(index: Path, *, model: bool) -> dict[str, object]:
    """Everything that must be equal: records, chunks, faults, and the results of searches."""
    async with rag(index, model=model) as one:
        opened = await one.index()
        records = sorted(await opened.records(), key=lambda record: record.uri)
        results: dict[str, object] = {}
        for word in WORDS:
            vector = (await one.embedder.embed([word], task="query"))[0]
            legs = await opened.search(LegQuery(vector=vector, text=word, depth=1000))
            # Equal scores may come in any order; scores are rounded past float32's noise.
            results[word] = [
                sorted((item, round(score, 4)) for item, score in leg)
                for leg in (legs.dense, legs.bm25)
            ]
        return {
            "records": [repr(record) for record in records],
            "generations": dict(sorted((await opened.generations()).items())),
            "faults": [str(fault) for fault in await one.verify()],
            "results": results,
        }


async def findable(index: Path, *, model: bool) -> set[str]:
    """Uris that a search can find."""
    async with rag(index, model=model) as one:
        opened = await one.index()
        vector = (await one.embedder.embed(["river"], task="query"))[0]
        legs = await opened.search(LegQuery(vector=vector, depth=10_000))
        return {chunk.uri for chunk in await opened.fetch([item for item, _ in legs.dense])}


def change(tree: Path, draw: random.Random) -> None:
    """Add, edit and remove documents."""
    for number in range(DOCUMENTS):
        path = tree / f"{number:03}.md"
        action = draw.random()
        if action < 0.1:
            path.unlink(missing_ok=True)
        elif action < 0.6 or not any(tree.iterdir()):
            paragraphs = (" ".join(draw.choices(WORDS, k=50)) for _ in range(draw.randint(1, 6)))
            path.write_text(f"# Document {number}\n\n" + ".\n\n".join(paragraphs))


def run(tree: Path, index: Path, *, model: bool, kill_after: float | None) -> tuple[float, bool]:
    """Ingest in a process of its own; its seconds, and whether it was killed in the midst."""
    command = [sys.executable, __file__, "--child", str(tree), str(index)]
    process = subprocess.Popen(
        [*command, *(["--model"] if model else [])], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.readline()
    started = time.perf_counter()
    if kill_after is not None:
        try:
            process.wait(kill_after)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
    process.communicate()
    killed = process.returncode == -signal.SIGKILL
    if process.returncode != 0 and not killed:
        raise SystemExit(f"an ingestion ended with status {process.returncode}")
    return time.perf_counter() - started, killed


def rounds(kills: int, *, model: bool, seed: int) -> dict[str, int]:
    """Rounds until `kills` ingestions were killed; stops at the first difference."""
    draw = random.Random(seed)
    number = killed = 0
    with tempfile.TemporaryDirectory() as folder:
        tree, index, fresh = (Path(folder, name) for name in ("tree", "index", "fresh"))
        tree.mkdir()
        change(tree, draw)
        seconds, _ = run(tree, index, model=model, kill_after=None)
        while killed < kills:
            number += 1
            before = {path.name for path in tree.iterdir()}
            change(tree, draw)
            delay = draw.uniform(0, seconds)
            killed += run(tree, index, model=model, kill_after=delay)[1]
            kept = before & {path.name for path in tree.iterdir()}
            found = {Path(uri).name for uri in asyncio.run(findable(index, model=model))}
            check(kept <= found, f"round {number}: {sorted(kept - found)} cannot be found")
            seconds, _ = run(tree, index, model=model, kill_after=None)
            shutil.rmtree(fresh, ignore_errors=True)
            run(tree, fresh, model=model, kill_after=None)
            ours, theirs = (asyncio.run(contents(one, model=model)) for one in (index, fresh))
            for key, value in theirs.items():
                message = f"round {number}: {key} differ after a kill at {delay:.3f} s"
                check(ours[key] == value, message)
            check(ours["faults"] == [], f"round {number}: {ours['faults']}")
    return {"rounds": number, "killed": killed}


def check(condition: bool, message: str) -> None:
    """Stop with a message where a condition does not hold."""
    if not condition:
        raise SystemExit(message)


def main() -> None:
    """Run the rounds, or one ingestion as the child of one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", action="store_true", help="embed with the packaged model")
    parser.add_argument("--child", nargs=2, type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        asyncio.run(ingest(*options.child, model=options.model))
    else:
        print(json.dumps(rounds(options.kills, model=options.model, seed=options.seed)))


if __name__ == "__main__":
    main()
