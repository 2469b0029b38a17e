"""Search latency: ragkit's hybrid search, bare engine calls, and a typical ensemble retriever.

    python -m benchmarks.search [--sizes 1000,10000,50000]

Embedding is left out on all sides: query vectors are given. The ensemble is what frameworks do:
BM25 by rank-bm25 over all texts, dense search by qdrant-client's local mode, fused by reciprocal
ranks.
"""

import argparse
import functools
import itertools
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import qdrant_edge as qe
from qdrant_client import QdrantClient, models
from rank_bm25 import BM25Okapi

from benchmarks.made import DIMENSIONS, IDENTITY, PREFIX, Made, make
from benchmarks.report import Row, milliseconds, publish
from ragkit.core.settings import RetrievalSettings
from ragkit.core.sync import run_sync
from ragkit.core.types import FloatArray, Task
from ragkit.index.edge import EdgeIndex
from ragkit.index.layout import FULL, PREFETCH_FACTOR, SEARCH
from ragkit.retrieval.fusion import reciprocal_rank_fusion
from ragkit.retrieval.hybrid import HybridRetriever
from ragkit.testing.embedder import HashEmbedder

SETTINGS = RetrievalSettings()
DEPTH, K = SETTINGS.depth, SETTINGS.k
NOTE = (
    f"milliseconds of a hybrid search without embedding, depth {DEPTH}, k {K}. await and sync: "
    "HybridRetriever in a loop and behind the synchronous facade; bare: the engine's own calls; "
    "ensemble: rank-bm25 and qdrant-client's local mode"
)


class GivenVectors(HashEmbedder):
    """Query vectors that were made before the measurement."""

    def __init__(self, vectors: Mapping[str, FloatArray]) -> None:
        """Map each query to its vector."""
        super().__init__(dimensions=DIMENSIONS)
        self._vectors = vectors

    async def embed(
        self,
        texts: Sequence[str],
        *,
        task: Task = "passage",
        on_truncated: Callable[[int, int], None] | None = None,
    ) -> FloatArray:
        """Look the vectors up."""
        return np.stack([self._vectors[text] for text in texts])


def filled(made: Made, folder: Path) -> EdgeIndex:
    """An optimized index of made-up chunks."""
    index = run_sync(lambda: EdgeIndex.open(folder, IDENTITY))
    entries = made.entries()
    for batch in (entries[n : n + 100] for n in range(0, len(entries), 100)):
        run_sync(lambda batch=batch: index.commit(batch))
    run_sync(index.optimize)
    return index


async def awaited(
    retriever: HybridRetriever, queries: Sequence[str], *, repeats: int
) -> np.ndarray:
    """Milliseconds of searches that are awaited one after the other, as in a server."""
    times: list[float] = []
    for query in itertools.islice(itertools.cycle(queries), repeats + 3):
        started = time.perf_counter()
        await retriever.search(query)
        times.append((time.perf_counter() - started) * 1000)
    return np.array(times[3:])


def bare_search(shard: qe.EdgeShard, text: str, vector: FloatArray) -> object:
    """The engine's own calls for the same job: both legs in a batch, RRF, and the first k."""
    values = vector.tolist()
    prefetch = qe.Prefetch(
        limit=DEPTH * PREFETCH_FACTOR, query=qe.Query.Nearest(values[:PREFIX], using=SEARCH)
    )
    dense = qe.QueryRequest(
        limit=DEPTH, query=qe.Query.Nearest(values, using=FULL), prefetches=[prefetch]
    )
    bm25 = qe.QueryRequest(limit=DEPTH, query=qe.TextQuery("text", text))
    legs = shard.query_batch(qe.QueryBatchRequest([dense, bm25]))
    ranked = {str(n): [str(point.id) for point in leg] for n, leg in enumerate(legs)}
    best = [item for item, _ in reciprocal_rank_fusion(ranked)[:K]]
    return shard.retrieve(best, with_payload=True, with_vector=False)


def ensemble(made: Made) -> Callable[[], object]:
    """One search by rank-bm25 and qdrant-client's local mode, fused."""
    bm25 = BM25Okapi([text.split() for text in made.texts])
    client = QdrantClient(":memory:")
    params = models.VectorParams(size=DIMENSIONS, distance=models.Distance.COSINE)
    client.create_collection("made", vectors_config=params)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Local mode warns that it is slow at this size: measured.
        client.upload_collection(
            "made",
            vectors=made.vectors,
            payload=[{"text": text} for text in made.texts],
            ids=list(range(len(made.texts))),
        )
    queries = itertools.cycle(zip(made.queries, made.query_vectors, strict=True))

    def search() -> object:
        text, vector = next(queries)
        lexical = np.argsort(-bm25.get_scores(text.split()))[:DEPTH]
        points = client.query_points("made", query=vector.tolist(), limit=DEPTH).points
        legs = {"bm25": [str(n) for n in lexical], "dense": [str(point.id) for point in points]}
        return [made.texts[int(item)] for item, _ in reciprocal_rank_fusion(legs)[:K]]

    return search


def measure(size: int, *, repeats: int) -> Row:
    """All ways on the same data, in turn."""
    made = make(size)
    with tempfile.TemporaryDirectory() as folder:
        index = filled(made, Path(folder, "index"))
        vectors = dict(zip(made.queries, made.query_vectors, strict=True))
        retriever = HybridRetriever(index=index, embedder=GivenVectors(vectors), settings=SETTINGS)
        texts, pairs = itertools.cycle(made.queries), itertools.cycle(vectors.items())
        with index._store.use() as shard:  # noqa: SLF001 - compared with the engine underneath
            pass  # it stays open, since no other process waits
        mine, engine, facade = [], [], []
        for _ in range(4):
            job = functools.partial(awaited, retriever, made.queries, repeats=repeats // 4)
            mine.append(run_sync(job))
            engine.append(
                milliseconds(lambda: bare_search(shard, *next(pairs)), repeats=repeats // 4)
            )
            synced = functools.partial(run_sync, lambda: retriever.search(next(texts)))
            facade.append(milliseconds(synced, repeats=repeats // 4))
        run_sync(index.close)
    typical = milliseconds(ensemble(made), repeats=max(20, repeats // 10))
    ours = np.concatenate(mine)
    p50, engine50, facade50, typical50 = (
        float(np.median(times))
        for times in (ours, np.concatenate(engine), np.concatenate(facade), typical)
    )
    return {
        "chunks": size,
        "await p50": p50,
        "await p95": float(np.percentile(ours, 95)),
        "sync p50": facade50,
        "bare p50": engine50,
        "ensemble p50": typical50,
        "await/bare": p50 / engine50,
        "sync/bare": facade50 / engine50,
        "ensemble/await": typical50 / p50,
    }


def main() -> None:
    """Measure each size and publish the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="1000,10000,50000")
    parser.add_argument("--repeats", type=int, default=200)
    options = parser.parse_args()
    sizes = [int(size) for size in options.sizes.split(",")]
    rows = [measure(size, repeats=options.repeats) for size in sizes]
    publish("search", rows, note=NOTE)


if __name__ == "__main__":
    main()
