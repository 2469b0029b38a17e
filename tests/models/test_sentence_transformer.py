"""The packaged model through sentence-transformers, as any model of a folder or hub name."""

import functools
import logging
import random
from pathlib import Path

import numpy as np
import pytest

from ragkit.core.errors import ProviderError
from ragkit.core.protocols import Embedder
from ragkit.core.settings import EmbedderSettings
from ragkit.models import packaged
from ragkit.models.build import build_embedder
from ragkit.testing import EmbedderContract


@functools.cache
def by_folder(dimensions: int | None, query_prompt: str, passage_prompt: str) -> Embedder:
    """One model for all tests: each takes a second to load."""
    settings = EmbedderSettings(
        model=f"sentence-transformers:{packaged.packaged_folder()}",
        dimensions=dimensions,
        query_prompt=query_prompt,
        passage_prompt=passage_prompt,
    )
    return build_embedder(settings)


class TestSentenceTransformer(EmbedderContract):
    prefix_dimensions = 64

    def make_embedder(
        self, *, dimensions: int | None = None, query_prompt: str = "", passage_prompt: str = ""
    ) -> Embedder:
        return by_folder(dimensions, query_prompt, passage_prompt)


async def test_arithmetic_in_bfloat16_is_close_to_float32() -> None:
    texts = ["The wolf hunts in packs at night.", "Interest rates rose."]
    vectors = [
        await build_embedder(EmbedderSettings(dtype=dtype)).embed(texts)
        for dtype in ("float32", "bfloat16")
    ]
    assert ((vectors[0] * vectors[1]).sum(axis=1) > 0.995).all()


@pytest.mark.parametrize("most", [3, 32])
async def test_batches_change_no_vector_and_no_order(most: int) -> None:
    draw = random.Random(0)
    words = ["wolf", "rate", "night", "interest", "packs"]
    texts = [" ".join(draw.choices(words, k=draw.choice([1, 5, 60, 180]))) for _ in range(24)]
    model = f"sentence-transformers:{packaged.packaged_folder()}"
    ours = build_embedder(EmbedderSettings(model=model, dtype="float32", batch_size=most))
    found = await ours.embed(["", *texts])
    alone = [await ours.embed([text]) for text in ("", texts[0], texts[-1])]
    np.testing.assert_allclose(found[[0, 1, -1]], np.concatenate(alone), atol=1e-6)
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)


async def test_the_same_model_by_its_folder(caplog: pytest.LogCaptureFixture) -> None:
    folder = packaged.packaged_folder()
    settings = EmbedderSettings(model=f"sentence-transformers:{folder}", dtype="float32")
    model = build_embedder(settings)
    assert model.dimensions == 384
    assert model.identity == (str(folder), packaged.MINILM.sha256[:16])
    assert model.tokenizer.max_tokens == 254
    ours = build_embedder(EmbedderSettings(dtype="float32", rotation=None))
    with caplog.at_level(logging.WARNING):
        np.testing.assert_allclose(
            await model.embed(["wolf"]), await ours.embed(["wolf"]), atol=1e-5
        )


async def test_a_folder_without_a_model_is_named_with_the_setting(tmp_path: Path) -> None:
    model = build_embedder(EmbedderSettings(model=f"sentence-transformers:{tmp_path}"))
    with pytest.raises(ProviderError, match=rf"'{tmp_path}' cannot be loaded.*embedder.model"):
        await model.embed(["wolf"])
