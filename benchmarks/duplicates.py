"""Near-duplicates: copies of texts with small changes, and what a search shows of them.

python -m benchmarks.duplicates [--documents 300] [--copies 1] [--minhash]

With `--minhash` (`pip install datasketch`), also with marks in the index: texts that MinHash takes
for near-duplicates of an earlier one while they are ingested, and that a filter leaves out.
"""

import argparse
import importlib
import random
import re
import statistics
import time
import tracemalloc
from collections.abc import Callable, Iterator, Mapping

from benchmarks.made import CORPUS
from benchmarks.report import Row, publish
from ragkit import RAG, Document, Settings
from ragkit.core.filters import Eq, Filter
from ragkit.core.protocols import Embedder
from ragkit.core.settings import EmbedderSettings, IndexSettings
from ragkit.core.types import FieldType
from ragkit.models.build import build_embedder

K = 10
PERMUTATIONS = 128
"""Numbers of a MinHash."""


def _sentence(text: str, draw: random.Random) -> str:
    """Insert a sentence at the beginning."""
    note = "This copy was moved here from the former archive of the department. "
    return note * draw.randint(1, 2) + text


def _words(text: str, draw: random.Random) -> str:
    """Replace one word in fifty by another of the text."""
    words = text.split(" ")
    for _ in range(len(words) // 50):
        words[draw.randrange(len(words))] = draw.choice(words)
    return " ".join(words)


def _numbers(text: str, draw: random.Random) -> str:
    """Change every number."""
    return re.sub(r"\d+", lambda found: str(int(found[0]) + draw.randint(1, 9)), text)


CHANGES: Mapping[str, Callable[[str, random.Random], str]] = {
    "a sentence before": _sentence,
    "one word in fifty": _words,
    "every number": _numbers,
}


def shown(rag: RAG, queries: Mapping[str, str], *, near: float | None, where: Filter | None) -> Row:
    """Search for each document, and count it and the others among the first hits."""
    found, repeated, different, seconds = list[bool](), list[bool](), list[int](), list[float]()
    for name, query in queries.items():
        started = time.process_time()
        hits = rag.search(query, k=K, near_duplicates=near, where=where)
        seconds.append(time.process_time() - started)
        texts = [uri.partition("/")[2] for uri in {hit.chunk.uri for hit in hits}]
        found.append(name in texts)
        repeated.append(texts.count(name) > 1)
        different.append(len(set(texts)))
    return {
        "text shown": statistics.mean(found),
        "shown more than once": statistics.mean(repeated),
        "different texts": statistics.mean(different),
        "milliseconds": 1000 * statistics.median(seconds),
    }


def marked(texts: Mapping[str, str], threshold: float) -> set[str]:
    """Return the names of texts whose runs of words are, to this share, an earlier one's."""
    datasketch = importlib.import_module("datasketch")
    near = datasketch.MinHashLSH(threshold=threshold, num_perm=PERMUTATIONS)
    repeats, signatures = set[str](), {}
    for name, text in texts.items():
        words = re.findall(r"\w+", text.casefold())
        runs = {" ".join(words[at : at + 3]).encode() for at in range(max(1, len(words) - 2))}
        signatures[name] = one = datasketch.MinHash(num_perm=PERMUTATIONS)
        one.update_batch(list(runs))
        if any(one.jaccard(signatures[other]) >= threshold for other in near.query(one)):
            repeats.add(name)
        near.insert(name, one)
    return repeats


def cost(texts: Mapping[str, str], threshold: float) -> Row:
    """Milliseconds and bytes of memory that MinHash takes for a text."""
    started = time.process_time()
    marked(texts, threshold)
    seconds = time.process_time() - started
    tracemalloc.start()
    marked(texts, threshold)
    taken = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return {"ingestion ms": 1000 * seconds / len(texts), "bytes": taken // len(texts)}


def rows_of(
    change: str, texts: Mapping[str, str], copies: int, embedder: Embedder, thresholds: list[float]
) -> Iterator[Row]:
    """Yield the rows of a kind of change; what MinHash marks is left out by a filter."""
    draw, stored = random.Random(0), {f"original/{name}": text for name, text in texts.items()}
    for copy in range(copies):
        stored |= {f"copy{copy}/{key}": CHANGES[change](text, draw) for key, text in texts.items()}
    queries = {name: " ".join(text.split()[:12]) for name, text in texts.items()}
    marks = {f"repeats_{one}": marked(stored, one) for one in thresholds}
    fields: dict[str, FieldType] = dict.fromkeys(marks, "bool")
    with RAG(
        Settings(index=IndexSettings(location=":memory:", fields=fields)), embedder=embedder
    ) as rag:
        rag.ingest(
            Document.from_text(
                text, uri=uri, metadata={field: uri in found for field, found in marks.items()}
            )
            for uri, text in stored.items()
        )
        for near in (None, 0.9, 0.8):
            label = f"near_duplicates {near or 'off'}"
            row = shown(rag, queries, near=near, where=None)
            yield {"changed": change, "by": label, **row, "ingestion ms": 0.0, "bytes": 0}
        for field, threshold in zip(marks, thresholds, strict=True):
            row = shown(rag, queries, near=None, where=Eq(field=field, value=False))
            label = f"MinHash {threshold}"
            yield {"changed": change, "by": label, **row, **cost(stored, threshold)}


def main() -> None:
    """Measure, and publish the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=300)
    parser.add_argument("--copies", type=int, default=1)
    parser.add_argument("--minhash", action="store_true")
    options = parser.parse_args()
    pages = (file.read_text("utf-8") for file in sorted(CORPUS.rglob("*.md")))
    paragraphs = [one for page in pages for one in page.split("\n\n") if len(one) > 300]
    texts = {str(number): text for number, text in enumerate(paragraphs[: options.documents])}
    embedder, rows = build_embedder(EmbedderSettings()), list[Row]()
    for change in CHANGES:
        thresholds = [0.8, 0.5] if options.minhash else []
        for row in rows_of(change, texts, options.copies, embedder, thresholds):
            print(row, flush=True)
            rows.append(row)
    publish("duplicates_minhash" if options.minhash else "duplicates", rows)


if __name__ == "__main__":
    main()
