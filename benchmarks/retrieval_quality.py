"""Retrieval on judged data, every stage side by side: what decides ragkit's defaults.

Run: python -m benchmarks.retrieval_quality FOLDER [--sets a,b] [--limit 200] [--seed 0]

FOLDER holds data sets in the layout of BEIR. Each is ingested as `RAG.ingest` would; its vectors
are kept under `.ragkit/benchmarks`, and a set that is finished is not run again without `--fresh`.
Rows: BM25; dense search by whole vectors and by their prefixes, without and with the packaged
rotation (exact, so that nothing but the vectors decides); the index's own dense leg in two stages
(the prefix, then whole vectors); hybrid by scores, and by reciprocal ranks; hybrid with
pseudo-relevance feedback, with maximal marginal relevance, and reranked. Latency is from a query's
vector to ranked hits, of the stages that the index runs; texts embedded before are not again.
"""

import argparse
import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.report import publish
from benchmarks.retrieval_sets import (
    CACHE,
    SEARCHED,
    WEIGHTS,
    Prepared,
    chosen,
    packaged_rotation,
    prepared,
)
from ragkit.core.errors import InputError
from ragkit.core.settings import RerankerSettings, RetrievalSettings
from ragkit.evaluation.exact_rankings import exact_rankings
from ragkit.evaluation.metrics import per_query
from ragkit.evaluation.stats import compare, estimate
from ragkit.models.build import build_reranker
from ragkit.models.cross_encoder import PACKAGED_READER
from ragkit.retrieval.diversity import Diverse
from ragkit.retrieval.feedback import Feedback
from ragkit.retrieval.hybrid import HybridRetriever
from ragkit.retrieval.protocol import Retriever
from ragkit.retrieval.request import BOTH, Leg

MEASURE = "ndcg@10"
PREFIXES = (128, 64)
_DEPTH = 200
_DOCUMENTS = 100
_READ = 50


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sets", help="names, separated by commas; all in the folder otherwise")
    parser.add_argument("--limit", type=int, default=200, help="queries of each set")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fresh", action="store_true", help="measure finished sets again")
    options = parser.parse_args()
    found: dict[str, dict[str, Any]] = {}
    for folder in chosen(options.folder, options.sets):
        name = folder.name
        done = CACHE / "quality" / f"{name}-{options.limit}-{options.seed}-{WEIGHTS}.json"
        if options.fresh or not done.is_file():
            values = asyncio.run(measure(folder, options.limit, options.seed))
            done.parent.mkdir(parents=True, exist_ok=True)
            done.write_text(json.dumps(values), encoding="utf-8")
        found[name] = json.loads(done.read_text(encoding="utf-8"))
        print(
            name,
            {row: f"{np.mean(list(v.values())):.3f}" for row, v in found[name]["values"].items()},
        )
    show(found, options.limit)


async def measure(folder: Path, limit: int, seed: int) -> dict[str, Any]:
    """Values of each query and median milliseconds, by row of the table."""
    rotation = packaged_rotation()
    given: dict[str, Any] = {"limit": limit, "seed": seed, "search_dimensions": SEARCHED}
    async with prepared(folder, rotation=rotation, **given) as made:
        rankings, times = await staged(made)
        turned, asked = made.vectors @ rotation, made.queries @ rotation
        uris, queries = [chunk.uri for chunk in made.chunks], list(made.dataset.queries)
        rows = {"dense 384": exact_rankings(made.vectors, made.queries, uris)}
        for size in PREFIXES:
            rows[f"dense {size} plain"] = exact_rankings(
                made.vectors, made.queries, uris, dimensions=size
            )
            rows[f"dense {size}"] = exact_rankings(turned, asked, uris, dimensions=size)
        for row, ranked in rows.items():
            rankings[row] = dict(zip(queries, ranked, strict=True))
        return {
            "documents": len(made.dataset.documents),
            "chunks": len(made.chunks),
            "values": {
                row: per_query(made.dataset.qrels, ranked)[MEASURE]
                for row, ranked in rankings.items()
            },
            "p50_ms": {row: float(np.median(taken)) for row, taken in times.items()},
        }


