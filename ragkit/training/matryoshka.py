"""A Matryoshka rotation of the embedder's vectors, learned from a user's own texts."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ragkit.core.errors import InputError
from ragkit.core.progress import OnProgress, Progress
from ragkit.core.protocols import Embedder
from ragkit.core.settings import Settings
from ragkit.core.text import sentences
from ragkit.core.types import FloatArray, Task
from ragkit.core.vectors import unit
from ragkit.ingest.build import build_chunker, build_reader
from ragkit.ingest.passage import passage_text
from ragkit.ingest.report import FailedDocument
from ragkit.ingest.sources import load_files
from ragkit.models.build import build_embedder
from ragkit.models.matryoshka import PREFIXES, Texts, fit_rotation
from ragkit.training.pairs import load_pairs, make_folder

_NEIGHBOURS = 10
_HELD_OUT = 0.1
_BATCH = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class NeighboursKept:
    """Share of the ranking by whole vectors that a prefix keeps, for queries that were held out.

    `plain` and `rotated` are shares, 0 to 1, of the 10 nearest passages of each query by whole
    vectors that are among its 10 nearest by the prefix, before and after the rotation.
    """

    dimensions: int
    plain: float
    rotated: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RotationReport:
    """The texts that a rotation was learned from, and its effect on each prefix."""

    file: Path
    queries: int
    passages: int
    failed: tuple[FailedDocument, ...]
    kept: tuple[NeighboursKept, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    """Sources of texts to learn from.

    Attributes:
        paths: Documents like those that will be searched.
        pairs: JSON lines of `query` and `positive`; their passages are used too. Without them the
            first sentences of passages stand for queries.
    """

    paths: Sequence[Path] = ()
    pairs: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Texts:
    queries: list[str]
    passages: list[str]
    failed: tuple[FailedDocument, ...]


async def train_rotation(
    settings: Settings,
    examples: Examples,
    out: Path,
    *,
    steps: int = 1500,
    seed: int = 0,
    on_progress: OnProgress | None = None,
) -> RotationReport:
    """Learn a Matryoshka rotation for the embedder of the settings, and write it to `out`.

    Args:
        settings: The embedder's settings; the rotation that they name is not used.
        examples: Documents, or pairs of query and passage.
        out: A `.npy` file, for `embedder.rotation`.
        steps: Number of updates.
        seed: Of all random choices.
        on_progress: Called while texts are embedded and for each step.

    Raises:
        InputError: There are too few texts, or a line of `pairs` is wrong.
    """
    if out.suffix != ".npy":
        raise InputError(f"The file {str(out)!r} has the wrong suffix. Fix: use .npy.")
    make_folder(out.parent)
    whole = settings.embedder.model_copy(update={"rotation": None, "dimensions": None})
    model = build_embedder(whole)
    texts = await _texts(settings, model, examples)
    if not texts.passages:
        first = texts.failed[0] if texts.failed else None
        reason = f" ({first.uri}: {first.reason})" if first else ""
        raise InputError(f"No texts to learn from{reason}. Fix: pass documents, or --pairs.")
    random.Random(seed).shuffle(texts.queries)
    near = await _embedded(model, texts.queries, "query", on_progress)
    far = await _embedded(model, texts.passages, "passage", on_progress)
    held_out = max(1, int(len(near) * _HELD_OUT))
    prefixes = tuple(size for size in PREFIXES if size < model.dimensions)

    def on_step(step: int, _: float) -> None:
        if on_progress is not None:
            on_progress(Progress(phase="rotate", done=step + 1, total=steps))

    matrix = await asyncio.to_thread(
        fit_rotation,
        [Texts(queries=near[held_out:], passages=far)],
        prefixes=prefixes,
        steps=steps,
        seed=seed,
        on_step=on_step,
    )
    np.save(out, matrix)
    return RotationReport(
        file=out,
        queries=len(texts.queries),
        passages=len(texts.passages),
        failed=texts.failed,
        kept=tuple(_kept(near[:held_out], far, matrix, size) for size in prefixes),
    )


def _kept(
    queries: FloatArray, passages: FloatArray, matrix: FloatArray, size: int
) -> NeighboursKept:
    return NeighboursKept(
        dimensions=size,
        plain=neighbours_kept(queries, passages, size),
        rotated=neighbours_kept(queries @ matrix, passages @ matrix, size),
    )


def neighbours_kept(queries: FloatArray, passages: FloatArray, dimensions: int) -> float:
    """Return the share of the 10 nearest passages by whole vectors that the prefix finds too."""
    whole = np.argsort(-(queries @ passages.T), axis=1)[:, :_NEIGHBOURS]
    short = unit(passages[:, :dimensions])
    found = np.argsort(-(queries[:, :dimensions] @ short.T), axis=1)[:, :_NEIGHBOURS]
    shares = [len(set(a) & set(b)) / len(a) for a, b in zip(whole, found, strict=True)]
    return float(np.mean(shares))


async def _texts(settings: Settings, model: Embedder, examples: Examples) -> _Texts:
    rows = [] if examples.pairs is None else load_pairs(examples.pairs)
    documents, failed = await load_files(examples.paths, build_reader(settings))
    chunker = build_chunker(settings, model.tokenizer, embedder=model)
    chunks = [
        chunk
        for document in documents
        for chunk in await asyncio.to_thread(chunker.chunk, document)
    ]
    passages = {passage_text(chunk, model.tokenizer) for chunk in chunks}
    queries = [row.query for row in rows]
    if not queries:
        language = settings.index.language
        for text in (chunk.text for chunk in chunks):
            found = sentences(text, language=language)
            queries.append(text[slice(*found[0])] if found else text)
    return _Texts(
        queries=queries,
        passages=sorted(passages | {row.passage for row in rows}),
        failed=tuple(failed),
    )


async def _embedded(
    model: Embedder, texts: Sequence[str], task: Task, on_progress: OnProgress | None
) -> FloatArray:
    parts: list[FloatArray] = []
    for first in range(0, len(texts), _BATCH):
        if on_progress is not None:
            on_progress(Progress(phase=f"embed {task}", done=first, total=len(texts)))
        parts.append(await model.embed(texts[first : first + _BATCH], task=task))
    return np.concatenate(parts)
