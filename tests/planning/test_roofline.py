from dataclasses import replace

import pytest

from ragkit.planning.architecture import read_architecture
from ragkit.planning.gpu import find_gpu
from ragkit.planning.roofline import Replica, bytes_of_weights, decode_flops, prefill_flops


@pytest.mark.parametrize(("name", "gflops"), [("deepseek-v3", 250), ("llama-3.1-405b", 2448)])
def test_operations_of_training_a_token_are_as_published(name: str, gflops: float) -> None:
    """Training takes three times the operations of reading; the sequences are 4,096 tokens."""
    found = 3 * prefill_flops(read_architecture(name), 4096, outputs=4096) / 4096
    assert found == pytest.approx(gflops * 1e9, rel=0.03)


@pytest.mark.parametrize("name", ["mistral-7b-v0.1", "gemma-3-27b", "gpt-oss-20b", "llama-3-8b"])
def test_a_token_attends_to_its_window_only(name: str) -> None:
    model = read_architecture(name)
    one_by_one = sum(prefill_flops(model, 1, cached=n, outputs=1) for n in range(100, 5200))
    at_once = prefill_flops(model, 5100, cached=100, outputs=5100)
    assert one_by_one == at_once
    by_hand = sum(
        2 * layer.attention.width * min(token, layer.attention.window or token)
        for layer in model.layers
        for token in (1, 2, 3)
    )
    linear = 2 * 3 * (model.active_in_layers + model.head)
    assert prefill_flops(model, 3, outputs=3) == linear + by_hand


def test_decoding_one_sequence_reads_the_weights_once() -> None:
    model, gpu = read_architecture("llama-3-8b"), find_gpu("H100")
    bound = Replica(model=model, gpu=gpu, weights="bf16", cache="bf16").decode(1, 8192)
    weights = 2 * (8_030_261_248 - 4096 * 128256)
    assert bound.limit == "bandwidth"
    assert bound.seconds == pytest.approx((weights + 2**30) / 3.35e12, rel=1e-4)


def test_a_long_prompt_is_bound_by_operations() -> None:
    model, gpu = read_architecture("llama-3-8b"), find_gpu("H100")
    bound = Replica(model=model, gpu=gpu, weights="bf16", cache="bf16").prefill(4096)
    assert bound.limit == "compute"
    assert bound.seconds == pytest.approx(
        (2 * 4096 * model.active_in_layers + 2 * model.head + 32 * 2 * 2 * 4096 * 4096 * 4097 / 2)
        / 989.5e12
    )


def test_a_prefix_that_is_cached_saves_operations() -> None:
    model = read_architecture("llama-3-8b")
    whole = prefill_flops(model, 4000, outputs=1)
    first = prefill_flops(model, 3000, outputs=0)
    assert prefill_flops(model, 1000, cached=3000, outputs=1) == whole - first


def test_a_step_reads_the_experts_that_its_tokens_choose() -> None:
    model = read_architecture("mixtral-8x7b-v0.1")
    embeddings = model.head + model.hidden
    one = bytes_of_weights(model, 1, "bf16") / 2
    assert one == pytest.approx(model.active_parameters - embeddings)
    two = bytes_of_weights(model, 2, "bf16") / 2
    expert = 32 * 3 * 4096 * 14336
    assert two - one == pytest.approx(expert * (8 * (1 - 0.75**2) - 2))
    many = bytes_of_weights(model, 1000, "bf16") / 2
    assert many == pytest.approx(model.parameters - embeddings)


def test_latent_attention_decodes_on_the_cache_itself() -> None:
    model = read_architecture("deepseek-v3")
    grown = decode_flops(model, 1001) - decode_flops(model, 1000)
    assert grown == 61 * 2 * 128 * (2 * 512 + 64)


def test_tensor_parallelism_divides_a_step_and_pipelines_the_batch() -> None:
    model, gpu = read_architecture("llama-3-70b"), find_gpu("h100")
    one = Replica(model=model, gpu=gpu, weights="bf16", cache="bf16")
    four = replace(one, tensor=4)
    assert four.decode(8, 1000).seconds == pytest.approx(one.decode(8, 1000).seconds / 4)
    piped = replace(one, pipeline=4)
    assert piped.decode(8, 1000) == one.decode(2, 1000)
    assert piped.prefill(100) == one.prefill(100)
