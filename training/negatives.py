"""Hard negatives: what ragkit's own hybrid search ranks high and does not answer the question.

    python -m training.negatives DATA OUT.jsonl

Each set of questions is an index of its own, filled with the passages of its questions. A line of
the output is a question, its passage and up to `--keep` others, each as the reranker gets them:
title and headings, a blank line, the text.
"""

import argparse
import asyncio
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ragkit import AsyncRAG, Settings
from ragkit.core.protocols import Index, LegQuery
from ragkit.core.types import Chunk, FloatArray
from ragkit.retrieval.fusion import reciprocal_rank_fusion
from training.questions import Question, document, questions

_DEPTH = 30


async def mine(asked: Sequence[Question], *, keep: int) -> list[dict[str, Any]]:
    """The lines of a set."""
    with TemporaryDirectory() as folder:
        async with AsyncRAG(Settings(), index=Path(folder) / "index") as rag:
            passages = {(item.title, item.text) for item in asked}
            await rag.ingest(*(document(title, text) for title, text in sorted(passages)))
            index = await rag.index()
            vectors = await rag.embedder.embed([item.query for item in asked], task="query")
            return [
                line(item, await hybrid(index, item.query, vector), keep=keep)
                for item, vector in zip(asked, vectors, strict=True)
            ]


async def hybrid(index: Index, query: str, vector: FloatArray) -> list[Chunk]:
    """Return the results of hybrid search for an embedded query."""
    legs = await index.search(LegQuery(vector=vector, text=query, depth=_DEPTH))
    ids = {"dense": [item for item, _ in legs.dense], "bm25": [item for item, _ in legs.bm25]}
    best = [item for item, _ in reciprocal_rank_fusion(ids)[:_DEPTH]]
    known = {**legs.chunks}
    for chunk in await index.fetch([item for item in best if item not in known]):
        known[chunk.id] = chunk
    return [known[item] for item in best]


def line(item: Question, hits: Sequence[Chunk], *, keep: int) -> dict[str, Any]:
    """A question with its passage and what was found beside it."""
    own = document(item.title, item.text).uri
    positive, answer = item.text, item.answer
    if answer is None:
        positive = next((shown(hit) for hit in hits if hit.uri == own), "")
        positive = positive or f"{item.title}\n\n{item.text}".strip()
    return {
        "dataset": item.dataset,
        "query": item.query,
        "title": item.title,
        "positive": positive,
        "answer": answer,
        "negatives": list(others(item, own, hits))[:keep],
    }


def others(item: Question, own: str, hits: Sequence[Chunk]) -> Iterator[str]:
    """Passages of other documents; for a question with a span, those without its text."""
    gold = item.text[slice(*item.answer)].casefold() if item.answer else None
    for hit in hits:
        if hit.uri == own or (gold is not None and gold in hit.text.casefold()):
            continue
        if gold is None and hit.text in item.text:
            continue
        yield shown(hit)


def shown(hit: Chunk) -> str:
    """A chunk as the reranker gets it."""
    return f"{hit.header}\n\n{hit.text}".strip()


def main() -> None:
    """Mine every set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--keep", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--skip", nargs="*", default=(), help="sets that are left out")
    options = parser.parse_args()
    with options.out.open("a", encoding="utf-8") as file:
        for name, asked in questions(options.data, seed=options.seed).items():
            if name in options.skip:
                continue
            lines = asyncio.run(mine(asked, keep=options.keep))
            file.writelines(json.dumps(item, ensure_ascii=False) + "\n" for item in lines)
            short = sum(len(item["negatives"]) < options.keep for item in lines)
            print(f"{name:20} {len(lines):6} questions, {short} with fewer negatives", flush=True)


if __name__ == "__main__":
    main()
