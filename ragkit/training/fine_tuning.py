"""Fine-tuning of an embedder on pairs, with prefixes of its vectors that can be used alone."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragkit.core.errors import InputError, MissingExtraError
from ragkit.core.settings import Settings
from ragkit.models.build import build_embedder
from ragkit.models.matryoshka import PREFIXES
from ragkit.models.packaged import packaged_model, verified_folder
from ragkit.training.pairs import load_pairs, make_folder

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformerTrainingArguments


@dataclass(frozen=True, slots=True, kw_only=True)
class FineTuning:
    """Options of fine-tuning; `rate` is AdamW's highest learning rate."""

    epochs: int = 1
    batch_size: int = 32
    rate: float = 2e-5
    seed: int = 0


def train_embedder(
    settings: Settings, pairs: Path, out: Path, options: FineTuning | None = None
) -> int:
    """Fine-tune the embedder of the settings on pairs, with MatryoshkaLoss.

    The other passages of a batch are a query's negatives (Henderson et al. 2017), at every prefix
    (Kusupati et al. 2022, arXiv:2205.13147). The model is written to the folder `out`, for
    `embedder.model = "sentence-transformers:OUT"`.

    Returns:
        The number of pairs.

    Raises:
        InputError: There are fewer than two pairs, or a line is wrong.
        MissingExtraError: The extra `train` is not installed.
    """
    rows = load_pairs(pairs)
    if len(rows) < 2:
        raise InputError(f"{str(pairs)!r} has {len(rows)} pairs. Fix: pass 2 or more.")
    try:
        from datasets import Dataset
        from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer
        from sentence_transformers.sentence_transformer.losses import (
            MatryoshkaLoss,
            MultipleNegativesRankingLoss,
        )
        from transformers import PrinterCallback
    except ImportError as error:
        raise MissingExtraError("datasets", extra="train") from error
    make_folder(out)
    provider, _, name = settings.embedder.model.partition(":")
    source = str(verified_folder(packaged_model(name))) if provider == "packaged" else name
    model = SentenceTransformer(source, device=settings.embedder.device)
    whole = model.get_embedding_dimension() or 0
    sizes = [whole, *(size for size in reversed(PREFIXES) if size < whole)]
    trainer: Any = SentenceTransformerTrainer(  # `Any`: it is only partly typed
        model=model,
        args=_arguments(settings, out, options or FineTuning()),
        train_dataset=Dataset.from_dict(
            {"anchor": [row.query for row in rows], "positive": [row.passage for row in rows]}
        ),
        loss=MatryoshkaLoss(model, MultipleNegativesRankingLoss(model), matryoshka_dims=sizes),
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    model.save(str(out))
    return len(rows)


def _arguments(
    settings: Settings, out: Path, options: FineTuning
) -> "SentenceTransformerTrainingArguments":
    import torch
    from sentence_transformers import SentenceTransformerTrainingArguments

    known = build_embedder(settings.embedder).prompts
    prompts = {"anchor": known["query"], "positive": known["passage"]}
    return SentenceTransformerTrainingArguments(
        prompts={column: text for column, text in prompts.items() if text},
        output_dir=str(out),
        num_train_epochs=options.epochs,
        per_device_train_batch_size=options.batch_size,
        learning_rate=options.rate,
        warmup_steps=0.1,
        seed=options.seed,
        save_strategy="no",
        dataloader_pin_memory=torch.cuda.is_available(),
        report_to="none",
        disable_tqdm=True,
        logging_strategy="no",
    )
