"""The kinds of model whose config.json is understood, and what their configs leave unsaid."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFamily:
    """The facts that a `model_type` implies. All families here have gated feed-forward layers.

    Attributes:
        norms: Norms of a layer, each of the hidden size.
        query_bias: The projections of queries, keys and values have a bias whatever the config.
        query_norm: Queries and keys are normed, each by weights of the head size.
        output_gate: The projection of queries also makes a gate of the same size.
        sinks: Each head has a learnt attention sink.
        expert_bias: Experts and router have biases.
        shared_gate: The shared expert has a gate of the hidden size.
        defaults: Values of fields that configs of this family may leave out.
        needs: Fields without which a model of this family would be planned as another kind.
    """

    norms: int = 2
    query_bias: bool = False
    query_norm: bool = False
    output_gate: bool = False
    sinks: bool = False
    expert_bias: bool = False
    shared_gate: bool = False
    defaults: Mapping[str, object] = field(default_factory=dict[str, object])
    needs: tuple[str, ...] = ()


_UNTIED: Mapping[str, object] = {"tie_word_embeddings": False}
_TIED: Mapping[str, object] = {"tie_word_embeddings": True}
_DEEPSEEK: Mapping[str, object] = {**_UNTIED, "moe_layer_freq": 1}
_LATENT_EXPERTS = ("kv_lora_rank", "n_routed_experts")

FAMILIES: Mapping[str, ModelFamily] = {
    "llama": ModelFamily(defaults=_UNTIED),
    "granite": ModelFamily(defaults=_UNTIED),
    "phi3": ModelFamily(defaults=_UNTIED),
    "mistral": ModelFamily(defaults={**_UNTIED, "sliding_window": 4096}),
    "mixtral": ModelFamily(defaults=_UNTIED, needs=("num_local_experts",)),
    "qwen2": ModelFamily(query_bias=True, defaults={**_UNTIED, "use_sliding_window": False}),
    "qwen2_moe": ModelFamily(
        query_bias=True,
        shared_gate=True,
        defaults={**_UNTIED, "use_sliding_window": False},
        needs=("num_experts",),
    ),
    "qwen3": ModelFamily(query_norm=True, defaults={**_UNTIED, "use_sliding_window": False}),
    "qwen3_moe": ModelFamily(
        query_norm=True,
        defaults={**_UNTIED, "use_sliding_window": False},
        needs=("num_experts",),
    ),
    "qwen3_next": ModelFamily(
        query_norm=True,
        output_gate=True,
        shared_gate=True,
        defaults={**_UNTIED, "full_attention_interval": 4},
        needs=("num_experts",),
    ),
    "gemma": ModelFamily(defaults=_TIED),
    "gemma2": ModelFamily(
        norms=4, defaults={**_TIED, "sliding_window": 4096, "sliding_window_pattern": 2}
    ),
    "gemma3_text": ModelFamily(
        norms=4,
        query_norm=True,
        defaults={
            **_TIED,
            "vocab_size": 262208,
            "num_attention_heads": 8,
            "num_key_value_heads": 4,
            "head_dim": 256,
            "sliding_window": 4096,
            "sliding_window_pattern": 6,
            "max_position_embeddings": 131072,
        },
    ),
    "gpt_oss": ModelFamily(
        sinks=True, expert_bias=True, defaults=_UNTIED, needs=("num_local_experts",)
    ),
    "deepseek_v2": ModelFamily(defaults=_DEEPSEEK, needs=_LATENT_EXPERTS),
    "deepseek_v3": ModelFamily(defaults=_DEEPSEEK, needs=_LATENT_EXPERTS),
    "kimi_k2": ModelFamily(defaults=_DEEPSEEK, needs=_LATENT_EXPERTS),
}
