"""Haystack's hybrid search behind Hayhooks, its HTTP server, over the passages of an index.

The pipeline is that of Haystack's own guide to hybrid retrieval: BM25 and vectors in its document
store, merged by reciprocal ranks. The passages are those of the index, the weights of the embedding
model too. It runs in an environment of its own: `make .venv-hayhooks`.
"""

import asyncio
import json
import os
import socket
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from ragkit import AsyncRAG
from ragkit.models.packaged import MINILM, verified_folder

ENVIRONMENT = Path(__file__).parents[1] / ".venv-hayhooks"
NAME = "hybrid"
START_S = 300
WRAPPER = """
import json
import os
from pathlib import Path

from hayhooks import BasePipelineWrapper
from haystack import Document, Pipeline
from haystack.components.joiners import DocumentJoiner
from haystack.components.retrievers.in_memory import (
    InMemoryBM25Retriever,
    InMemoryEmbeddingRetriever,
)
from haystack.document_stores.in_memory import InMemoryDocumentStore
from haystack_integrations.components.embedders.sentence_transformers import (
    SentenceTransformersDocumentEmbedder,
    SentenceTransformersTextEmbedder,
)


class PipelineWrapper(BasePipelineWrapper):
    def setup(self) -> None:
        store = InMemoryDocumentStore(embedding_similarity_function="cosine")
        lines = Path(os.environ["PEER_PASSAGES"]).read_text().splitlines()
        passages = [Document(**json.loads(line)) for line in lines]
        model = {"model": os.environ["PEER_MODEL"], "progress_bar": False}
        store.write_documents(
            SentenceTransformersDocumentEmbedder(**model).run(passages)["documents"]
        )
        embedder = SentenceTransformersTextEmbedder(**model)
        pipeline = Pipeline()
        pipeline.add_component("embedder", embedder)
        pipeline.add_component("dense", InMemoryEmbeddingRetriever(store, top_k=100))
        pipeline.add_component("bm25", InMemoryBM25Retriever(store, top_k=100))
        pipeline.add_component("joiner", DocumentJoiner(join_mode="reciprocal_rank_fusion"))
        pipeline.connect("embedder.embedding", "dense.query_embedding")
        pipeline.connect("dense", "joiner")
        pipeline.connect("bm25", "joiner")
        self.pipeline = pipeline

    def run_api(self, query: str, k: int) -> list[dict]:
        found = self.pipeline.run(
            {"embedder": {"text": query}, "bm25": {"query": query}, "joiner": {"top_k": k}}
        )
        documents = found["joiner"]["documents"]
        return [{"id": one.id, "text": one.content, "score": one.score} for one in documents]
"""


async def write_passages(rag: AsyncRAG, file: Path) -> int:
    """Write every passage of an index as JSON lines, and return their number."""
    index = await rag.index()
    chunks = await index.chunks([record.uri for record in await index.records()])
    rows = ({"id": chunk.id, "content": chunk.text} for chunk in chunks)
    await asyncio.to_thread(file.write_text, "".join(json.dumps(row) + "\n" for row in rows))
    return len(chunks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A server in a process of its own; `url` is that of its API, or of its search."""

    url: str
    pid: int


@contextmanager
def serving_peer(folder: Path, passages: Path) -> Generator[Served]:
    """Run Hayhooks with the pipeline."""
    place = folder / "pipelines" / NAME
    place.mkdir(parents=True)
    (place / "pipeline_wrapper.py").write_text(WRAPPER)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = {
        "PEER_PASSAGES": str(passages),
        "PEER_MODEL": str(verified_folder(MINILM)),
        "HAYSTACK_TELEMETRY_ENABLED": "False",
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",  # torch's threads for one short text cost it more than they bring
    }
    # Its own packages come first.
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    options = ["--host", "127.0.0.1", "--port", str(port), "--pipelines-dir", str(place.parent)]
    log = folder / "hayhooks.log"
    with (
        log.open("w") as written,
        subprocess.Popen(
            [str(ENVIRONMENT / "bin" / "hayhooks"), "run", *options],
            cwd=folder,
            env={**inherited, **settings},
            stdout=written,
            stderr=written,
        ) as process,
    ):
        try:
            wait_until_served(f"http://127.0.0.1:{port}/status/{NAME}", process, log)
            yield Served(url=f"http://127.0.0.1:{port}/{NAME}/run", pid=process.pid)
        finally:
            process.terminate()


def wait_until_served(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Wait until the pipeline is deployed."""
    until = time.monotonic() + START_S
    while time.monotonic() < until and process.poll() is None:
        try:
            if httpx.get(url, timeout=5).is_success:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.2)
    raise SystemExit(f"Hayhooks did not start: {log.read_text()[-2000:]}")
