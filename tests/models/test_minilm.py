"""The packaged model on ONNX Runtime: the contract, and equality with sentence-transformers."""

import functools
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from ragkit.core.protocols import Embedder
from ragkit.core.settings import EmbedderSettings
from ragkit.core.types import FloatArray
from ragkit.models import minilm
from ragkit.models.build import build_embedder
from ragkit.models.minilm import MiniLMEncoder
from ragkit.models.packaged import packaged_folder
from ragkit.testing import EmbedderContract

TEXTS = (
    "",
    " ",
    "a",
    "The wolf hunts in packs at night.",
    "Ein Satz mit \u00dcml\u00e4uten, \u65e5\u672c\u8a9e and an emoji \U0001f43a.",
    "An antidisestablishmentarianist's `code_block(x=1)` \u2014 e\u0301 \u0000 [MASK]",
    "Interest rates rose by a quarter point, and the bond market fell. " * 12,
    "wolf " * 400,
)


@functools.cache
def packaged_embedder(dimensions: int | None, query_prompt: str, passage_prompt: str) -> Embedder:
    """One model for all tests."""
    settings = EmbedderSettings(
        dimensions=dimensions, query_prompt=query_prompt, passage_prompt=passage_prompt
    )
    return build_embedder(settings)


class TestPackagedModel(EmbedderContract):
    prefix_dimensions = 64
    tolerance = 1e-5

    def make_embedder(
        self, *, dimensions: int | None = None, query_prompt: str = "", passage_prompt: str = ""
    ) -> Embedder:
        return packaged_embedder(dimensions, query_prompt, passage_prompt)

    async def test_meaning_brings_texts_together_that_share_no_word(self) -> None:
        model = self.make_embedder()
        query = (await model.embed(["feline pets"], task="query"))[0]
        scores = await model.embed(["Cats at home.", "The stock exchange closed."]) @ query
        assert scores[0] > scores[1] + 0.2


def test_vectors_equal_those_of_sentence_transformers() -> None:
    from sentence_transformers import SentenceTransformer

    untyped: Any = SentenceTransformer(str(packaged_folder()), device="cpu")
    expected = untyped.encode(list(TEXTS), normalize_embeddings=True, show_progress_bar=False)
    found = MiniLMEncoder(EmbedderSettings()).encode(TEXTS, prompt="")
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_identity_is_that_of_indexes_made_with_sentence_transformers() -> None:
    model = build_embedder(EmbedderSettings())
    assert model.identity == ("all-minilm-l6-v2", "53aa51172d142c89+92cb05a0")
    assert build_embedder(EmbedderSettings(rotation=None)).identity[1] == "53aa51172d142c89"


def test_facts_are_known_without_loading_the_network() -> None:
    encoder = MiniLMEncoder(EmbedderSettings())
    facts = encoder.facts()
    assert (facts.dimensions, facts.tokenizer.max_tokens) == (384, 254)
    assert "_session" not in vars(encoder)


def test_a_query_imports_neither_torch_nor_transformers() -> None:
    code = """
import asyncio, sys
from ragkit.core.settings import EmbedderSettings
from ragkit.models.build import build_embedder
embedder = build_embedder(EmbedderSettings())
asyncio.run(embedder.embed(["Who were the Normans?"], task="query"))
asyncio.run(embedder.embed(["A passage."] * 50))
heavy = {"torch", "transformers", "sentence_transformers"} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True)


class RecordedEncoder:
    """Stands for sentence-transformers and records the numbers of texts."""

    calls: list[int]

    def __init__(self, name: str, settings: EmbedderSettings) -> None:
        RecordedEncoder.calls = []

    def encode(self, texts: Sequence[str], *, prompt: str) -> FloatArray:
        self.calls.append(len(texts))
        return np.zeros((len(texts), 384), dtype=np.float32)


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> type[RecordedEncoder]:
    RecordedEncoder.calls = []
    monkeypatch.setattr(minilm, "SentenceTransformerEncoder", RecordedEncoder)
    monkeypatch.setattr(minilm, "_BULK_CALL", 100)
    monkeypatch.setattr(minilm, "_BULK_TOTAL", 250)
    return RecordedEncoder


def test_bulk_work_goes_to_sentence_transformers(recorded: type[RecordedEncoder]) -> None:
    encoder = MiniLMEncoder(EmbedderSettings())
    for _ in range(9):
        encoder.encode(["a question of a few words"], prompt="")
    for _ in range(2):
        encoder.encode(["wolf " * 10] * 2, prompt="")
    assert recorded.calls == []
    encoder.encode(["wolf " * 10] * 3, prompt="")
    encoder.encode(["a question of a few words"], prompt="")
    assert recorded.calls == [3]


def test_without_sentence_transformers_bulk_work_stays(
    recorded: type[RecordedEncoder], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> None:
        """Find no package."""

    monkeypatch.setattr("importlib.util.find_spec", missing)
    vectors = MiniLMEncoder(EmbedderSettings()).encode(["wolf " * 100], prompt="")
    assert vectors.any()
    assert recorded.calls == []


@pytest.mark.parametrize("settings", [{"device": "cuda"}, {"dtype": "bfloat16"}])
def test_what_onnx_runtime_does_not_do_goes_to_sentence_transformers(
    recorded: type[RecordedEncoder], settings: dict[str, str]
) -> None:
    MiniLMEncoder(EmbedderSettings.model_validate(settings)).encode(["wolf"], prompt="")
    assert recorded.calls == [1]
