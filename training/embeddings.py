"""Embed the mined questions and passages once, for the Matryoshka head.

    python -m training.embeddings MINED.jsonl OUT.npz

The output holds `<set>/queries` and `<set>/passages`, float16 `[n, 384]`, unrotated.
"""

import argparse
import asyncio
import json
import random
from collections import defaultdict
from pathlib import Path

import numpy as np

from ragkit.core.settings import EmbedderSettings
from ragkit.core.types import FloatArray
from ragkit.models.build import build_embedder

_PASSAGES = 1000
_CHARACTERS = 700


async def main() -> None:
    """Embed up to 1,000 passages of each set, and the questions on them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mined", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    sets: dict[str, list[tuple[str, str]]] = defaultdict(list)
    with options.mined.open(encoding="utf-8") as file:
        for row in map(json.loads, file):
            sets[row["dataset"]].append((row["query"], row["positive"]))
    model = build_embedder(EmbedderSettings(rotation=None))
    arrays: dict[str, FloatArray] = {}
    for name, rows in sets.items():
        chosen = random.Random(0).sample(rows, min(len(rows), _PASSAGES))
        passages = sorted({text[:_CHARACTERS] for _, text in chosen})
        arrays[f"{name}/queries"] = await model.embed([query for query, _ in chosen], task="query")
        arrays[f"{name}/passages"] = await model.embed(passages)
        print(name, len(chosen), len(passages), flush=True)
    np.savez(options.out, **{key: value.astype(np.float16) for key, value in arrays.items()})


if __name__ == "__main__":
    asyncio.run(main())
