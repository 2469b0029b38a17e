"""Embedding with the packaged model: ONNX Runtime against sentence-transformers, bulk and query.

python -m benchmarks.embedding [--passages 128]
"""

import argparse
import asyncio
import functools
from typing import Literal

from benchmarks.report import Row, milliseconds, publish
from benchmarks.reranking import texts
from ragkit.core.protocols import Embedder
from ragkit.core.settings import EmbedderSettings
from ragkit.models.embedding import ModelEmbedder
from ragkit.models.minilm import MiniLMEncoder
from ragkit.models.packaged import packaged_folder
from ragkit.models.sentence_transformer import SentenceTransformerEncoder

QUERY = "Who were the Normans?"


def by_torch(dtype: Literal["float32", "bfloat16"]) -> Embedder:
    """Make the embedder that runs the same weights through sentence-transformers."""
    settings = EmbedderSettings(dtype=dtype)
    return ModelEmbedder(settings, SentenceTransformerEncoder(str(packaged_folder()), settings))


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
    publish("embedding", rows, note=f"{len(passages)} passages of 200 tokens; least of the repeats")


def _embed(embedder: Embedder, calls: list[list[str]]) -> None:
    for call in calls:
        asyncio.run(embedder.embed(call))


if __name__ == "__main__":
    main()
