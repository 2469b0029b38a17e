"""An embedded index that several use at once: two writers, a searcher while the graph is built.

python -m benchmarks.sharing [--documents 2000] [--chunks 50000] [--lengths 10 5000]
"""

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.made import IDENTITY, Made, make
from benchmarks.report import Row, milliseconds, publish
from ragkit import RAG
from ragkit.core.protocols import LegQuery
from ragkit.core.sync import run_sync
from ragkit.index.edge import EdgeIndex
from ragkit.testing.embedder import HashEmbedder

WRITER = """
import sys
from ragkit import RAG
from ragkit.testing.embedder import HashEmbedder
name, folder, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
embedder = HashEmbedder(dimensions=384)
with RAG(index=folder, embedder=embedder) as rag:
    texts = ((f"{name}-{n}", f"document {n} of {name} has some words") for n in range(count))
    report = rag.ingest(texts)
assert len(report.added) == count, report
"""
OPTIMIZER = """
import sys
from pathlib import Path
from benchmarks.made import IDENTITY
from ragkit.core.sync import run_sync
from ragkit.index.edge import EdgeIndex
index = run_sync(lambda: EdgeIndex.open(Path(sys.argv[1]), IDENTITY, create=False))
run_sync(index.optimize)
run_sync(index.close)
"""


def written(writers: int, documents: int) -> float:
    """Return the seconds in which so many processes write so many documents together."""
    with tempfile.TemporaryDirectory() as folder:
        index = str(Path(folder, "index"))
        share = str(documents // writers)
        started = time.perf_counter()
        running = [
            subprocess.Popen([sys.executable, "-c", WRITER, f"writer{n}", index, share])
            for n in range(writers)
        ]
        assert [process.wait() for process in running] == [0] * writers
        return time.perf_counter() - started


async def waits(folder: Path, made: Made) -> tuple[list[float], float]:
    """Return the seconds of searches while another process builds the graph, and of that."""
    index = await EdgeIndex.open(folder, IDENTITY, create=False, wait_s=600)
    query = LegQuery(vector=made.query_vectors[0], text=made.queries[0], depth=100)
    await index.search(query)
    started = time.perf_counter()
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", OPTIMIZER, str(folder))
    ended = asyncio.create_task(process.wait())
    times: list[float] = []
    while not ended.done():
        began = time.perf_counter()
        await index.search(query)
        times.append(time.perf_counter() - began)
        await asyncio.sleep(0.01)
    await index.close()
    return times, time.perf_counter() - started


def searched_meanwhile(chunks: int) -> Row:
    """Search in one process while another builds the graph of the index."""
    made = make(chunks)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder, "index")
        index = run_sync(lambda: EdgeIndex.open(place, IDENTITY))
        entries = made.entries()
        for first in range(0, len(entries), 50):
            run_sync(partial(index.commit, entries[first : first + 50]))
        run_sync(index.close)
        times, seconds = run_sync(lambda: waits(place, made))
    return {
        "chunks": chunks,
        "seconds of the other process": seconds,
        "searches": len(times),
        "p50 ms": 1000 * float(np.median(times)),
        "longest s": max(times),
    }


def neighbours(lengths: list[int]) -> list[Row]:
    """Search with and without the chunks around each hit, in documents of more and more chunks."""
    rows: list[Row] = []
    for length in lengths:
        embedder = HashEmbedder(dimensions=384)
        with tempfile.TemporaryDirectory() as folder, RAG(index=folder, embedder=embedder) as rag:
            sections = "\n\n".join(f"# Section {n}\n\n{'some words ' * 90}" for n in range(length))
            rag.ingest(("a.md", sections))
            chunks = len(rag.chunks("a.md"))
            plain = milliseconds(partial(rag.search, "section 5"), repeats=20)
            around = milliseconds(partial(rag.search, "section 5", neighbours=1), repeats=20)
        rows.append(
            {
                "chunks of the document": chunks,
                "search p50 ms": float(np.median(plain)),
                "with neighbours p50 ms": float(np.median(around)),
            }
        )
    return rows


def main() -> None:
    """Measure, and publish the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=2000)
    parser.add_argument("--chunks", type=int, default=50_000)
    parser.add_argument("--lengths", type=int, nargs="*", default=[10, 5000])
    options = parser.parse_args()
    documents = options.documents
    rows: list[Row] = [
        {"writers": count, "documents": documents, "seconds": written(count, documents)}
        for count in (1, 2)
    ]
    publish("writers_of_one_index", rows)
    publish("neighbours", neighbours(options.lengths))
    publish("searches_while_a_graph_is_built", [searched_meanwhile(options.chunks)])


if __name__ == "__main__":
    main()
