"""Ingestion over a Ray cluster on this machine: processor seconds of each kind of process.

A hashing double embeds, so that no time goes into loading a model.

python -m benchmarks.cluster [--documents 60] [--actors 1 2]
"""

import argparse
import asyncio
import contextlib
import tempfile
import threading
from collections import defaultdict
from pathlib import Path

import psutil

from benchmarks.ingestion import seconds, write_pages
from benchmarks.report import Row, publish
from ragkit import RAG, Settings
from ragkit.core.settings import IngestSettings, RaySettings
from ragkit.ingest.cluster.ray_cluster import RayCluster
from ragkit.testing import HashEmbedder

_SAMPLE_S = 0.1


class ProcessorTimes:
    """Processor seconds of this process and its children by kind, sampled until closed."""

    def __init__(self) -> None:
        """Begin to sample."""
        self._seen: dict[int, tuple[str, float]] = {}
        self._first: dict[int, float] = {}
        self._ended = threading.Event()
        self._sample()
        self._first = {pid: used for pid, (_, used) in self._seen.items()}
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._ended.wait(_SAMPLE_S):
            self._sample()

    def _sample(self) -> None:
        own = psutil.Process()
        for process in [own, *own.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                kind = "driver" if process == own else _kind(process)
                self._seen[process.pid] = (kind, times.user + times.system)

    def close(self) -> dict[str, float]:
        """End, and return the seconds by kind."""
        self._ended.set()
        self._thread.join()
        found: dict[str, float] = defaultdict(float)
        for pid, (kind, used) in self._seen.items():
            found[kind] += used - self._first.get(pid, 0.0)
        return found


def _kind(process: psutil.Process) -> str:
    name = " ".join(process.cmdline())
    if "ragkit.ingest.workers.program" in name or "ray::Document" in name:
        return "Document"
    return "Embedding" if "ray::Embedding" in name else "Ray"


def ingested(tree: Path, index: Path, config: IngestSettings) -> Row:
    """Ingest a tree, and return what each kind of process used."""
    embedder = HashEmbedder(dimensions=384)
    with RAG(Settings(ingest=config), index=index, embedder=embedder) as rag:
        times = ProcessorTimes()
        elapsed = seconds(lambda: rag.ingest(tree))
        used = times.close()
        chunks = sum(record.chunks for record in rag.documents())
    return {
        "engine": config.engine,
        "actors of each kind": config.ray.parsers or 0,
        "chunks": chunks,
        "seconds": elapsed,
        "driver": used["driver"],
        "parsers": used["Document"],
        "embedders": used["Embedding"],
        "Ray": used["Ray"],
    }


def main() -> None:
    """Measure, and publish the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=60)
    parser.add_argument("--actors", type=int, nargs="*", default=[1, 2])
    options = parser.parse_args()
    cluster = RayCluster(RaySettings())
    asyncio.run(cluster.shape())  # it stays joined
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder, "tree")
        write_pages(tree, options.documents)
        rows = [ingested(tree, Path(folder, "local"), IngestSettings())]
        for count in options.actors:
            shape = RaySettings(parsers=count, embedders=count)
            config = IngestSettings(engine="ray", ray=shape)
            rows.append(ingested(tree, Path(folder, f"ray{count}"), config))
    asyncio.run(cluster.close())
    publish("cluster", rows)


if __name__ == "__main__":
    main()
