"""Memory and disk of an index of 100,000 chunks, open and searched, in a process of its own.

python -m benchmarks.memory [--chunks 100000]
"""

import argparse
import gc
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil

from benchmarks.made import IDENTITY, make
from benchmarks.report import disk_mib, publish
from benchmarks.search import filled
from ragkit.core.protocols import LegQuery
from ragkit.core.sync import run_sync
from ragkit.index.edge import EdgeIndex


def opened(folder: Path) -> dict[str, float]:
    """MiB of this process before opening, after it, and after 200 searches."""
    process = psutil.Process()
    asked = make(2000, queries=200)
    gc.collect()
    before = process.memory_full_info().uss
    index = run_sync(lambda: EdgeIndex.open(folder, IDENTITY))
    after = process.memory_full_info().uss
    for text, vector in zip(asked.queries, asked.query_vectors, strict=True):
        query = LegQuery(vector=vector, text=text, depth=100)
        run_sync(lambda query=query: index.search(query))
    searched = process.memory_full_info().uss
    resident = process.memory_info().rss
    run_sync(index.close)
    return {
        "open MiB": (after - before) / 2**20,
        "searched MiB": (searched - before) / 2**20,
        "resident with mapped files MiB": resident / 2**20,
    }


def main() -> None:
    """Build an index, open it in a new process, and publish what that takes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chunks", type=int, default=100_000)
    parser.add_argument("--opened", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.opened:
        print(json.dumps(opened(options.opened)))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "index")
        made = make(options.chunks)
        texts = sum(len(text.encode()) for text in made.texts) / 2**20
        run_sync(filled(made, path).close)
        disk = disk_mib(path)
        command = [sys.executable, "-m", "benchmarks.memory", "--opened", str(path)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    measured = json.loads(done.stdout)
    row = {"chunks": options.chunks, "texts MiB": texts, **measured, "disk MiB": disk}
    publish("memory", [row], note="MiB of the process's own memory beyond what it had before")


if __name__ == "__main__":
    main()
