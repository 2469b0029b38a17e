"""Fitting an embedder to one's own texts: a Matryoshka rotation, or the whole network."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel

from ragkit.core.errors import InputError, MissingExtraError
from ragkit.core.protocols import Embedder, OnProgress, Progress
from ragkit.core.settings import Settings
from ragkit.core.text import sentences
from ragkit.core.types import FloatArray, Task
from ragkit.core.vectors import unit
from ragkit.evaluation.datasets import json_lines
from ragkit.ingest.build import build_chunker
from ragkit.ingest.pipeline import passage_text
from ragkit.ingest.report import FailedDocument
from ragkit.ingest.sources import from_paths
from ragkit.models.build import build_embedder
from ragkit.models.matryoshka import PREFIXES, Texts, fit_rotation
from ragkit.models.packaged import packaged_model, verified_folder

_NEIGHBOURS = 10
_HELD_OUT = 0.1
_BATCH = 256


class Pair(BaseModel):
    """A query and a passage that answers it, as a line of JSON."""

    query: str
    positive: str
    title: str = ""

    @property
    def passage(self) -> str:
        """The passage under its title."""
        return f"{self.title}\n\n{self.positive}".strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """How much of the ranking by whole vectors a prefix keeps, for queries not learnt from.

    `plain` and `rotated` are shares, 0 to 1, of the 10 nearest passages of each query by whole
    vectors that are among its 10 nearest by the prefix, before and after the rotation.
    """

    dimensions: int
    plain: float
    rotated: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RotationReport:
    """What a rotation was learnt from, and what it is worth."""

    file: Path
    queries: int
    passages: int
    failed: tuple[FailedDocument, ...]
    kept: tuple[Kept, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    """What to learn from.

    Attributes:
        paths: Documents like those that will be searched.
        pairs: JSON lines of `query` and `positive`; their passages are used too. Without them the
            first sentences of passages stand for queries.
    """

    paths: Sequence[Path] = ()
    pairs: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """How long and how fast an embedder is fine-tuned; `rate` is AdamW's highest."""

    epochs: int = 1
    batch_size: int = 32
    rate: float = 2e-5
    seed: int = 0


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
        settings: Whose embedder is used, without the rotation that it has.
        examples: Documents, or pairs of query and passage.
        out: A `.npy` file, for `embedder.rotation`.
        steps: Updates.
        seed: Of the draws.
        on_progress: Told of embedding and of steps.

    Raises:
        InputError: There are too few texts, or a line of `pairs` is wrong.
    """
    if out.suffix != ".npy":
        raise InputError(f"A rotation is written to a .npy file, not to {str(out)!r}.")
    _make_folder(out.parent)
    whole = settings.embedder.model_copy(update={"rotation": None, "dimensions": None})
    model = build_embedder(whole)
    queries, passages, failed = await asyncio.to_thread(_texts, settings, model, examples)
    if not passages:
        reason = f" ({failed[0].uri}: {failed[0].reason})" if failed else ""
        raise InputError(f"No texts to learn from{reason}: give documents, or pairs.")
    random.Random(seed).shuffle(queries)
    near = await _embedded(model, queries, "query", on_progress)
    far = await _embedded(model, passages, "passage", on_progress)
    cut = max(1, int(len(near) * _HELD_OUT))
    prefixes = tuple(size for size in PREFIXES if size < model.dimensions)

    def told(step: int, _: float) -> None:
        if on_progress is not None:
            on_progress(Progress(phase="rotate", done=step + 1, total=steps))

    matrix = await asyncio.to_thread(
        fit_rotation,
        [Texts(queries=near[cut:], passages=far)],
        prefixes=prefixes,
        steps=steps,
        seed=seed,
        on_step=told,
    )
    np.save(out, matrix)
    return RotationReport(
        file=out,
        queries=len(queries),
        passages=len(passages),
        failed=failed,
        kept=tuple(
            Kept(
                dimensions=size,
                plain=neighbours_kept(near[:cut], far, size),
                rotated=neighbours_kept(near[:cut] @ matrix, far @ matrix, size),
            )
            for size in prefixes
        ),
    )


def neighbours_kept(queries: FloatArray, passages: FloatArray, dimensions: int) -> float:
    """Share of the 10 nearest passages by whole vectors that the prefix finds too."""
    whole = np.argsort(-(queries @ passages.T), axis=1)[:, :_NEIGHBOURS]
    short = unit(passages[:, :dimensions])
    found = np.argsort(-(queries[:, :dimensions] @ short.T), axis=1)[:, :_NEIGHBOURS]
    shares = [len(set(a) & set(b)) / len(a) for a, b in zip(whole, found, strict=True)]
    return float(np.mean(shares))


def train_embedder(
    settings: Settings, pairs: Path, out: Path, schedule: Schedule | None = None
) -> int:
    """Fine-tune the embedder of the settings on pairs, with prefixes that stand on their own.

    The other passages of a batch are a query's negatives (Henderson et al. 2017), at every prefix
    (Kusupati et al. 2022, arXiv:2205.13147). The model is written to the folder `out`, for
    `embedder.model = "sentence-transformers:OUT"`.

    Returns:
        The number of pairs.

    Raises:
        InputError: There are fewer than two pairs, or a line is wrong.
    """
    given, rows = schedule or Schedule(), load_pairs(pairs)
    if len(rows) < 2:
        raise InputError(f"{str(pairs)!r} has {len(rows)} pairs; at least 2 are needed.")
    try:
        import torch
        from datasets import Dataset
        from sentence_transformers import (
            SentenceTransformer,
            SentenceTransformerTrainer,
            SentenceTransformerTrainingArguments,
        )
        from sentence_transformers.sentence_transformer.losses import (
            MatryoshkaLoss,
            MultipleNegativesRankingLoss,
        )
        from transformers import PrinterCallback
    except ImportError as error:
        raise MissingExtraError("datasets", extra="train") from error
    _make_folder(out)
    model = SentenceTransformer(_source(settings), device=settings.embedder.device)
    known = build_embedder(settings.embedder).prompts
    prompts = {"anchor": known["query"], "positive": known["passage"]}
    whole = model.get_embedding_dimension() or 0
    sizes = [whole, *(size for size in reversed(PREFIXES) if size < whole)]
    trainer: Any = SentenceTransformerTrainer(  # `Any`: it is only partly typed
        model=model,
        args=SentenceTransformerTrainingArguments(
            prompts={column: text for column, text in prompts.items() if text},
            output_dir=str(out),
            num_train_epochs=given.epochs,
            per_device_train_batch_size=given.batch_size,
            learning_rate=given.rate,
            warmup_steps=0.1,
            seed=given.seed,
            save_strategy="no",
            dataloader_pin_memory=torch.cuda.is_available(),
            report_to="none",
            disable_tqdm=True,
            logging_strategy="no",
        ),
        train_dataset=Dataset.from_dict(
            {"anchor": [row.query for row in rows], "positive": [row.passage for row in rows]}
        ),
        loss=MatryoshkaLoss(model, MultipleNegativesRankingLoss(model), matryoshka_dims=sizes),
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    model.save(str(out))
    return len(rows)


def load_pairs(file: Path) -> list[Pair]:
    """Read JSON lines of `query`, `positive` and perhaps `title`.

    Raises:
        InputError: The file cannot be read, or a line is not of this form; it is named.
    """
    return list(json_lines(file, Pair))


def _texts(
    settings: Settings, model: Embedder, examples: Examples
) -> tuple[list[str], list[str], tuple[FailedDocument, ...]]:
    """Queries, passages, and the files that could not be read."""
    rows = [] if examples.pairs is None else load_pairs(examples.pairs)
    config = settings.ingest
    files = from_paths(
        examples.paths, encoding=config.encoding, max_bytes=config.max_file_mb * 2**20
    )
    documents, failed = files.documents()
    chunker = build_chunker(settings, model.tokenizer)
    chunks = [chunk for document in documents for chunk in chunker.chunk(document)]
    passages = {passage_text(chunk, model.tokenizer) for chunk in chunks}
    queries = [row.query for row in rows] or [
        _first_sentence(chunk.text, settings.index.language) for chunk in chunks
    ]
    return queries, sorted(passages | {row.passage for row in rows}), tuple(failed)


def _first_sentence(text: str, language: str) -> str:
    found = sentences(text, language=language)
    return text[slice(*found[0])] if found else text


async def _embedded(
    model: Embedder, texts: Sequence[str], task: Task, on_progress: OnProgress | None
) -> FloatArray:
    parts: list[FloatArray] = []
    for first in range(0, len(texts), _BATCH):
        if on_progress is not None:
            on_progress(Progress(phase=f"embed {task}", done=first, total=len(texts)))
        parts.append(await model.embed(texts[first : first + _BATCH], task=task))
    return np.concatenate(parts)


def _make_folder(folder: Path) -> None:
    """Before anything is learned, so that nothing is lost where it cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{str(folder)!r} cannot be a folder for what is learned: {error.strerror or error}."
        ) from error


def _source(settings: Settings) -> str:
    """The folder or hub name of the settings' embedder."""
    provider, _, name = settings.embedder.model.partition(":")
    return str(verified_folder(packaged_model(name))) if provider == "packaged" else name
