"""Measurements behind the defaults of hybrid search and reranking: every choice on judged sets.

Run: python -m benchmarks.retrieval_choices FOLDER [--sets a,b] [--limit 100] [--seed 0]
     [--without 60] [--legs]

FOLDER holds data sets in the layout of BEIR. Both legs and the packaged reranker are asked once
for each query; fusion constants, weights, depths and blends are then computed from what they said.
A row is a choice, with its mean nDCG@10 over the sets, the worst set's loss against the better leg,
and the number of sets that lose. `--without 60 --seed 1` asks only queries that
`--limit 60 --seed 0` does not: choices made on those are checked on others.
"""

import argparse
import asyncio
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.report import publish
from benchmarks.retrieval_quality import MEASURE
from benchmarks.retrieval_sets import (
    CACHE,
    SEARCHED,
    WEIGHTS,
    Prepared,
    chosen,
    packaged_rotation,
    prepared,
)
from ragkit.core.protocols import LegQuery, Reranker
from ragkit.core.settings import RerankerSettings
from ragkit.evaluation.datasets import load_beir
from ragkit.evaluation.metrics import per_query
from ragkit.models.build import build_reranker
from ragkit.models.cross_encoder import PACKAGED_READER
from ragkit.models.packaged import MINILM
from ragkit.retrieval.fusion import FITTED, reciprocal_rank_fusion, score_fusion
from ragkit.retrieval.rerank import candidate_text, standardised

_DEPTH = 100
_READ = 50
_FEWEST = 20
_K = 60
_BM25 = FITTED[MINILM.name, "scores"].bm25


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The results of both legs and the reranker for a query; chunks by id."""

    dense: Mapping[str, float]
    bm25: Mapping[str, float]
    relevance: Mapping[str, float]
    uris: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Set:
    """A judged set and what was said of its queries."""

    qrels: Mapping[str, Mapping[str, int]]
    asked: Mapping[str, Asked]


Rank = Callable[[Asked], Sequence[str]]


def main() -> None:
    """Ask or read what was asked before, then compare the choices."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sets", help="names, separated by commas; all in the folder otherwise")
    parser.add_argument("--limit", type=int, default=100, help="queries of each set")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--without", type=int, default=0, help="leave out what this limit draws")
    parser.add_argument("--legs", action="store_true", help="do not ask the reranker")
    options = parser.parse_args()
    sets = {folder.name: load(folder, options) for folder in chosen(options.folder, options.sets)}
    sets = {name: one for name, one in sets.items() if len(one.asked) >= _FEWEST}
    legs = {
        name: max(mean(one, lambda a: by(a.bm25)), mean(one, lambda a: by(a.dense)))
        for name, one in sets.items()
    }
    rows = []
    for name, rank in choices(reranked=not options.legs):
        values = {key: mean(one, rank) for key, one in sets.items()}
        gains = [values[key] - legs[key] for key in sets]
        rows.append(
            {
                "choice": name,
                "nDCG@10": float(np.mean(list(values.values()))),
                "worst against the better leg": min(gains),
                "sets that lose": sum(gain < 0 for gain in gains),
            }
        )
    asked = sum(len(one.asked) for one in sets.values())
    note = f"{len(sets)} sets of {_FEWEST} queries or more, {asked} queries"
    if options.without:
        note += f"; none is among the {options.without} of each set that choices were made on"
    kind = "_checked" if options.without else "_legs" if options.legs else ""
    publish(f"retrieval_choices{kind}", rows, note=note)


def choices(*, reranked: bool) -> Iterator[tuple[str, Rank]]:
    """Every choice, by name."""
    yield "BM25", lambda a: by(a.bm25)
    yield "dense", lambda a: by(a.dense)
    for k in (5, 10, 20, 60, 120):
        yield f"RRF k={k}", lambda a, k=k: [x for x, _ in fused(a, k=k)]
    for weight in (0.7, 1.4, 2.0):
        yield f"RRF k={_K}, BM25 x {weight}", lambda a, w=weight: [x for x, _ in fused(a, weight=w)]
    for depth in (20, 50):
        yield f"RRF k={_K}, depth {depth}", lambda a, d=depth: [x for x, _ in fused(a, depth=d)]
    for weight in (0.5, 1.0, 1.5, 2.0, 3.0):
        for depth in (50, _DEPTH):
            yield (
                f"scores, BM25 x {weight}, depth {depth}",
                lambda a, w=weight, d=depth: [x for x, _ in scored(a, weight=w, depth=d)],
            )
    for read in (10, 20, 50) if reranked else ():
        for share in (0.2, 0.3, 0.5, 1.0):
            yield f"rerank {read}, {share} of it", lambda a, r=read, s=share: blended(a, r, s)


