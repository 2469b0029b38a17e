"""Average the weights of runs: one network that is better than each (Wortsman et al. 2022).

python -m training.average OUT.safetensors RUN.safetensors RUN.safetensors [...]

The runs start from the same network and differ in data and order (arXiv:2203.05482).
"""

import argparse
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file


def main() -> None:
    """Write the mean."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("runs", type=Path, nargs="+")
    options = parser.parse_args()
    runs = [load_file(run) for run in options.runs]
    mean = {name: torch.stack([run[name] for run in runs]).mean(0) for name in runs[0]}
    save_file(mean, options.out)


if __name__ == "__main__":
    main()