async def staged(
    made: Prepared,
) -> tuple[dict[str, dict[str, list[str]]], dict[str, list[float]]]:
    """Rankings and milliseconds of the stages that the index runs."""
    settings = RetrievalSettings(depth=_DEPTH, drop_duplicates=False)
    plain = HybridRetriever(index=made.index, embedder=made.embedder, settings=settings)
    ranks = settings.model_copy(update={"fusion": "rrf", "bm25_weight": 1.0})
    judge = build_reranker(RerankerSettings(model=PACKAGED_READER))
    retrievers: Mapping[str, tuple[Retriever, int, tuple[Leg, ...]]] = {
        "BM25": (plain, _DEPTH, ("bm25",)),
        "two-stage 64": (plain, _DEPTH, ("dense",)),
        "hybrid": (plain, _DEPTH, BOTH),
        "RRF": (replace(plain, settings=ranks), _DEPTH, BOTH),
        "hybrid + feedback": (Feedback(inner=plain, embedder=made.embedder), _DEPTH, BOTH),
        "hybrid + MMR 0.7": (Diverse(inner=plain, embedder=made.embedder), _READ, BOTH),
        "hybrid + rerank": (replace(plain, reranker=judge), _READ, BOTH),
    }
    rankings: dict[str, dict[str, list[str]]] = {row: {} for row in retrievers}
    times: dict[str, list[float]] = {row: [] for row in retrievers}
    for query_id, text in made.dataset.queries.items():
        for row, (retriever, k, legs) in retrievers.items():
            started = time.perf_counter()
            try:
                hits = await retriever.search(text, k=k, legs=legs)
            except InputError:
                continue  # scores 0
            times[row].append((time.perf_counter() - started) * 1000)
            rankings[row][query_id] = list(dict.fromkeys(hit.chunk.uri for hit in hits))[
                :_DOCUMENTS
            ]
    return rankings, times


def show(found: Mapping[str, Mapping[str, Any]], limit: int) -> None:
    """The table, and what it says of hybrid and reranking."""
    first = next(iter(found.values()))
    rows = [
        {
            "set": name,
            "queries": len(result["values"]["hybrid"]),
            **{
                row: cell(list(result["values"][row].values()), result["p50_ms"].get(row))
                for row in first["values"]
            },
        }
        for name, result in found.items()
    ]
    means = {
        row: float(np.mean([np.mean(list(r["values"][row].values())) for r in found.values()]))
        for row in first["values"]
    }
    rows.append({"set": "mean", "queries": 0, **{row: f"{v:.3f}" for row, v in means.items()}})
    note = f"nDCG@10 with 95% intervals, p50 in ms; up to {limit} queries of each set"
    publish("retrieval_quality", rows, note=note)
    legs = ("BM25", "dense 384")
    wins = [
        name for name, r in found.items() if mean(r, "hybrid") >= max(mean(r, leg) for leg in legs)
    ]
    print(f"hybrid is at least the better leg on {len(wins)} of {len(found)} sets")
    for row in [row for row in first["values"] if row.startswith("hybrid +")]:
        verdicts = [
            f"{name} {compare(r['values']['hybrid'], r['values'][row]).verdict}"
            for name, r in found.items()
        ]
        print(
            f"{row} against hybrid: {means[row] / means['hybrid'] - 1:+.1%}; {', '.join(verdicts)}"
        )
    for size in PREFIXES:
        for row in (f"dense {size} plain", f"dense {size}"):
            print(f"{row} keeps {kept(found, row):.3f} of dense 384")
    print(f"two-stage 64 keeps {kept(found, 'two-stage 64'):.3f} of dense 384")


def cell(values: Sequence[float], milliseconds: float | None) -> str:
    """A figure with its interval and latency."""
    found = estimate(values)
    time_taken = "" if milliseconds is None else f" {milliseconds:.0f} ms"
    return f"{found.value:.3f} ({found.low:.3f}-{found.high:.3f}){time_taken}"


def mean(result: Mapping[str, Any], row: str) -> float:
    """Mean over queries."""
    return float(np.mean(list(result["values"][row].values())))


def kept(found: Mapping[str, Mapping[str, Any]], row: str) -> float:
    """Mean over sets of the share of whole vectors' nDCG@10."""
    return float(np.mean([mean(r, row) / mean(r, "dense 384") for r in found.values()]))


if __name__ == "__main__":
    main()
