"""Every chunker side by side: what is found of the passages that answer, and of the documents.

Run: python -m benchmarks.chunking DATA [--sizes 128,200,512] [--sets a,b] [--legs hybrid]
[--chunkers a,b] [--limit 200] [--late MODEL]

DATA holds `qa/chunking_evaluation` (five long texts, and questions with the exact spans that answer
them) and `beir`. For each chunker and size the five best chunks of a question are compared with
these spans, by characters: recall (of the spans), precision (of the chunks) and intersection over
union (Smith and Troynikov 2024). Chunks that are read with others are taken with them. nDCG@10 is
that of documents, by their best chunk. With `--legs bm25` nothing is embedded, so that chunks may
be longer than the packaged embedder reads; sizes count its tokens.
"""

import argparse
import asyncio
import csv
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np

from benchmarks.report import Row, publish
from benchmarks.retrieval_sets import CACHE, Kept
from ragkit.core.errors import ConfigError
from ragkit.core.protocols import Embedder, Index
from ragkit.core.settings import EmbedderSettings, IndexSettings, IngestSettings, Settings
from ragkit.core.types import ChunkerName, Document, Hit
from ragkit.evaluation.datasets import load_beir
from ragkit.evaluation.metrics import per_query
from ragkit.index.build import build_index, identity_for
from ragkit.ingest.build import build_chunker
from ragkit.ingest.loaders import MarkdownLoader
from ragkit.ingest.pipeline import Pipeline
from ragkit.ingest.sources.stream import SourceStream
from ragkit.models.build import build_embedder
from ragkit.models.packaged import MINILM, verified_folder
from ragkit.models.tokens import ModelTokenizer
from ragkit.retrieval.build import build_retriever
from ragkit.retrieval.protocol import Retriever
from ragkit.retrieval.request import BOTH, Leg

