"""Near-duplicates: copies of texts with small changes, and what a search shows of them.

python -m benchmarks.duplicates [--documents 300]
"""

import argparse
import random
import re
import statistics
import time
from collections.abc import Callable, Mapping

from benchmarks.made import CORPUS
from benchmarks.report import Row, publish
from ragkit import RAG, Settings
from ragkit.core.settings import EmbedderSettings
from ragkit.models.build import build_embedder

K = 10


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


def shown(rag: RAG, queries: Mapping[str, str], near: float | None) -> Row:
    """Search for each document, and count it and the others among the first hits."""
    both: list[bool] = []
    others: list[int] = []
    seconds: list[float] = []
    for name, query in queries.items():
        started = time.process_time()
        hits = rag.search(query, k=K, near_duplicates=near)
        seconds.append(time.process_time() - started)
        found = [hit.chunk.uri for hit in hits]
        both.append({f"copy/{name}", f"original/{name}"} <= set(found))
        others.append(len({uri.partition("/")[2] for uri in found}))
    return {
        "near_duplicates": "off" if near is None else near,
        "text and its copy shown": statistics.mean(both),
        "different texts": statistics.mean(others),
        "milliseconds": 1000 * statistics.median(seconds),
    }


def main() -> None:
    """Measure, and publish the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=300)
    options = parser.parse_args()
    pages = (file.read_text("utf-8") for file in sorted(CORPUS.rglob("*.md")))
    paragraphs = [one for page in pages for one in page.split("\n\n") if len(one) > 300]
    texts = {str(number): text for number, text in enumerate(paragraphs[: options.documents])}
    queries = {name: " ".join(text.split()[:12]) for name, text in texts.items()}
    embedder, rows = build_embedder(EmbedderSettings()), list[Row]()
    for change, made in CHANGES.items():
        draw = random.Random(0)
        with RAG(Settings(), index=":memory:", embedder=embedder) as rag:
            rag.ingest((f"original/{name}", text) for name, text in texts.items())
            rag.ingest((f"copy/{name}", made(text, draw)) for name, text in texts.items())
            rows += [{"changed": change, **shown(rag, queries, near)} for near in (None, 0.9, 0.8)]
    publish("duplicates", rows)


if __name__ == "__main__":
    main()
