"""`SentenceTransformerEncoder`: a sentence-transformers model of any folder or hub name."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, Self, cast

import numpy as np

from ragkit.core.errors import ConfigError, MissingExtraError, ProviderError
from ragkit.core.settings import EmbedderSettings
from ragkit.core.types import FloatArray
from ragkit.core.vectors import unit
from ragkit.models.embedding import ModelFacts, task_prompts
from ragkit.models.packaged import file_sha256
from ragkit.models.tokens import ModelTokenizer

_WEIGHTS = ("*.safetensors", "*.bin", "*.onnx")


_BATCH_CHARACTERS = 8192
"""Characters of a batch on a processor, whose caches a larger one overflows."""


class _SentenceTransformer(Protocol):
    """The used part of a `SentenceTransformer`, whose signature is only partly typed."""

    prompts: dict[str, str]
    max_seq_length: int | None
    tokenizer: Any  # a tokenizer of transformers, which has no types
    device: Any  # a torch device, untyped until torch is imported

    def __getitem__(self, index: int, /) -> Any: ...  # a torch module: its attributes are untyped

    def __iter__(self) -> Iterator[object]: ...

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


class SentenceTransformerEncoder:
    """A sentence-transformers model, loaded on first use; one forward pass at a time."""

    def __init__(self, name: str, settings: EmbedderSettings) -> None:
        """Choose the model: a folder or a hub name."""
        self._name = name
        self._settings = settings
        # Two passes at a time would share the same cores and be slower together.
        self._lock = threading.RLock()

    def __reduce__(self) -> tuple[type[Self], tuple[str, EmbedderSettings]]:
        """Be pickled without the model, which the other process loads itself."""
        return type(self), (self._name, self._settings)

    def facts(self) -> ModelFacts:
        """Load the model and return its facts.

        Raises:
            ConfigError: The model has no known dimensions or token limit.
            ProviderError: The model cannot be loaded.
        """
        model = self._loaded()
        prompts = task_prompts(self._settings, model.prompts)
        dimensions = model.get_embedding_dimension()
        if dimensions is None or not model.max_seq_length or not hasattr(model[0], "auto_model"):
            raise ConfigError(
                f"The model {self._name!r} is not a transformer with known dimensions and a token "
                "limit. Fix: set embedder.model to another one."
            )
        return ModelFacts(
            name=self._name,
            revision=_revision(model),
            dimensions=dimensions,
            prompts=prompts,
            tokenizer=ModelTokenizer(
                model.tokenizer.backend_tokenizer,
                model_max_tokens=model.max_seq_length,
                prompt=prompts["passage"],
            ),
        )

    def encode(self, texts: Sequence[str], *, prompt: str) -> FloatArray:
        """See `Encoder.encode`."""
        with self._lock, self._arithmetic():
            if self._model.device.type != "cpu":
                return self._encoded(texts, prompt)
            batches = list(_batches(texts, self._settings.batch_size))
            found = [self._encoded([texts[at] for at in batch], prompt) for batch in batches]
        return np.concatenate(found)[np.argsort(np.concatenate(batches))]

    def encode_spans(
        self, texts: Sequence[str], spans: Sequence[Sequence[tuple[int, int]]], *, prompt: str
    ) -> FloatArray:
        """See `SpanEncoder.encode_spans`."""
        import torch

        with self._lock, self._arithmetic(), torch.inference_mode():
            self._check_pooling()
            batches = list(_batches(texts, self._settings.batch_size))
            made: dict[int, FloatArray] = {}
            for batch in batches:
                read = [prompt + texts[at] for at in batch]
                pooled = self._pooled(read, [spans[at] for at in batch], len(prompt))
                made.update(zip(batch, pooled, strict=True))
        return np.concatenate([made[at] for at in range(len(texts))])

    def _pooled(
        self, texts: list[str], spans: Sequence[Sequence[tuple[int, int]]], prompt: int
    ) -> Iterator[FloatArray]:
        """Yield the unit means of the spans' tokens, text by text, each `[spans, dimensions]`.

        `prompt` is the number of characters before that of which spans are counted.
        """
        features = self._model.tokenizer(
            texts,
            padding=True,
            truncation=True,
            max_length=self._model.max_seq_length,
            return_offsets_mapping=True,
            return_tensors="pt",
        ).to(self._model.device)
        offsets = features.pop("offset_mapping").cpu().numpy()
        read = features["attention_mask"].cpu().numpy() > 0
        states = self._model[0](dict(features))["token_embeddings"]
        for row, found in enumerate(spans):
            starts, ends = offsets[row, :, 0] - prompt, offsets[row, :, 1] - prompt
            own = [(ends > starts) & (starts >= a) & (starts < b) for a, b in found]
            # A part without tokens, such as white space, has the vector of the whole.
            tokens = [part if part.any() else read[row] for part in own]
            weights = states.new_tensor(np.array(tokens, dtype=np.float32))
            yield unit((weights @ states[row]).float().cpu().numpy())

    def _check_pooling(self) -> None:
        """Raise `ConfigError` for a model whose vectors are no means of its tokens."""
        kinds = [type(module).__name__ for module in self._model]
        pooling = getattr(self._model[1], "pooling_mode", None) if len(kinds) > 1 else None
        if pooling != "mean" or kinds[2:] not in ([], ["Normalize"]):
            raise ConfigError(
                f"Late chunking needs a model that pools by the mean of its tokens, and "
                f"{self._name!r} has {', '.join(kinds)}, pooling {pooling!r}. Fix: set "
                "embedder.late_chunking to false, or embedder.model to another one."
            )

    def _encoded(self, texts: Sequence[str], prompt: str) -> FloatArray:
        vectors = self._model.encode(
            list(texts),
            prompt=prompt,  # not None, which would mean the model's default
            batch_size=self._settings.batch_size,
            normalize_embeddings=True,
            show_progress_bar=False,
        )
        return np.asarray(vectors, dtype=np.float32)

    def _loaded(self) -> _SentenceTransformer:
        with self._lock:  # two threads would load the model twice
            return self._model

    def _arithmetic(self) -> AbstractContextManager[object]:
        import torch

        dtype, device = self._settings.dtype, self._model.device.type
        if dtype == "auto":
            dtype = "bfloat16" if _has_bfloat16(device) else "float32"
        if dtype == "float32":
            return nullcontext()
        return torch.autocast(device, dtype=torch.bfloat16)

    @cached_property
    def _model(self) -> _SentenceTransformer:
        try:
            from sentence_transformers import SentenceTransformer
            from transformers.utils.logging import disable_progress_bar
        except ImportError as error:
            raise MissingExtraError("sentence-transformers", extra="local") from error
        disable_progress_bar()  # type: ignore[no-untyped-call]  # transformers' own
        try:
            model = SentenceTransformer(self._name, device=self._settings.device)
        except (OSError, ValueError) as error:
            raise ProviderError(
                f"The embedding model {self._name!r} cannot be loaded: {error}. "
                "Fix: set embedder.model to 'sentence-transformers:<folder or hub name>'.",
                provider="sentence-transformers",
            ) from error
        return cast("_SentenceTransformer", model)


def _batches(texts: Sequence[str], most: int) -> Iterator[list[int]]:
    """Yield positions of texts of similar length, so that little is padded."""
    batch: list[int] = []
    for at in sorted(range(len(texts)), key=lambda item: len(texts[item])):
        is_full = (len(batch) + 1) * len(texts[at]) > _BATCH_CHARACTERS or len(batch) == most
        if batch and is_full:
            yield batch
            batch = []
        batch.append(at)
    if batch:
        yield batch


def _revision(model: _SentenceTransformer) -> str:
    """Return the hash of a local folder's weights, or the commit of a hub model."""
    config = model[0].auto_model.config
    folder = Path(str(config.name_or_path))
    if folder.is_dir():
        files = sorted(path for pattern in _WEIGHTS for path in folder.rglob(pattern))
        return "-".join(file_sha256(path)[:16] for path in files)
    return str(getattr(config, "_commit_hash", None) or "unknown")


def _has_bfloat16(device: str) -> bool:
    import torch

    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
