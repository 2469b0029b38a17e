import asyncio
import pickle

import pytest

from ragkit.core.errors import ConfigError
from ragkit.core.settings import EmbedderSettings, RerankerSettings
from ragkit.models.build import build_embedder, build_reranker
from ragkit.models.reranking import CrossEncoderReranker, PackagedReranker


@pytest.mark.parametrize("model", ["openai:ada", "ada", ""])
def test_an_unknown_embedder_is_named_with_the_known_ones(model: str) -> None:
    with pytest.raises(ConfigError, match=rf"'{model}'.*packaged:all-minilm-l6-v2"):
        build_embedder(EmbedderSettings(model=model))


def test_an_unknown_packaged_model_is_named() -> None:
    with pytest.raises(ConfigError, match=r"'bert'. Fix: use all-minilm-l6-v2"):
        _ = build_embedder(EmbedderSettings(model="packaged:bert")).dimensions


def test_more_dimensions_than_the_model_has_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"embedder.dimensions is 1000.*has 384"):
        _ = build_embedder(EmbedderSettings(dimensions=1000)).identity


def test_the_setting_chooses_the_reranker() -> None:
    assert build_reranker(RerankerSettings(model=None)) is None
    assert build_reranker(RerankerSettings(model="")) is None
    assert build_reranker(RerankerSettings()) is None
    packaged = build_reranker(RerankerSettings(model="packaged:minilm-reader"))
    assert isinstance(packaged, PackagedReranker)
    chosen = build_reranker(RerankerSettings(model="cross-encoder:some/model"))
    assert isinstance(chosen, CrossEncoderReranker)


@pytest.mark.parametrize("model", ["some/model", "cross-encoder:", "magic:model"])
def test_an_unknown_reranker_is_named(model: str) -> None:
    with pytest.raises(ConfigError, match=f"Unknown reranker '{model}'. Fix: write"):
        build_reranker(RerankerSettings(model=model))


@pytest.mark.parametrize(
    "model",
    ["packaged:all-minilm-l6-v2", "sentence-transformers:no-folder", "vllm:http://127.0.0.1:9#m"],
)
def test_an_embedder_is_sent_to_other_processes_without_its_network(model: str) -> None:
    embedder = build_embedder(EmbedderSettings(model=model))
    if model.startswith("packaged"):
        assert asyncio.run(embedder.embed(["lake"])).shape == (1, 384)
    sent = pickle.dumps(embedder)
    copy = pickle.loads(sent)
    if model.startswith("packaged"):
        assert copy.identity == embedder.identity
        vectors = [asyncio.run(one.embed(["a lake"])).tolist() for one in (embedder, copy)]
        assert vectors[0] == vectors[1]
