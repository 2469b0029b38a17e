"""Ingestion: the pipeline against the bare embedder on the same passages, and unchanged trees.

python -m benchmarks.ingestion [--documents 60] [--files 1000]
"""

import argparse
import itertools
import re
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.made import CORPUS
from benchmarks.report import Row, publish
from ragkit import RAG, Settings
from ragkit.core.protocols import Embedder
from ragkit.core.settings import EmbedderSettings, RetrievalSettings
from ragkit.core.sync import run_sync
from ragkit.ingest.passage import passage_text
from ragkit.models.build import build_embedder
from ragkit.testing.embedder import HashEmbedder


def seconds(job: Callable[[], object]) -> float:
    """How long a job takes."""
    started = time.perf_counter()
    job()
    return time.perf_counter() - started


def write_tree(folder: Path, documents: int) -> None:
    """Markdown files of seven paragraphs each, taken in turn from the example corpus."""
    texts = (path.read_text("utf-8") for path in sorted(CORPUS.rglob("*.md")))
    paragraphs = [p for text in texts for p in re.split(r"\n{2,}", text) if len(p) > 300]
    turn = itertools.cycle(paragraphs)
    for number in range(documents):
        body = "\n\n".join(itertools.islice(turn, 7))
        (folder / f"{number:05}.md").write_text(f"# Document {number}\n\n{body}\n", "utf-8")


def stored_texts(rag: RAG, part: Embedder) -> list[str]:
    """The passages of an index as they were embedded."""
    hits = rag.search("the", k=100_000)
    return [passage_text(hit.chunk, part.tokenizer) for hit in hits]


def against_forward_passes(documents: int, *, repeats: int) -> Row:
    """The same passages through the pipeline and through the embedder alone, in turn."""
    part = build_embedder(EmbedderSettings())
    run_sync(lambda: part.embed(["warm up"] * 32))
    settings = Settings(retrieval=RetrievalSettings(depth=100_000, drop_duplicates=False))
    pipeline: list[float] = []
    bare: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder, "tree")
        tree.mkdir()
        write_tree(tree, documents)
        texts: Sequence[str] = []
        for number in range(repeats):
            with RAG(settings, index=Path(folder, f"index{number}"), embedder=part) as rag:
                pipeline.append(seconds(lambda rag=rag: rag.ingest(tree)))
                texts = texts or sorted(stored_texts(rag, part), key=len, reverse=True)
            bare.append(seconds(lambda texts=texts: run_sync(lambda: part.embed(texts))))
    ours, theirs = min(pipeline), min(bare)
    return {
        "what": "new tree",
        "documents": documents,
        "chunks": len(texts),
        "seconds": ours,
        "bare seconds": theirs,
        "share of bare speed": theirs / ours,
    }


def unchanged(files: int) -> Row:
    """A second ingestion of a tree of which nothing has changed."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder, "tree")
        tree.mkdir()
        write_tree(tree, files)
        with RAG(index=Path(folder, "index"), embedder=HashEmbedder(dimensions=384)) as rag:
            first = seconds(lambda: rag.ingest(tree))
            chunks = sum(record.chunks for record in rag.documents())
            again = min(seconds(lambda: rag.ingest(tree)) for _ in range(3))
    return {
        "what": "unchanged tree",
        "documents": files,
        "chunks": chunks,
        "seconds": again,
        "first time, hashing double": first,
    }


def main() -> None:
    """Measure both and publish the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=60)
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    publish("ingestion", [against_forward_passes(options.documents, repeats=options.repeats)])
    publish("reingestion", [unchanged(options.files)])


if __name__ == "__main__":
    main()
