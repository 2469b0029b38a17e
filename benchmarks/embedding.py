"""Embedding with the packaged model: ONNX Runtime against sentence-transformers, bulk and query.

python -m benchmarks.embedding [--passages 128]

The second table has processor seconds, on one thread, of calls of all passages: `encode` of
sentence-transformers as it is, and ragkit's batches.
"""

import argparse
import asyncio
import functools
import time
from collections.abc import Callable
from typing import Literal

import numpy as np

from benchmarks.report import Row, milliseconds, publish
from benchmarks.reranking import texts
from ragkit.core.protocols import Embedder
from ragkit.core.settings import EmbedderSettings
from ragkit.core.types import FloatArray
from ragkit.models.embedding import ModelEmbedder
from ragkit.models.minilm import MiniLMEncoder
from ragkit.models.packaged import packaged_folder
from ragkit.models.sentence_transformer import SentenceTransformerEncoder

QUERY = "Who were the Normans?"


def by_torch(dtype: Literal["float32", "bfloat16"]) -> Embedder:
    """Make the embedder that runs the same weights through sentence-transformers."""
    settings = EmbedderSettings(dtype=dtype, rotation=None)
    return ModelEmbedder(settings, SentenceTransformerEncoder(str(packaged_folder()), settings))


def bulk_calls(passages: list[str], *, repeats: int) -> list[Row]:
    """Measure ragkit's batches against the library's, and the differences of vectors."""
    import torch
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(1)
    model = SentenceTransformer(str(packaged_folder()), device="cpu")
    ours, fast = by_torch("float32"), by_torch("bfloat16")
    calls: dict[str, Callable[[], FloatArray]] = {
        "`encode`, float32": lambda: np.asarray(
            model.encode(passages, normalize_embeddings=True, show_progress_bar=False)
        ),
        "ragkit, float32": lambda: asyncio.run(ours.embed(passages)),
        "ragkit, bfloat16": lambda: asyncio.run(fast.embed(passages)),
    }
    plain = next(iter(calls.values()))()
    differences = {name: float(np.abs(call() - plain).max()) for name, call in calls.items()}
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            started = time.process_time()
            call()
            seconds[name].append(time.process_time() - started)
    base = min(next(iter(seconds.values())))
    return [
        {
            "": name,
            "passages per processor second": len(passages) / min(taken),
            "times `encode`": base / min(taken),
            "largest difference": differences[name],
        }
        for name, taken in seconds.items()
    ]


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--passages", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    settings = EmbedderSettings(dtype="float32")
    embedders: dict[str, Embedder] = {
        "float32, ONNX Runtime": ModelEmbedder(settings, MiniLMEncoder(settings)),
        "float32, sentence-transformers": by_torch("float32"),
        "bfloat16, sentence-transformers": by_torch("bfloat16"),
    }
    passages = texts(options.passages)
    rows: list[Row] = []
    for name, embedder in embedders.items():
        # Calls of 16 passages are no bulk work, which would go to sentence-transformers.
        parts = [passages[at : at + 16] for at in range(0, len(passages), 16)]
        bulk = milliseconds(functools.partial(_embed, embedder, parts), repeats=options.repeats)
        query = milliseconds(functools.partial(_embed, embedder, [[QUERY]]), repeats=20)
        rate = 1000 * len(passages) / float(bulk.min())
        rows.append({"": name, "passages/s": rate, "query ms": float(query.min())})
    mixed = [text[: 200 + 61 * at % 800] for at, text in enumerate(passages)]
    publish("embedding", rows, note=f"{len(passages)} passages of 200 tokens; least of the repeats")
    publish("embedding_bulk", bulk_calls(mixed, repeats=options.repeats))


def _embed(embedder: Embedder, calls: list[list[str]]) -> None:
    for call in calls:
        asyncio.run(embedder.embed(call))


if __name__ == "__main__":
    main()
