"""Time of the packaged reranker: 50 passages of 200 tokens, int8 on ONNX Runtime against PyTorch.

python -m benchmarks.reranking [--passages 50]

PyTorch runs the encoder that the network was trained from on as many tokens, without its heads.
"""

import argparse
from itertools import pairwise

import numpy as np
import torch
from transformers import AutoModel

from benchmarks.made import CORPUS
from benchmarks.report import milliseconds, publish
from ragkit.core.settings import EmbedderSettings
from ragkit.models.build import build_embedder
from ragkit.models.cross_encoder import packaged_cross_encoder
from ragkit.models.packaged import packaged_folder

QUERY = "Which of these is the answer to a question of some length?"
_TOKENS = 200


def main() -> None:
    """Time each and publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--passages", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=10)
    options = parser.parse_args()
    passages = texts(options.passages)
    network = packaged_cross_encoder()
    jobs = {"int8, ONNX Runtime": lambda: network.relevance(QUERY, passages)}
    encoder = AutoModel.from_pretrained(packaged_folder(), add_pooling_layer=False).eval()
    ids = torch.randint(1000, 20_000, (options.passages, _TOKENS + 15))

    def forward(dtype: torch.dtype) -> None:
        enabled = dtype is not torch.float32
        with torch.inference_mode(), torch.autocast("cpu", dtype, enabled=enabled):
            encoder(input_ids=ids)

    jobs["bfloat16, PyTorch"] = lambda: forward(torch.bfloat16)
    jobs["float32, PyTorch"] = lambda: forward(torch.float32)
    times = {name: milliseconds(job, repeats=options.repeats) for name, job in jobs.items()}
    rows = [
        {"": name, "p50 ms": float(np.median(taken)), "least ms": float(taken.min())}
        for name, taken in times.items()
    ]
    publish("reranking", rows, note=f"{options.passages} passages of {_TOKENS} tokens")


def texts(count: int) -> list[str]:
    """Return passages of the example corpus of the same number of tokens."""
    tokenizer = build_embedder(EmbedderSettings()).tokenizer
    words = " ".join(path.read_text("utf-8") for path in sorted(CORPUS.rglob("*.md")))
    starts = tokenizer.token_starts(words)[::_TOKENS]
    found = [words[first:last] for first, last in pairwise(starts)]
    return [found[number % len(found)] for number in range(count)]


if __name__ == "__main__":
    main()
