"""Embedders: sentence-transformers models of any folder or hub name, and the packaged one."""

import asyncio
import hashlib
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np

from ragkit.core.errors import ConfigError, MissingExtraError, ProviderError
from ragkit.core.protocols import Tokenizer
from ragkit.core.settings import EmbedderSettings
from ragkit.core.text import may_exceed
from ragkit.core.types import FloatArray, Task
from ragkit.core.vectors import unit
from ragkit.models.matryoshka import load_rotation
from ragkit.models.packaged import (
    ROTATIONS,
    PackagedModel,
    file_sha256,
    packaged_model,
    verified_folder,
    verified_weights,
)
from ragkit.models.tokens import ModelTokenizer

logger = logging.getLogger(__name__)

_WEIGHTS = ("*.safetensors", "*.bin", "*.onnx")
_PROMPT_NAMES: Mapping[Task, tuple[str, ...]] = {
    "query": ("query",),
    "passage": ("passage", "document"),
}


class _SentenceTransformer(Protocol):
    """The used part of a `SentenceTransformer`, whose signature is only partly typed."""

    prompts: dict[str, str]
    max_seq_length: int | None
    tokenizer: Any  # a tokenizer of transformers, which has no types
    device: Any  # a torch device, untyped until torch is imported

    def __getitem__(self, index: int, /) -> Any: ...  # a torch module: its attributes are untyped

    def get_embedding_dimension(self) -> int | None: ...

    def encode(
        self,
        inputs: list[str],
        *,
        prompt: str | None,
        batch_size: int,
        normalize_embeddings: bool,
        show_progress_bar: bool,
    ) -> FloatArray: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """The name, revision, shape, prompts and tokenizer of a model."""

    name: str
    revision: str
    dimensions: int
    prompts: Mapping[Task, str]
    tokenizer: Tokenizer


class SentenceTransformerEmbedder:
    """A sentence-transformers model, loaded on first use.

    Vectors are multiplied by the rotation, if the settings or the model have one
    (`ragkit.models.matryoshka`). With
    `dimensions` set, they are cut to that Matryoshka prefix and scaled to unit length (Kusupati et
    al. 2022, arXiv:2205.13147).
    """

    def __init__(self, settings: EmbedderSettings) -> None:
        """Choose the model; nothing is loaded yet."""
        self._settings = settings
        self._provider, _, self._name = settings.model.partition(":")
        self._lock = threading.Lock()

    @property
    def identity(self) -> tuple[str, str]:
        """Model name and revision; a rotation is part of the revision."""
        name, revision = self._facts.name, self._facts.revision
        if self._rotation is not None:
            revision += f"+{hashlib.sha256(self._rotation.tobytes()).hexdigest()[:8]}"
        return name, revision

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        whole = self._facts.dimensions
        return self._settings.dimensions or whole

    @property
    def prompts(self) -> Mapping[Task, str]:
        """The text put before a query and before a passage."""
        return self._facts.prompts

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's tokenizer, with its limit."""
        return self._facts.tokenizer

    async def embed(
        self,
        texts: Sequence[str],
        *,
        task: Task = "passage",
        on_truncated: Callable[[int, int], None] | None = None,
    ) -> FloatArray:
        """Embed texts into float32 `[n, dimensions]`, each row of unit length."""
        if not texts:
            return np.zeros((0, self.dimensions), dtype=np.float32)
        return await asyncio.to_thread(self._embed, texts, task, on_truncated or _warn)

    def _embed(
        self, texts: Sequence[str], task: Task, on_truncated: Callable[[int, int], None]
    ) -> FloatArray:
        for position, tokens in _too_long(texts, self.tokenizer):
            on_truncated(position, tokens)
        # One forward pass at a time: two would share the same cores and be slower together.
        with self._lock, self._arithmetic():
            vectors = self._model.encode(
                list(texts),
                prompt=self.prompts[task],  # not None, which would mean the model's default
                batch_size=self._settings.batch_size,
                normalize_embeddings=True,
                show_progress_bar=False,
            )
        return self._prefix(np.asarray(vectors, dtype=np.float32))

    def _prefix(self, vectors: FloatArray) -> FloatArray:
        if self._rotation is not None:
            vectors = vectors @ self._rotation
        if self._settings.dimensions is None:
            return vectors
        return unit(vectors[:, : self._settings.dimensions])

    def _arithmetic(self) -> AbstractContextManager[object]:
        import torch

        dtype, device = self._settings.dtype, self._model.device.type
        if dtype == "auto":
            dtype = "bfloat16" if _has_bfloat16(device) else "float32"
        if dtype == "float32":
            return nullcontext()
        return torch.autocast(device, dtype=torch.bfloat16)

    @cached_property
    def _facts(self) -> ModelFacts:
        if self._provider == "packaged":
            facts = _packaged_facts(packaged_model(self._name), self._settings)
        else:
            facts = _loaded_facts(self._name, self._model, self._settings)
        if (self._settings.dimensions or 0) > facts.dimensions:
            raise ConfigError(
                f"embedder.dimensions is {self._settings.dimensions}, but {facts.name!r} has "
                f"{facts.dimensions}. Fix: set it to that or less."
            )
        return facts

    @cached_property
    def _rotation(self) -> FloatArray | None:
        chosen = self._settings.rotation
        if chosen == "auto":
            known = ROTATIONS.get(self._name) if self._provider == "packaged" else None
            file = None if known is None else verified_weights(known)
        else:
            file = None if chosen in {None, "", "none"} else Path(str(chosen))
        return None if file is None else load_rotation(file, dimensions=self._facts.dimensions)

    @cached_property
    def _model(self) -> _SentenceTransformer:
        name = self._name
        if self._provider == "packaged":
            name = str(verified_folder(packaged_model(name)))
        try:
            from sentence_transformers import SentenceTransformer
            from transformers.utils.logging import disable_progress_bar
        except ImportError as error:
            raise MissingExtraError("sentence-transformers", extra="local") from error
        disable_progress_bar()  # type: ignore[no-untyped-call]  # transformers' own
        try:
            return cast(
                "_SentenceTransformer", SentenceTransformer(name, device=self._settings.device)
            )
        except (OSError, ValueError) as error:
            raise ProviderError(
                f"The embedding model {name!r} cannot be loaded: {error}. "
                "Fix: set embedder.model to 'sentence-transformers:<folder or hub name>'.",
                provider="sentence-transformers",
            ) from error