def by(scores: Mapping[str, float]) -> list[str]:
    """Ids, best first."""
    return sorted(scores, key=lambda item: -scores[item])


def fused(
    asked: Asked, *, k: int = _K, weight: float = 1.0, depth: int = _DEPTH
) -> list[tuple[str, float]]:
    """Reciprocal rank fusion."""
    legs = {"dense": by(asked.dense)[:depth], "bm25": by(asked.bm25)[:depth]}
    return reciprocal_rank_fusion(legs, k=k, weights={"dense": 1.0, "bm25": weight})


def scored(asked: Asked, *, weight: float = _BM25, depth: int = _DEPTH) -> list[tuple[str, float]]:
    """Fusion of scores."""
    legs = {"dense": first(asked.dense, depth), "bm25": first(asked.bm25, depth)}
    return score_fusion(legs, weights={"dense": 1.0, "bm25": weight})


def first(scores: Mapping[str, float], depth: int) -> list[tuple[str, float]]:
    """The best of a leg, best first."""
    return [(item, scores[item]) for item in by(scores)[:depth]]


def blended(asked: Asked, read: int, share: float) -> list[str]:
    """The first `read` of hybrid by relevance and fused score, each standardised; then the rest."""
    order = scored(asked)
    judged = [(item, score) for item, score in order[:read] if item in asked.relevance]
    if not judged:
        return [item for item, _ in order]
    relevance = standardised(np.array([asked.relevance[item] for item, _ in judged]))
    scores = standardised(np.array([score for _, score in judged]))
    mixed = share * relevance + (1 - share) * scores
    best = [judged[at][0] for at in np.argsort(-mixed, kind="stable")]
    return best + [item for item, _ in order if item not in set(best)]


def mean(one: Set, rank: Rank) -> float:
    """Mean nDCG@10 over the queries."""
    rankings = {
        query: list(dict.fromkeys(asked.uris[item] for item in rank(asked)))
        for query, asked in one.asked.items()
    }
    return float(np.mean(list(per_query(one.qrels, rankings)[MEASURE].values())))


def load(folder: Path, options: argparse.Namespace) -> Set:
    """Return the results of a set, from the file of an earlier run if it exists."""
    drawn = f"{options.limit}-{options.seed}-{options.without}"
    weights = WEIGHTS.partition("-")[0] if options.legs else WEIGHTS
    file = CACHE / "choices" / f"{folder.name}-{drawn}-{weights}.json"
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(asyncio.run(ask(folder, options))), encoding="utf-8")
    kept = json.loads(file.read_text(encoding="utf-8"))
    print(folder.name, len(kept["asked"]), flush=True)
    return Set(qrels=kept["qrels"], asked={q: Asked(**a) for q, a in kept["asked"].items()})


async def ask(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Ask both legs and the reranker of every query."""
    judge = None if options.legs else build_reranker(RerankerSettings(model=PACKAGED_READER))
    given: dict[str, Any] = {
        "limit": options.limit,
        "seed": options.seed,
        "search_dimensions": SEARCHED,
    }
    used = load_beir(folder).limited(options.without, seed=0).queries if options.without else {}
    async with prepared(folder, rotation=packaged_rotation(), **given) as made:
        asked: dict[str, Any] = {}
        for query_id, text in made.dataset.queries.items():
            if query_id not in used:
                asked[query_id] = asdict(await ask_one(made, text, judge))
        return {"qrels": {query: made.dataset.qrels[query] for query in asked}, "asked": asked}


async def ask_one(made: Prepared, text: str, judge: Reranker | None) -> Asked:
    """Ask both legs, and the reranker of the first of hybrid search."""
    vector = (await made.embedder.embed([text], task="query"))[0]
    legs = await made.index.search(LegQuery(vector=vector, text=text, depth=_DEPTH))
    ids = list(dict.fromkeys(item for leg in (legs.dense, legs.bm25) for item, _ in leg))
    chunks = {chunk.id: chunk for chunk in await made.index.fetch(ids)}
    one = Asked(
        dense=dict(legs.dense),
        bm25=dict(legs.bm25),
        relevance={},
        uris={item: chunk.uri for item, chunk in chunks.items()},
    )
    if judge is None:
        return one
    best = [item for item, _ in scored(one)][:_READ]
    scores = await judge.rerank(text, [candidate_text(chunks[item]) for item in best])
    return replace(one, relevance=dict(zip(best, scores.tolist(), strict=True)))


if __name__ == "__main__":
    main()
