"""Rotations that put the most distinctive directions of embeddings into their first dimensions.

A rotation leaves all cosine similarities of whole vectors as they are, so it can be added to any
embedder without loss; it only changes the prefixes (Kusupati et al. 2022, arXiv:2205.13147, learn
the same by training the whole network). `fit_rotation` starts from the
principal components (Pearson 1901) and then moves them so that queries rank passages by their
prefixes as they do by whole vectors.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ragkit.core.errors import ConfigError, InputError, MissingExtraError
from ragkit.core.types import FloatArray

if TYPE_CHECKING:
    from torch import Tensor

PREFIXES = (32, 64, 128, 256)
FILE_NAME = "rotation.npy"
_TEMPERATURE = 0.05
_QUERIES, _PASSAGES = 256, 1024
_ORTHOGONAL = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """Embeddings of one set of texts: `queries` `[m, d]` and `passages` `[n, d]`, unit rows."""

    queries: FloatArray
    passages: FloatArray


def load_rotation(file: Path, *, dimensions: int) -> FloatArray:
    """Load an orthogonal float32 matrix `[dimensions, dimensions]`; use it as `vectors @ matrix`.

    Raises:
        ConfigError: The file is missing, or does not hold such a matrix.
    """
    try:
        matrix = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ConfigError(
            f"The rotation {str(file)!r} cannot be read: {error}. "
            "Fix: make one with `ragkit train matryoshka`."
        ) from error
    shape = getattr(matrix, "shape", "of an archive")
    if shape != (dimensions, dimensions):
        raise ConfigError(
            f"The rotation {str(file)!r} has the shape {shape}, and the embedder's vectors "
            f"have {dimensions} dimensions. Fix: train one for this embedder."
        )
    if not np.allclose(matrix @ matrix.T, np.eye(dimensions), atol=_ORTHOGONAL):
        raise ConfigError(
            f"The matrix in {str(file)!r} is not orthogonal and would change similarities. "
            "Fix: make one with `ragkit train matryoshka`."
        )
    return np.asarray(matrix, dtype=np.float32)


def principal_rotation(vectors: FloatArray) -> FloatArray:
    """Return the rotation `[d, d]` whose prefixes keep the most of the vectors' second moments."""
    data = vectors.astype(np.float64)
    _, components = np.linalg.eigh(data.T @ data)
    return np.ascontiguousarray(components[:, ::-1], dtype=np.float32)


def fit_rotation(
    sets: Sequence[Texts],
    *,
    prefixes: Sequence[int] = PREFIXES,
    steps: int = 1500,
    rate: float = 2e-4,
    seed: int = 0,
    on_step: Callable[[int, float], None] | None = None,
) -> FloatArray:
    """Learn a rotation `[d, d]` on texts like those to be searched.

    Every step takes queries and passages of one set and lowers the divergence of the prefixes'
    ranking from that of whole vectors, with the map kept orthogonal by construction: it is the
    principal components times the exponential of a skew-symmetric matrix.

    Args:
        sets: Embeddings; the queries of a set are ranked against its passages.
        prefixes: Prefix lengths that searches will use.
        steps: Updates; 0 gives the principal components.
        rate: Learning rate of Adam, which falls to zero.
        seed: The seed of the random draws.
        on_step: Called with the step and its loss.

    Raises:
        InputError: The texts are too few, or a prefix is out of range.
    """
    try:
        import torch as library
    except ImportError as error:
        raise MissingExtraError("torch", extra="local") from error
    torch: Any = library  # `Any`: its functions are only partly typed
    _check(sets, prefixes)
    start = torch.from_numpy(
        principal_rotation(np.concatenate([np.concatenate([s.queries, s.passages]) for s in sets]))
    )
    skew = torch.zeros_like(start, requires_grad=True)
    optimizer = torch.optim.Adam([skew], lr=rate)
    draw = np.random.default_rng(seed)
    sizes = np.sqrt([len(item.queries) for item in sets])
    for step in range(steps):
        for part in optimizer.param_groups:
            part["lr"] = rate * (1 - step / steps)
        chosen = sets[int(draw.choice(len(sets), p=sizes / sizes.sum()))]
        queries = torch.from_numpy(_sample(chosen.queries, _QUERIES, draw))
        passages = torch.from_numpy(_sample(chosen.passages, _PASSAGES, draw))
        turned = start @ torch.linalg.matrix_exp(skew - skew.T)
        loss: Any = _divergence(queries, passages, turned, prefixes)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if on_step is not None:
            on_step(step, loss.item())
    with torch.no_grad():
        turned = start.double() @ torch.linalg.matrix_exp((skew - skew.T).double())
        left, _, right = torch.linalg.svd(turned)
        matrix: FloatArray = (left @ right).float().numpy()
        return matrix


def _divergence(
    queries: "Tensor", passages: "Tensor", turned: "Tensor", prefixes: Sequence[int]
) -> "Tensor":
    from torch.nn.functional import kl_div, log_softmax, normalize

    whole = log_softmax(queries @ passages.T / _TEMPERATURE, dim=1)
    near, far = queries @ turned, passages @ turned
    total = queries.new_zeros(())
    for size in prefixes:
        cosines = normalize(near[:, :size]) @ normalize(far[:, :size]).T
        found = log_softmax(cosines / _TEMPERATURE, dim=1)
        total = total + kl_div(found, whole, log_target=True, reduction="batchmean")
    return total


def _sample(rows: FloatArray, count: int, draw: np.random.Generator) -> FloatArray:
    chosen = draw.choice(len(rows), size=min(count, len(rows)), replace=False)
    picked: FloatArray = rows[chosen]
    return picked


def _check(sets: Sequence[Texts], prefixes: Sequence[int]) -> None:
    if not sets:
        raise InputError("No texts to learn a rotation from, got an empty list.")
    dimensions = sets[0].passages.shape[1]
    count = sum(len(item.queries) + len(item.passages) for item in sets)
    if count < dimensions:
        raise InputError(
            f"{count} texts are too few for {dimensions} dimensions. Fix: pass some thousands."
        )
    bad = [size for size in prefixes if not 0 < size < dimensions]
    if bad or not prefixes:
        raise InputError(f"Prefixes must be between 1 and {dimensions - 1}, got {bad}.")
