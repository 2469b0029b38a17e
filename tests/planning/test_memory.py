"""Bytes against published figures; sources in docs/planning.md."""

import pytest

from ragkit.planning.architecture import read_architecture
from ragkit.planning.memory import copies, sequence_bytes, token_bytes, weight_bytes
from ragkit.planning.precision import WeightPrecision

GIB, GB, KB = 2**30, 1e9, 1e3


@pytest.mark.parametrize(
    ("name", "tokens", "published"),
    [
        ("llama-3-8b", 8192, 1.0 * GIB),
        ("llama-3-70b", 131072, 40 * GIB),
        ("llama-13b", 2048, 1.7 * GB),
        ("deepseek-v3", 1, 70.272 * KB),
        ("qwen2.5-72b", 1, 327.680 * KB),
        ("llama-3.1-405b", 1, 516.096 * KB),
    ],
)
def test_the_cache_of_a_sequence_is_as_published(name: str, tokens: int, published: float) -> None:
    found = sequence_bytes(read_architecture(name), tokens, "bf16")
    assert found == pytest.approx(published, rel=0.03)


def test_latent_attention_keeps_576_values_for_a_token_and_layer() -> None:
    layers = read_architecture("deepseek-v3").layers
    assert {layer.attention.cached for layer in layers} == {576}


def test_a_window_of_mistral_saves_seven_eighths_at_32k_tokens() -> None:
    windowed, full = read_architecture("mistral-7b-v0.1"), read_architecture("llama-3-8b")
    assert token_bytes(windowed, "bf16") == token_bytes(full, "bf16")
    saved = sequence_bytes(full, 32768, "bf16") / sequence_bytes(windowed, 32768, "bf16")
    assert saved == 8


def test_the_cache_of_gemma_grows_in_its_global_layers_only() -> None:
    model = read_architecture("gemma-3-27b")
    a_token = 2 * 16 * 128 * 2
    assert sequence_bytes(model, 1024, "bf16") == 62 * 1024 * a_token
    assert sequence_bytes(model, 131072, "bf16") == (10 * 131072 + 52 * 1024) * a_token


def test_linear_layers_keep_a_state_that_does_not_grow() -> None:
    model = read_architecture("qwen3-next-80b-a3b")
    state = 36 * (32 * 128 * 128 + (2 * 2048 + 4096) * 3) * 4
    assert sequence_bytes(model, 0, "bf16") == state
    assert sequence_bytes(model, 1000, "bf16") == state + 1000 * 12 * 2 * 2 * 256 * 2


def test_fp8_halves_the_cache() -> None:
    model = read_architecture("llama-3-8b")
    assert 2 * sequence_bytes(model, 777, "fp8") == sequence_bytes(model, 777, "bf16")


@pytest.mark.parametrize(
    ("name", "precision", "published"),
    [
        ("llama-3.1-8b", "bf16", 16.06 * GB),
        ("llama-3.1-8b", "int4", 5.73 * GB),
        ("llama-3.1-70b", "int4", 39.77 * GB),
        ("llama-3.1-8b", "fp8", 9.08 * GB),
    ],
)
def test_weights_have_the_size_of_published_files(
    name: str, precision: WeightPrecision, published: float
) -> None:
    assert weight_bytes(read_architecture(name), precision) == pytest.approx(published, rel=0.03)


@pytest.mark.parametrize(
    ("name", "tensor", "expected"),
    [("llama-3-8b", 8, 1), ("llama-3-8b", 16, 2), ("deepseek-v3", 8, 8), ("qwen2.5-7b", 4, 1)],
)
def test_the_cache_is_copied_where_there_are_fewer_heads_than_gpus(
    name: str, tensor: int, expected: float
) -> None:
    assert copies(read_architecture(name), tensor) == expected
