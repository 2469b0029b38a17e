"""`ModelEmbedder` over an encoder without a model."""

import threading
from collections.abc import Sequence

import numpy as np
import pytest

from ragkit.core.errors import ConfigError
from ragkit.core.settings import EmbedderSettings
from ragkit.core.types import FloatArray
from ragkit.models.embedding import ModelEmbedder, ModelFacts, task_prompts
from ragkit.testing.embedder import WordTokenizer


class LengthEncoder:
    """Encodes a text by its length, and records the threads that it is called in."""

    def __init__(self, settings: EmbedderSettings) -> None:
        self.settings = settings
        self.threads: set[threading.Thread] = set()

    def facts(self) -> ModelFacts:
        self.threads.add(threading.current_thread())
        return ModelFacts(
            name="length",
            revision="1",
            dimensions=4,
            prompts=task_prompts(self.settings, {"query": "Q: ", "document": "D: "}),
            tokenizer=WordTokenizer(max_tokens=3),
        )

    def encode(self, texts: Sequence[str], *, prompt: str) -> FloatArray:
        self.threads.add(threading.current_thread())
        angles = np.array([len(prompt + text) for text in texts], dtype=np.float32)
        zeros = np.zeros_like(angles)
        return np.stack([np.cos(angles), np.sin(angles), zeros, zeros], axis=1)


def made(**settings: object) -> tuple[ModelEmbedder, LengthEncoder]:
    chosen = EmbedderSettings.model_validate({"model": "sentence-transformers:x", **settings})
    encoder = LengthEncoder(chosen)
    return ModelEmbedder(chosen, encoder), encoder


async def test_the_model_is_loaded_and_run_outside_of_the_event_loop() -> None:
    embedder, encoder = made()
    await embedder.embed([])
    await embedder.embed(["wolf"])
    assert encoder.threads
    assert threading.main_thread() not in encoder.threads


async def test_each_task_has_the_model_s_prompt_unless_the_settings_give_one() -> None:
    embedder, _ = made()
    assert embedder.prompts == {"query": "Q: ", "passage": "D: "}
    own, _ = made(query_prompt="", passage_prompt="passage: ")
    assert own.prompts == {"query": "", "passage": "passage: "}
    bare, with_prompt = await own.embed(["abc"], task="query"), await embedder.embed(["abc"])
    np.testing.assert_allclose(bare[0, 0], np.cos(3), atol=1e-6)
    np.testing.assert_allclose(with_prompt[0, 0], np.cos(6), atol=1e-6)


async def test_a_prefix_has_unit_length() -> None:
    embedder, _ = made(dimensions=1)
    assert embedder.dimensions == 1
    np.testing.assert_allclose(np.abs(await embedder.embed(["a", "bb"])), 1, atol=1e-6)


def test_more_dimensions_than_the_model_has_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"embedder\.dimensions is 5, but 'length' has 4"):
        _ = made(dimensions=5)[0].identity


async def test_a_text_that_is_cut_is_reported() -> None:
    cut: list[tuple[int, int]] = []
    embedder, _ = made()
    await embedder.embed(["a b c", "a b c d"], on_truncated=lambda at, n: cut.append((at, n)))
    assert cut == [(1, 4)]
