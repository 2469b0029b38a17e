"""`ModelEmbedder`: the embedder of a network, with prompts, rotation and Matryoshka prefix."""

import asyncio
import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np

from ragkit.core.errors import ConfigError
from ragkit.core.protocols import Tokenizer
from ragkit.core.settings import EmbedderSettings
from ragkit.core.text import may_exceed
from ragkit.core.types import FloatArray, Task
from ragkit.core.vectors import unit
from ragkit.models.matryoshka import load_rotation
from ragkit.models.packaged import ROTATIONS, verified_weights

logger = logging.getLogger(__name__)

_PROMPT_NAMES: Mapping[Task, tuple[str, ...]] = {
    "query": ("query",),
    "passage": ("passage", "document"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """The name, revision, shape, prompts and tokenizer of a model."""

    name: str
    revision: str
    dimensions: int
    prompts: Mapping[Task, str]
    tokenizer: Tokenizer


class Encoder(Protocol):
    """A network that turns texts into vectors. Its methods may be called from any thread."""

    def facts(self) -> ModelFacts:
        """Return the model's facts; this may load the model."""
        ...

    def encode(self, texts: Sequence[str], *, prompt: str) -> FloatArray:
        """Return float32 `[n, dimensions]`, each row of unit length, for prompt and text."""
        ...


class ModelEmbedder:
    """The embedder of an encoder; the model is loaded on first use.

    Vectors are multiplied by the rotation, if the settings or the model have one
    (`ragkit.models.matryoshka`). With `dimensions` set, they are cut to that Matryoshka prefix and
    scaled to unit length (Kusupati et al. 2022, arXiv:2205.13147).
    """

    def __init__(self, settings: EmbedderSettings, encoder: Encoder) -> None:
        """Use an encoder; nothing is loaded yet."""
        self._settings = settings
        self._encoder = encoder

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
        return self._settings.dimensions or self._facts.dimensions

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
        return await asyncio.to_thread(self._embed, texts, task, on_truncated or warn_of_cut)

    def _embed(
        self, texts: Sequence[str], task: Task, on_truncated: Callable[[int, int], None]
    ) -> FloatArray:
        if not texts:
            return np.zeros((0, self.dimensions), dtype=np.float32)
        for position, tokens in too_long(texts, self.tokenizer):
            on_truncated(position, tokens)
        return self.finished(self._encoder.encode(texts, prompt=self.prompts[task]))

    def finished(self, vectors: FloatArray) -> FloatArray:
        """Return the vectors of the network rotated, and cut to the chosen dimensions."""
        if self._rotation is not None:
            vectors = vectors @ self._rotation
        if self._settings.dimensions is None:
            return vectors
        return unit(vectors[:, : self._settings.dimensions])

    @cached_property
    def _facts(self) -> ModelFacts:
        facts = self._encoder.facts()
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
            provider, _, name = self._settings.model.partition(":")
            known = ROTATIONS.get(name) if provider == "packaged" else None
            file = None if known is None else verified_weights(known)
        else:
            file = None if chosen in {None, "", "none"} else Path(str(chosen))
        return None if file is None else load_rotation(file, dimensions=self._facts.dimensions)


def task_prompts(settings: EmbedderSettings, known: Mapping[str, str | None]) -> Mapping[Task, str]:
    """Return the prompt of each task: the settings', else the model's own, else none.

    Args:
        settings: The settings of the embedder.
        known: The model's prompts by the names that its authors gave them.
    """
    given: Mapping[Task, str | None] = {
        "query": settings.query_prompt,
        "passage": settings.passage_prompt,
    }
    return {
        task: next((text for text in (given[task], *map(known.get, names)) if text is not None), "")
        for task, names in _PROMPT_NAMES.items()
    }


def too_long(texts: Sequence[str], tokenizer: Tokenizer) -> list[tuple[int, int]]:
    """Return position and number of tokens of each text that is longer than the model reads."""
    limit = tokenizer.max_tokens
    unsure = ((position, text) for position, text in enumerate(texts) if may_exceed(text, limit))
    counts = ((position, len(tokenizer.token_starts(text))) for position, text in unsure)
    return [(position, count) for position, count in counts if count > limit]


def warn_of_cut(position: int, tokens: int) -> None:
    """Log that a text was cut."""
    logger.warning(
        "Text %d has %d tokens, more than the model reads; it was cut.", position, tokens
    )
