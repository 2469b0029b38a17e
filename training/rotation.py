"""Learn the Matryoshka rotation of the packaged model from the vectors of `training.embeddings`.

python -m training.rotation VECTORS.npz ROTATION.npy [--steps 1500]
"""

import argparse
import time
from pathlib import Path

import numpy as np

from ragkit.models.matryoshka import Texts, fit_rotation
from ragkit.models.packaged import file_sha256
from ragkit.training.matryoshka import neighbours_kept


def main() -> None:
    """Learn, write, and say how much of each set's neighbourhoods prefixes keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("vectors", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--rate", type=float, default=2e-4)
    options = parser.parse_args()
    with np.load(options.vectors) as file:
        names = sorted({key.rsplit("/", 1)[0] for key in file.files})
        sets = {
            name: Texts(
                queries=file[f"{name}/queries"].astype(np.float32),
                passages=file[f"{name}/passages"].astype(np.float32),
            )
            for name in names
        }
    started = time.monotonic()

    def told(step: int, loss: float) -> None:
        if step % 100 == 0:
            print(f"{step:5} loss {loss:.3f} {time.monotonic() - started:.0f} s", flush=True)

    matrix = fit_rotation(list(sets.values()), steps=options.steps, rate=options.rate, on_step=told)
    np.save(options.out, matrix)
    for size in (64, 128):
        before = [neighbours_kept(s.queries, s.passages, size) for s in sets.values()]
        after = [
            neighbours_kept(s.queries @ matrix, s.passages @ matrix, size) for s in sets.values()
        ]
        print(f"{size:4} neighbours kept: plain {np.mean(before):.3f} rotated {np.mean(after):.3f}")
    print(file_sha256(options.out))


if __name__ == "__main__":
    main()
