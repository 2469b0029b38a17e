"""Rerankers: cross-encoders that read query and passage together (Nogueira & Cho 2019)."""

import asyncio
import threading
from collections.abc import Sequence
from functools import cached_property
from typing import Protocol, cast

import numpy as np

from ragkit.core.errors import ConfigError, MissingExtraError, ProviderError
from ragkit.core.protocols import Reranker
from ragkit.core.settings import RerankerSettings
from ragkit.core.types import FloatArray
from ragkit.models.cross_encoder import (
    PACKAGED_READER,
    CrossEncoderModel,
    packaged_cross_encoder,
)


class _Model(Protocol):
    """What is used of a `CrossEncoder`; its own signature is only partly typed."""

    num_labels: int

    def predict(
        self, inputs: list[tuple[str, str]], *, batch_size: int, show_progress_bar: bool
    ) -> FloatArray: ...


class CrossEncoderReranker:
    """A sentence-transformers cross-encoder, loaded when first needed."""

    def __init__(self, name: str, *, batch_size: int = 32, device: str | None = None) -> None:
        """Choose the model: a folder or a hub name."""
        self._name = name
        self._batch_size = batch_size
        self._device = device
        self._lock = threading.Lock()

    async def rerank(self, query: str, passages: Sequence[str]) -> FloatArray:
        """Relevance of each passage, float32 `[n]`, higher is better."""
        if not passages:
            return np.zeros(0, dtype=np.float32)
        return await asyncio.to_thread(self._rerank, query, passages)

    def _rerank(self, query: str, passages: Sequence[str]) -> FloatArray:
        pairs = [(query, passage) for passage in passages]
        with self._lock:
            scores = self._model.predict(
                pairs, batch_size=self._batch_size, show_progress_bar=False
            )
        return np.asarray(scores, dtype=np.float32).reshape(len(passages))

    @cached_property
    def _model(self) -> _Model:
        try:
            from sentence_transformers import CrossEncoder
        except ImportError as error:
            raise MissingExtraError("sentence-transformers", extra="local") from error
        try:
            model = cast("_Model", CrossEncoder(self._name, device=self._device))
        except (OSError, ValueError) as error:
            raise ProviderError(
                f"The reranker {self._name!r} cannot be loaded: {error}. Set reranker.model to "
                "'cross-encoder:' and a folder that holds one, or a hub name.",
                provider="sentence-transformers",
            ) from error
        if model.num_labels != 1:
            raise ConfigError(
                f"The reranker {self._name!r} has {model.num_labels} labels; relevance needs one."
            )
        return model


class PackagedReranker:
    """The packaged cross-encoder as a reranker.

    Attributes:
        weight: Its share in the final order, where settings do not say: it is small, and judges
            worse than both legs together (`benchmarks/retrieval_choices.py`).
    """

    weight = 0.3

    def __init__(self, model: CrossEncoderModel) -> None:
        """Use a network, which may be the reader's too."""
        self._model = model

    async def rerank(self, query: str, passages: Sequence[str]) -> FloatArray:
        """Relevance of each passage as a logit, float32 `[n]`, higher is better."""
        return await asyncio.to_thread(self._model.relevance, query, passages)


def reranker(settings: RerankerSettings) -> Reranker | None:
    """The reranker that `settings.model` names, or None where it is empty."""
    if not settings.model:
        return None
    if settings.model == PACKAGED_READER:
        return PackagedReranker(packaged_cross_encoder())
    provider, _, name = settings.model.partition(":")
    if provider != "cross-encoder" or not name:
        raise ConfigError(
            f"Unknown reranker {settings.model!r}: write {PACKAGED_READER!r} or "
            "'cross-encoder:<folder or hub name>'."
        )
    return CrossEncoderReranker(name, batch_size=settings.batch_size, device=settings.device)
