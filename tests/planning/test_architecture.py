"""Counts of parameters against published ones; sources in docs/planning.md."""

import pytest

from ragkit.core.errors import InputError
from ragkit.planning.architecture import build_architecture, read_architecture
from ragkit.planning.model_config import parse_config
from ragkit.planning.model_table import MODELS

CHECKPOINTS = {  # elements of all tensors of the published weights
    "llama-3-8b": 8_030_261_248,
    "llama-3-70b": 70_553_706_496,
    "llama-3.1-405b": 405_853_388_800,
    "mistral-7b-v0.1": 7_241_732_096,
    "mixtral-8x7b-v0.1": 46_702_792_704,
    "qwen2.5-7b": 7_615_616_512,
    "qwen3-8b": 8_190_735_360,
    "qwen3-30b-a3b": 30_532_122_624,
    "gemma-2-9b": 9_241_705_984,
}
BILLIONS = {  # as the reports and model cards say
    "llama-13b": 13.0,
    "llama-3.2-3b": 3.21,
    "qwen2.5-72b": 72.7,
    "qwen3-4b": 4.0,
    "qwen3-235b-a22b": 235,
    "qwen3-next-80b-a3b": 80,
    "gemma-3-27b": 25.600 + 1.416,
    "gpt-oss-20b": 20.91,
    "gpt-oss-120b": 116.83,
    "deepseek-v3": 671,
}
ACTIVE_BILLIONS = {
    "mixtral-8x7b-v0.1": 12.9,
    "qwen3-30b-a3b": 3.3,
    "qwen3-235b-a22b": 22,
    "deepseek-v3": 37,
}


@pytest.mark.parametrize(("name", "count"), CHECKPOINTS.items())
def test_parameters_are_those_of_the_checkpoint(name: str, count: int) -> None:
    assert read_architecture(name).parameters == count


@pytest.mark.parametrize(("name", "billions"), BILLIONS.items())
def test_parameters_are_as_published(name: str, billions: float) -> None:
    assert read_architecture(name).parameters == pytest.approx(billions * 1e9, rel=0.03)


@pytest.mark.parametrize(("name", "billions"), ACTIVE_BILLIONS.items())
def test_active_parameters_are_as_published(name: str, billions: float) -> None:
    assert read_architecture(name).active_parameters == pytest.approx(billions * 1e9, rel=0.03)


@pytest.mark.parametrize(("name", "billions"), [("gpt-oss-120b", 5.13), ("gpt-oss-20b", 3.61)])
def test_active_parameters_without_the_embeddings(name: str, billions: float) -> None:
    model = read_architecture(name)
    assert model.active_parameters - model.head == pytest.approx(billions * 1e9, rel=0.03)


