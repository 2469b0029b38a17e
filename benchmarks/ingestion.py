"""Ingestion: against the bare embedder, unchanged trees and documents, metadata, many headings.

python -m benchmarks.ingestion [--documents 60] [--files 1000] [--filled 1000 20000 200000]
"""

import argparse
import html
import itertools
import os
import re
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import docx

from benchmarks.made import CORPUS
from benchmarks.report import Row, publish
from ragkit import RAG, Settings
from ragkit.core.protocols import Embedder
from ragkit.core.settings import EmbedderSettings, IngestSettings, RetrievalSettings
from ragkit.core.sync import run_sync
from ragkit.ingest.chunkers.recursive import RecursiveChunker
from ragkit.ingest.loaders import MarkdownLoader
from ragkit.ingest.passage import passage_text
from ragkit.models.build import build_embedder
from ragkit.testing.embedder import HashEmbedder, WordTokenizer


def seconds(job: Callable[[], object]) -> float:
    """Measure the seconds of a job."""
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


def one_unchanged(documents: Sequence[int]) -> list[Row]:
    """Ingest one unchanged document, in indexes of more and more documents."""
    rows: list[Row] = []
    for count in documents:
        with tempfile.TemporaryDirectory() as folder:
            embedder = HashEmbedder(dimensions=32)
            with RAG(index=Path(folder, "index"), embedder=embedder) as rag:
                first = seconds(
                    lambda rag=rag, count=count: rag.ingest(
                        (f"{number}", f"document {number}") for number in range(count)
                    )
                )
                times = [seconds(lambda rag=rag: rag.ingest(("7", "document 7"))) for _ in range(5)]
        rows.append(
            {
                "what": "one unchanged document",
                "documents": count,
                "milliseconds": 1000 * min(times),
                "seconds to fill": first,
            }
        )
    return rows


def metadata_alone(documents: int) -> Row:
    """Update the metadata of a tree, against ingesting it, with the packaged model."""
    part = build_embedder(EmbedderSettings())
    run_sync(lambda: part.embed(["warm up"] * 32))
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder, "tree")
        tree.mkdir()
        write_tree(tree, documents)
        with RAG(index=Path(folder, "index"), embedder=part) as rag:
            first = seconds(lambda: rag.ingest(tree))
            update = seconds(lambda: rag.ingest(tree, metadata={"year": 2026}))
    return {"what": "metadata alone", "documents": documents, "first": first, "update": update}


def headings(count: int) -> Row:
    """Chunk a document of many headings."""
    text = "\n\n".join(f"# Heading {n}\n\nsome words of text here" for n in range(count))
    document = MarkdownLoader().load(text.encode(), uri="headings.md")
    chunker = RecursiveChunker(WordTokenizer())
    return {
        "what": "chunking",
        "headings": count,
        "seconds": seconds(lambda: chunker.chunk(document)),
    }


def write_pages(tree: Path, documents: int) -> None:
    """Write each of so many documents as a page and as a Word file."""
    tree.mkdir()
    write_tree(tree, documents)
    for file in sorted(tree.iterdir()):
        paragraphs = file.read_text("utf-8").split("\n\n")
        word = docx.Document()
        for paragraph in paragraphs:
            word.add_paragraph(paragraph)
        word.save(str(file.with_suffix(".docx")))
        file.with_suffix(".html").write_text(
            "".join(f"<p>{html.escape(paragraph)}</p>" for paragraph in paragraphs), "utf-8"
        )
        file.unlink()


def with_workers(documents: int) -> list[Row]:
    """Ingest pages and Word files with processes that load them, and without."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder, "tree")
        write_pages(tree, documents)
        for workers in (0, 1, 2):
            settings = Settings(ingest=IngestSettings(workers=workers))
            index, embedder = Path(folder, f"index{workers}"), HashEmbedder(dimensions=64)
            with RAG(settings, index=index, embedder=embedder) as rag:
                before = os.times()
                rag.ingest(tree)
                after = os.times()
            here, there = before.user + before.system, before.children_user + before.children_system
            rows.append(
                {
                    "what": "workers",
                    "workers": workers,
                    "documents": 2 * documents,
                    "seconds": after.elapsed - before.elapsed,
                    "processor seconds here": after.user + after.system - here,
                    "of workers": after.children_user + after.children_system - there,
                }
            )
    return rows


def main() -> None:
    """Measure, and publish the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=60)
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--filled", type=int, nargs="*", default=[1000, 20_000, 200_000])
    parser.add_argument("--headings", type=int, default=40_000)
    parser.add_argument("--paged", type=int, default=200)
    options = parser.parse_args()
    publish("ingestion", [against_forward_passes(options.documents, repeats=options.repeats)])
    publish("reingestion", [unchanged(options.files)])
    publish("one_unchanged_document", one_unchanged(options.filled))
    publish("metadata_update", [metadata_alone(options.documents)])
    publish("ingestion_with_workers", with_workers(options.paged))
    publish("chunking_of_headings", [headings(options.headings)])


if __name__ == "__main__":
    main()