def _packaged_facts(model: PackagedModel, settings: EmbedderSettings) -> ModelFacts:
    prompts = _prompts({}, settings)
    return ModelFacts(
        name=model.name,
        revision=model.sha256[:16],
        dimensions=model.dimensions,
        prompts=prompts,
        tokenizer=ModelTokenizer(
            verified_folder(model) / "tokenizer.json",
            model_max_tokens=model.max_tokens,
            prompt=prompts["passage"],
        ),
    )


def _loaded_facts(name: str, model: _SentenceTransformer, settings: EmbedderSettings) -> ModelFacts:
    prompts = _prompts(model.prompts, settings)
    dimensions = model.get_embedding_dimension()
    if dimensions is None or not model.max_seq_length or not hasattr(model[0], "auto_model"):
        raise ConfigError(
            f"The model {name!r} is not a transformer with known dimensions and a token limit. "
            "Fix: set embedder.model to another one."
        )
    return ModelFacts(
        name=name,
        revision=_revision(model),
        dimensions=dimensions,
        prompts=prompts,
        tokenizer=ModelTokenizer(
            model.tokenizer.backend_tokenizer,
            model_max_tokens=model.max_seq_length,
            prompt=prompts["passage"],
        ),
    )


def _revision(model: _SentenceTransformer) -> str:
    """Return the hash of a local folder's weights, or the commit of a hub model."""
    config = model[0].auto_model.config
    folder = Path(str(config.name_or_path))
    if folder.is_dir():
        files = sorted(path for pattern in _WEIGHTS for path in folder.rglob(pattern))
        return "-".join(file_sha256(path)[:16] for path in files)
    return str(getattr(config, "_commit_hash", None) or "unknown")


def _prompts(known: Mapping[str, str | None], settings: EmbedderSettings) -> Mapping[Task, str]:
    given: Mapping[Task, str | None] = {
        "query": settings.query_prompt,
        "passage": settings.passage_prompt,
    }
    return {
        task: next((text for text in (given[task], *map(known.get, names)) if text is not None), "")
        for task, names in _PROMPT_NAMES.items()
    }


def _too_long(texts: Sequence[str], tokenizer: Tokenizer) -> list[tuple[int, int]]:
    limit = tokenizer.max_tokens
    unsure = ((position, text) for position, text in enumerate(texts) if may_exceed(text, limit))
    counts = ((position, len(tokenizer.token_starts(text))) for position, text in unsure)
    return [(position, count) for position, count in counts if count > limit]


def _warn(position: int, tokens: int) -> None:
    logger.warning(
        "Text %d has %d tokens, more than the model reads; it was cut.", position, tokens
    )


def _has_bfloat16(device: str) -> bool:
    import torch

    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
