"""Recall against memory of quantised prefixes, rescored with whole vectors, on the embedded engine.

Run: python -m benchmarks.quantization FOLDER [--sets a,b] [--chunks 100000] [--prefixes 64,128]

FOLDER holds data sets in the layout of BEIR; their chunks and queries are embedded as ingestion
would, and turned by the packaged rotation. Where they are fewer than `--chunks`, they are repeated
with noise (cosine to the original 0.96). Recall is of the 10 nearest by whole vectors, exactly
computed, among the first 10 of the index's dense leg. Memory is measured in a process of its own
that opens the store and asks all queries: its own, and what it maps of the files.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import psutil
import qdrant_edge as qe

from benchmarks.made import IDENTITY
from benchmarks.report import disk_mib, publish
from benchmarks.retrieval_sets import SEARCHED, chosen, packaged_rotation, prepared
from ragkit.core.settings import RetrievalSettings
from ragkit.core.types import FloatArray, IndexIdentity, Quantization
from ragkit.core.vectors import unit
from ragkit.index.edge_points import dense_request, named, vectors_config

QUANTIZATIONS: tuple[Quantization, ...] = ("none", "int8", "binary")
_NOISE = 0.3
_FOUND = 10
_DEPTH = RetrievalSettings().depth
_UPSERT = 2000


def main() -> None:
    """Build every store, measure it, and publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sets", help="names, separated by commas; all in the folder otherwise")
    parser.add_argument("--chunks", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--prefixes", default="64,128")
    parser.add_argument("--quantizations", default=",".join(QUANTIZATIONS))
    parser.add_argument("--opened", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.opened:
        print(json.dumps(opened(options.folder, options.opened)))
        return
    real, asked = asyncio.run(embedded(chosen(options.folder, options.sets)))
    draw = np.random.default_rng(0)
    queries = asked[draw.choice(len(asked), min(options.queries, len(asked)), replace=False)]
    vectors = repeated(real, options.chunks, draw)
    nearest = exact(vectors, queries)
    rows = []
    names = options.quantizations.split(",")
    for prefix, quantization in product(map(int, options.prefixes.split(",")), names):
        with tempfile.TemporaryDirectory() as folder:
            np.save(Path(folder, "queries.npy"), queries)
            store = Path(folder, "store")
            fill(store, vectors, replace(IDENTITY, search_dimensions=prefix), quantization)
            disk = disk_mib(store)
            command = [sys.executable, "-m", "benchmarks.quantization", folder]
            done = subprocess.run(
                [*command, "--opened", str(prefix)], check=True, capture_output=True, text=True
            )
        found = json.loads(done.stdout)
        hits = [len(set(a) & set(b)) for a, b in zip(nearest, found.pop("found"), strict=True)]
        recall = float(np.mean(hits)) / _FOUND
        row = {"prefix": prefix, "quantized": quantization, f"recall@{_FOUND}": recall, **found}
        rows.append({**row, "disk MiB": disk})
        print(rows[-1], flush=True)
    own = min(len(real), options.chunks)
    note = f"{options.chunks} chunks, {own} of them real; {len(queries)} queries, depth {_DEPTH}"
    publish(f"quantization_{options.chunks}", rows, note=note)


async def embedded(folders: list[Path]) -> tuple[FloatArray, FloatArray]:
    """Chunks and queries of the sets, rotated."""
    rotation = packaged_rotation()
    chunks, queries = [], []
    for folder in folders:
        sizes = {"limit": 200, "seed": 0, "search_dimensions": SEARCHED}
        async with prepared(folder, rotation=rotation, **sizes) as made:
            chunks.append(made.vectors @ rotation)
            queries.append(made.queries @ rotation)
    return np.concatenate(chunks), np.concatenate(queries)


def repeated(real: FloatArray, count: int, draw: np.random.Generator) -> FloatArray:
    """So many vectors: the real ones, and then these again with noise."""
    vectors = np.empty((count, real.shape[1]), dtype=np.float32)
    for first in range(0, count, len(real)):
        part = real[: count - first]
        noise = draw.standard_normal(part.shape, dtype=np.float32) * _NOISE / real.shape[1] ** 0.5
        vectors[first : first + len(part)] = part if first == 0 else unit(part + noise)
    return vectors


def exact(vectors: FloatArray, queries: FloatArray) -> list[list[int]]:
    """The nearest of each query."""
    scores = queries @ vectors.T
    return np.argpartition(-scores, _FOUND, axis=1)[:, :_FOUND].tolist()


def fill(
    store: Path, vectors: FloatArray, made_for: IndexIdentity, quantization: Quantization
) -> None:
    """Write a store with these vectors, each with its number as id, and build its graph."""
    store.mkdir()
    shard = qe.EdgeShard.create(str(store), vectors_config(made_for, quantization))
    for first in range(0, len(vectors), _UPSERT):
        part = enumerate(vectors[first : first + _UPSERT], start=first)
        points = [qe.Point(number, named(vector, made_for), {}) for number, vector in part]
        shard.update(qe.UpdateOperation.upsert_points(points))
    shard.optimize()
    shard.close()


def opened(folder: Path, prefix: int) -> dict[str, object]:
    """Recall, latency and memory of a store."""
    queries = np.load(folder / "queries.npy")
    process, made_for = psutil.Process(), replace(IDENTITY, search_dimensions=prefix)
    before = process.memory_full_info()
    shard = qe.EdgeShard.load(str(folder / "store"))
    found, times = [], []
    for vector in queries:
        request = qe.QueryBatchRequest([dense_request(vector, made_for, _DEPTH)])
        started = time.perf_counter()
        points = shard.query_batch(request)[0]
        times.append((time.perf_counter() - started) * 1000)
        found.append([int(str(point.id)) for point in points[:_FOUND]])
    after = process.memory_full_info()
    shard.close()
    own = (after.uss - before.uss) / 2**20
    return {
        "memory MiB": own,
        "mapped MiB": (after.rss - before.rss) / 2**20 - own,
        "p50 ms": float(np.median(times)),
        "found": found,
    }


if __name__ == "__main__":
    main()
