"""Rerankers: cross-encoders that read query and passage together (Nogueira & Cho 2019)."""

import asyncio
import threading
from collections.abc import Sequence
from functools import cached_property
from typing import Protocol, cast

import numpy as np

from ragkit.core.errors import ConfigError, MissingExtraError, ProviderError
from ragkit.core.types import FloatArray
from ragkit.models.cross_encoder import CrossEncoderModel


class _CrossEncoder(Protocol):
    """The used part of a `CrossEncoder`, whose signature is only partly typed."""

    num_labels: int

    def predict(
        self, inputs: list[tuple[str, str]], *, batch_size: int, show_progress_bar: bool
    ) -> FloatArray: ...


class CrossEncoderReranker:
    """A sentence-transformers cross-encoder, loaded on first use."""

    def __init__(self, name: str, *, batch_size: int = 32, device: str | None = None) -> None:
        """Choose the model: a folder or a hub name."""
        self._name = name
        self._batch_size = batch_size
        self._device = device
        self._lock = threading.Lock()

    async def rerank(self, query: str, passages: Sequence[str]) -> FloatArray:
        """Return the relevance of each passage, float32 `[n]`, higher is better."""
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
    def _model(self) -> _CrossEncoder:
        try:
            from sentence_transformers import CrossEncoder
        except ImportError as error:
            raise MissingExtraError("sentence-transformers", extra="local") from error
        try:
            model = cast("_CrossEncoder", CrossEncoder(self._name, device=self._device))
        except (OSError, ValueError) as error:
            raise ProviderError(
                f"The reranker {self._name!r} cannot be loaded: {error}. "
                "Fix: set reranker.model to 'cross-encoder:<folder or hub name>'.",
                provider="sentence-transformers",
            ) from error
        if model.num_labels != 1:
            raise ConfigError(
                f"The reranker {self._name!r} has {model.num_labels} labels. "
                "Fix: use a model with one label."
            )
        return model


class PackagedReranker:
    """The packaged cross-encoder as a reranker.

    Attributes:
        weight: Its share in the final order, where the settings give none: the network is small
            and ranks worse than both legs together (`benchmarks/retrieval_choices.py`).
    """

    weight = 0.3

    def __init__(self, model: CrossEncoderModel) -> None:
        """Use a network, which the reader may share."""
        self._model = model

    async def rerank(self, query: str, passages: Sequence[str]) -> FloatArray:
        """Return the relevance of each passage as a logit, float32 `[n]`, higher is better."""
        return await asyncio.to_thread(self._model.relevance, query, passages)
