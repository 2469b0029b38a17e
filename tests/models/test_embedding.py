"""The embedders of sentence-transformers and of the package keep the contract."""

import functools
import logging
from pathlib import Path

import numpy as np
import pytest

from ragkit.core.errors import ProviderError
from ragkit.core.settings import EmbedderSettings
from ragkit.models import packaged
from ragkit.models.build import build_embedder
from ragkit.models.embedding import SentenceTransformerEmbedder
from ragkit.testing import EmbedderContract


@functools.cache
def packaged_embedder(
    dimensions: int | None, query_prompt: str, passage_prompt: str
) -> SentenceTransformerEmbedder:
    """One model for all tests: each takes a second to load."""
    settings = EmbedderSettings(
        dimensions=dimensions, query_prompt=query_prompt, passage_prompt=passage_prompt
    )
    return SentenceTransformerEmbedder(settings)


class TestPackagedModel(EmbedderContract):
    prefix_dimensions = 64

    def make_embedder(
        self, *, dimensions: int | None = None, query_prompt: str = "", passage_prompt: str = ""
    ) -> SentenceTransformerEmbedder:
        return packaged_embedder(dimensions, query_prompt, passage_prompt)

    async def test_meaning_brings_texts_together_that_share_no_word(self) -> None:
        model = self.make_embedder()
        query = (await model.embed(["feline pets"], task="query"))[0]
        scores = await model.embed(["Cats at home.", "The stock exchange closed."]) @ query
        assert scores[0] > scores[1] + 0.2

    def test_facts_are_known_without_loading_the_model(self) -> None:
        model = SentenceTransformerEmbedder(EmbedderSettings())
        assert model.dimensions == 384
        assert model.identity[0] == "all-minilm-l6-v2"
        assert model.tokenizer.max_tokens == 254
        assert "_model" not in vars(model)


async def test_arithmetic_in_bfloat16_is_close_to_float32() -> None:
    texts = ["The wolf hunts in packs at night.", "Interest rates rose."]
    vectors = [
        await SentenceTransformerEmbedder(EmbedderSettings(dtype=dtype)).embed(texts)
        for dtype in ("float32", "bfloat16")
    ]
    assert ((vectors[0] * vectors[1]).sum(axis=1) > 0.995).all()


async def test_the_same_model_by_its_folder(caplog: pytest.LogCaptureFixture) -> None:
    folder = packaged.packaged_folder()
    settings = EmbedderSettings(model=f"sentence-transformers:{folder}", dtype="float32")
    model = build_embedder(settings)
    assert model.dimensions == 384
    assert model.identity == (str(folder), packaged.MINILM.sha256[:16])
    assert model.tokenizer.max_tokens == 254
    ours = SentenceTransformerEmbedder(EmbedderSettings(dtype="float32", rotation=None))
    with caplog.at_level(logging.WARNING):
        np.testing.assert_allclose(
            await model.embed(["wolf"]), await ours.embed(["wolf"]), atol=1e-5
        )


async def test_a_folder_without_a_model_is_named_with_the_setting(tmp_path: Path) -> None:
    model = build_embedder(EmbedderSettings(model=f"sentence-transformers:{tmp_path}"))
    with pytest.raises(ProviderError, match=rf"'{tmp_path}' cannot be loaded.*embedder.model"):
        await model.embed(["wolf"])