@pytest.mark.parametrize(
    ("billions", "active", "fields"),
    [
        (  # Phi-3 mini
            3.82,
            3.82,
            "phi3 hidden_size=3072 num_hidden_layers=32 num_attention_heads=32 vocab_size=32064 "
            "intermediate_size=8192",
        ),
        (  # Granite 3.1 8B
            8.17,
            8.17,
            "granite hidden_size=4096 num_hidden_layers=40 num_attention_heads=32 vocab_size=49155 "
            "num_key_value_heads=8 intermediate_size=12800 tie_word_embeddings=1",
        ),
        (  # Gemma 7B
            8.54,
            8.54,
            "gemma hidden_size=3072 num_hidden_layers=28 num_attention_heads=16 vocab_size=256000 "
            "head_dim=256 intermediate_size=24576",
        ),
        (  # Qwen1.5-MoE-A2.7B
            14.3,
            2.7,
            "qwen2_moe hidden_size=2048 num_hidden_layers=24 num_attention_heads=16 "
            "vocab_size=151936 num_experts=60 num_experts_per_tok=4 moe_intermediate_size=1408 "
            "shared_expert_intermediate_size=5632",
        ),
        (  # DeepSeek-V2-Lite
            15.7,
            None,
            "deepseek_v2 hidden_size=2048 num_hidden_layers=27 num_attention_heads=16 "
            "vocab_size=102400 intermediate_size=10944 moe_intermediate_size=1408 "
            "n_routed_experts=64 n_shared_experts=2 num_experts_per_tok=6 first_k_dense_replace=1 "
            "kv_lora_rank=512 qk_rope_head_dim=64 qk_nope_head_dim=128 v_head_dim=128",
        ),
        (  # Kimi K2
            1026,
            32,
            "kimi_k2 hidden_size=7168 num_hidden_layers=61 num_attention_heads=64 "
            "vocab_size=163840 intermediate_size=18432 moe_intermediate_size=2048 "
            "n_routed_experts=384 n_shared_experts=1 num_experts_per_tok=8 first_k_dense_replace=1 "
            "kv_lora_rank=512 q_lora_rank=1536 qk_rope_head_dim=64 qk_nope_head_dim=128 "
            "v_head_dim=128",
        ),
    ],
)
def test_models_of_other_kinds_are_counted_as_published(
    billions: float, active: float | None, fields: str
) -> None:
    kind, *pairs = fields.split()
    sizes = {name: int(value) for name, _, value in (pair.partition("=") for pair in pairs)}
    config = parse_config(
        {"model_type": kind, "max_position_embeddings": 4096, **sizes}, source=kind
    )
    model = build_architecture(kind, config)
    assert model.parameters == pytest.approx(billions * 1e9, rel=0.03)
    if active is not None:
        assert model.active_parameters == pytest.approx(active * 1e9, rel=0.03)


def test_every_known_model_is_read() -> None:
    for name in MODELS:
        assert read_architecture(name).active_parameters <= read_architecture(name).parameters


def test_windows_and_states_follow_the_config() -> None:
    def kinds(name: str) -> str:
        layers = read_architecture(name).layers
        return "".join(
            "l" if one.attention.state else "f" if one.attention.window is None else "s"
            for one in layers
        )

    assert kinds("gemma-2-9b") == "sf" * 21
    assert kinds("gemma-3-27b") == ("sssssf" * 11)[:62]
    assert kinds("mistral-7b-v0.1") == "s" * 32
    assert kinds("gpt-oss-20b") == "sf" * 12
    assert kinds("qwen3-next-80b-a3b") == "lllf" * 12
    assert kinds("qwen2.5-7b") == "f" * 28


def test_windows_of_qwen_begin_at_a_layer() -> None:
    fields = {**MODELS["qwen2.5-7b"], "sliding_window": 100, "max_window_layers": 20}
    off = build_architecture("m", parse_config(fields, source="m"))
    assert {one.attention.window for one in off.layers} == {None}
    on = parse_config({**fields, "use_sliding_window": True}, source="m")
    windows = [one.attention.window for one in build_architecture("m", on).layers]
    assert windows == [None] * 20 + [100] * 8


@pytest.mark.parametrize(
    ("model", "change", "message"),
    [
        ("llama-3-8b", {"intermediate_size": None}, "intermediate_size"),
        ("deepseek-v3", {"v_head_dim": None}, "v_head_dim"),
        ("qwen3-next-80b-a3b", {"linear_key_head_dim": None}, "linear_key_head_dim"),
        ("gpt-oss-20b", {"sliding_window": None}, "sliding_window"),
        ("mixtral-8x7b-v0.1", {"num_experts_per_tok": None}, "num_experts_per_tok"),
        ("mixtral-8x7b-v0.1", {"num_experts_per_tok": 9}, "of 8 experts"),
        ("llama-3-8b", {"hidden_size": 31, "head_dim": None}, "of 32 heads"),
        ("gpt-oss-20b", {"layer_types": ["mamba"] * 24}, "mamba"),
        ("gpt-oss-20b", {"layer_types": ["full_attention"]}, "1 entries for 24 layers"),
    ],
)
def test_what_a_kind_of_layer_lacks_is_named(
    model: str, change: dict[str, object], message: str
) -> None:
    config = parse_config({**MODELS[model], **change}, source=model)
    with pytest.raises(InputError, match=message) as caught:
        build_architecture(model, config)
    assert "Fix: " in str(caught.value)
