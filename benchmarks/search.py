"""Search latency: ragkit's hybrid search, bare engine calls, and a typical ensemble retriever.

    python -m benchmarks.search [--sizes 1000,10000,50000]

Embedding is left out on all sides: query vectors are given. The ensemble is what frameworks do:
BM25 by rank-bm25 over all texts, dense search by qdrant-client's local mode, fused by reciprocal
ranks.
"""

import argparse
import itertools
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import qdrant_edge as qe
from qdrant_client import QdrantClient, models
from rank_bm25 import BM25Okapi

from benchmarks.made import DIMENSIONS, Made, make
from benchmarks.report import Row, milliseconds, publish
from ragkit.core.settings import RetrievalSettings
from ragkit.core.sync import run_sync
from ragkit.core.types import FloatArray, IndexIdentity, Task
from ragkit.index.edge import PREFETCH_FACTOR, EdgeIndex
from ragkit.index.layout import FULL, SEARCH
from ragkit.retrieval.fusion import reciprocal_rank_fusion
from ragkit.retrieval.hybrid import HybridRetriever
from ragkit.testing.embedder import HashEmbedder

PREFIX = 128
SETTINGS = RetrievalSettings()
DEPTH, K = SETTINGS.depth, SETTINGS.k
IDENTITY = IndexIdentity(
    embedder="benchmark",
    revision="",
    dimensions=DIMENSIONS,
    search_dimensions=PREFIX,
    query_prompt="",
    passage_prompt="",
    language="english",
)


class GivenVectors(HashEmbedder):
    """Query vectors that were made beforehand."""

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


def edge(made: Made, folder: Path) -> tuple[EdgeIndex, Callable[[], object], Callable[[], object]]:
    """An index, one search by `HybridRetriever`, and the same by bare engine calls."""
    index = run_sync(lambda: EdgeIndex.open(folder, IDENTITY))
    entries = made.entries()
    for batch in (entries[n : n + 100] for n in range(0, len(entries), 100)):
        run_sync(lambda batch=batch: index.commit(batch))
    run_sync(index.optimize)
    vectors = dict(zip(made.queries, made.query_vectors, strict=True))
    retriever = HybridRetriever(index=index, embedder=GivenVectors(vectors), settings=SETTINGS)
    mine, bare = itertools.cycle(made.queries), itertools.cycle(vectors.items())
    shard = index._shard  # noqa: SLF001 - the engine underneath is what is compared with
    return (
        index,
        lambda: run_sync(lambda: retriever.search(next(mine))),
        lambda: bare_search(shard, *next(bare)),
    )


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
    """All three ways on the same data."""
    made = make(size)
    with tempfile.TemporaryDirectory() as folder:
        index, ours, bare = edge(made, Path(folder, "index"))
        mine, engine = milliseconds(ours, repeats=repeats), milliseconds(bare, repeats=repeats)
        run_sync(index.close)
    typical = milliseconds(ensemble(made), repeats=max(20, repeats // 10))
    p50, engine50, typical50 = (float(np.median(times)) for times in (mine, engine, typical))
    return {
        "chunks": size,
        "ragkit p50 ms": p50,
        "ragkit p95 ms": float(np.percentile(mine, 95)),
        "bare engine p50 ms": engine50,
        "ensemble p50 ms": typical50,
        "ragkit / bare": p50 / engine50,
        "ensemble / ragkit": typical50 / p50,
    }


def main() -> None:
    """Measure each size and publish the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="1000,10000,50000")
    parser.add_argument("--repeats", type=int, default=200)
    options = parser.parse_args()
    sizes = [int(size) for size in options.sizes.split(",")]
    rows = [measure(size, repeats=options.repeats) for size in sizes]
    publish("search", rows, note=f"hybrid search without embedding, depth {DEPTH}, k {K}")


if __name__ == "__main__":
    main()