CHUNKERS: Sequence[ChunkerName] = get_args(ChunkerName)
LEGS: Mapping[str, Sequence[Leg]] = {"bm25": ("bm25",), "dense": ("dense",), "hybrid": BOTH}
SETS = ("anthropic_docs", "emanual_s10", "hotpot100")
K = 5
_DEPTH = 50
_MEASURE = "ndcg@10"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A question, the text that it is about, and the spans that answer it."""

    text: str
    uri: str
    spans: Sequence[tuple[int, int]]


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--sizes", default="128,200,512")
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--chunkers", default=",".join(CHUNKERS))
    parser.add_argument("--legs", choices=list(LEGS), default="bm25")
    parser.add_argument("--late", metavar="MODEL", help="late chunking with this embedder")
    parser.add_argument("--limit", type=int, default=200, help="queries of each set")
    options = parser.parse_args()
    rows: list[Row] = []
    for name in options.chunkers.split(","):
        for size in map(int, options.sizes.split(",")):
            try:
                row = asyncio.run(_measured(options, name, size))
            except ConfigError as error:
                print(f"{name} {size}: {error}")
                continue
            print(row, flush=True)
            rows.append(row)
    note = f"{options.legs}; the {K} best chunks; nDCG@10 of up to {options.limit} queries"
    publish(f"chunking_{options.legs}{'_late' if options.late else ''}", rows, note=note)


async def _measured(options: argparse.Namespace, name: ChunkerName, size: int) -> Row:
    """The row of a chunker and a size."""
    ingest = IngestSettings(chunker=name, chunk_tokens=size)
    embedder = EmbedderSettings(rotation=None)
    if options.late:
        embedder = EmbedderSettings(model=options.late, late_chunking=True, rotation=None)
    bench = _Bench(settings=Settings(ingest=ingest, embedder=embedder), legs=options.legs)
    texts, questions = load_questions(options.data / "qa" / "chunking_evaluation")
    row: dict[str, str | int | float] = {"chunker": name, "tokens": size}
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        index, retriever = await bench.indexed(texts, folder)
        row["chunks"] = sum(record.chunks for record in await index.records())
        shares = [shares_of(await bench.hits(retriever, q.text, K), q) for q in questions]
        await index.close()
    for measure, values in zip(("recall", "precision", "IoU"), np.array(shares).T, strict=True):
        row[measure] = float(values.mean())
    for one in options.sets.split(",") if options.sets else []:
        dataset = load_beir(options.data / "beir" / one).limited(options.limit, seed=0)
        with tempfile.TemporaryDirectory() as folder:
            index, retriever = await bench.indexed(dataset.documents, folder)
            ranked = {
                key: list(
                    dict.fromkeys(
                        hit.chunk.uri for hit in await bench.hits(retriever, text, _DEPTH)
                    )
                )
                for key, text in dataset.queries.items()
            }
            await index.close()
        values = per_query(dataset.qrels, ranked)[_MEASURE].values()
        row[one] = float(np.mean(list(values)))
    if bench.embedder is bench.kept or name == "semantic":
        bench.kept.save()
    row["seconds"] = round(time.perf_counter() - started)
    return row


class _Bench:
    """Indexes documents with the settings, and searches them with the chosen legs."""

    def __init__(self, *, settings: Settings, legs: str) -> None:
        self.settings = settings
        late = settings.embedder.late_chunking
        self.kept = Kept(CACHE / "chunking.npz", None)
        self.model: Embedder = build_embedder(settings.embedder) if late else self.kept
        self.legs: Sequence[Leg] = LEGS[legs]
        self.embedder = None if legs == "bm25" else self.model

    async def indexed(self, documents: Sequence[Document], folder: str) -> tuple[Index, Retriever]:
        """Return an index of the documents, and a retriever over it."""
        tokenizer = self.model.tokenizer
        if self.embedder is None:
            file = verified_folder(MINILM) / "tokenizer.json"
            tokenizer = ModelTokenizer(file, model_max_tokens=10_000)
        place = IndexSettings(location=f"{folder}/index")
        index = await build_index(place, identity_for(self.embedder, place))
        chunker = build_chunker(self.settings, tokenizer, embedder=self.kept)
        pipeline = Pipeline(index=index, chunker=chunker, embedder=self.embedder)
        report = await pipeline.run(SourceStream(documents))
        if report.failed or report.stopped:
            raise RuntimeError(str(report.failed[:1] or report.stopped))
        retriever = build_retriever(self.settings, index=index, embedder=self.model)
        return index, retriever

    async def hits(self, retriever: Retriever, text: str, k: int) -> Sequence[Hit]:
        """Search with the chosen legs."""
        return await retriever.search(text, k=k, legs=list(self.legs))


def load_questions(folder: Path) -> tuple[list[Document], list[Question]]:
    """Read the long texts, and the questions with their spans in the loaded documents."""
    texts = {
        path.stem: path.read_text(encoding="utf-8") for path in (folder / "corpora").glob("*.md")
    }
    documents = [
        MarkdownLoader().load(text.encode(), uri=f"{name}.md")
        for name, text in sorted(texts.items())
    ]
    loaded = {document.uri.removesuffix(".md"): document.text for document in documents}
    questions: list[Question] = []
    with (folder / "questions_df.csv").open(encoding="utf-8", newline="") as file:
        for line in csv.DictReader(file):
            found = [
                (start, start + len(reference["content"]))
                for reference in json.loads(line["references"])
                if (start := loaded[line["corpus_id"]].find(reference["content"])) >= 0
            ]
            if found:
                questions.append(
                    Question(text=line["question"], uri=f"{line['corpus_id']}.md", spans=found)
                )
    return documents, questions


def shares_of(hits: Sequence[Hit], question: Question) -> tuple[float, float, float]:
    """Recall, precision and intersection over union of the characters of hits."""
    wanted = {place for span in question.spans for place in range(*span)}
    found = {
        (hit.chunk.uri, place) for hit in hits for place in range(hit.chunk.start, hit.chunk.end)
    }
    right = sum((question.uri, place) in found for place in wanted)
    union = len(found) + len(wanted) - right
    return right / len(wanted), right / len(found) if found else 0.0, right / union


if __name__ == "__main__":
    main()
