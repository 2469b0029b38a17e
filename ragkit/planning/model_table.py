"""Configs of well-known open models: the fields of their published config.json that matter."""

from collections.abc import Mapping

Fields = Mapping[str, object]


def _llama(hidden: int, layers: int, heads: int, inner: int, **other: object) -> Fields:
    return {
        "model_type": "llama",
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": inner,
        "num_key_value_heads": 8,
        "vocab_size": 128256,
        "max_position_embeddings": 131072,
        **other,
    }


def _qwen(kind: str, hidden: int, layers: int, heads: int, inner: int, **other: object) -> Fields:
    return {
        "model_type": kind,
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": inner,
        "num_key_value_heads": 8,
        "vocab_size": 151936,
        "max_position_embeddings": 40960 if kind.startswith("qwen3") else 32768,
        **other,
    }


def _gpt_oss(layers: int, experts: int) -> Fields:
    return {
        "model_type": "gpt_oss",
        "hidden_size": 2880,
        "num_hidden_layers": layers,
        "num_attention_heads": 64,
        "num_key_value_heads": 8,
        "head_dim": 64,
        "intermediate_size": 2880,
        "num_local_experts": experts,
        "num_experts_per_tok": 4,
        "vocab_size": 201088,
        "max_position_embeddings": 131072,
        "attention_bias": True,
        "sliding_window": 128,
        "layer_types": ("sliding_attention", "full_attention") * (layers // 2),
    }


MODELS: Mapping[str, Fields] = {
    "llama-13b": _llama(
        5120, 40, 40, 13824,
        num_key_value_heads=40, vocab_size=32000, max_position_embeddings=2048,
    ),
    "llama-3-8b": _llama(4096, 32, 32, 14336, max_position_embeddings=8192),
    "llama-3-70b": _llama(8192, 80, 64, 28672, max_position_embeddings=8192),
    "llama-3.1-8b": _llama(4096, 32, 32, 14336),
    "llama-3.1-70b": _llama(8192, 80, 64, 28672),
    "llama-3.1-405b": _llama(16384, 126, 128, 53248),
    "llama-3.2-3b": _llama(3072, 28, 24, 8192, head_dim=128, tie_word_embeddings=True),
    "mistral-7b-v0.1": {
        **_llama(4096, 32, 32, 14336, vocab_size=32000, max_position_embeddings=32768),
        "model_type": "mistral",
        "sliding_window": 4096,
    },
    "mixtral-8x7b-v0.1": {
        **_llama(4096, 32, 32, 14336, vocab_size=32000, max_position_embeddings=32768),
        "model_type": "mixtral",
        "num_local_experts": 8,
        "num_experts_per_tok": 2,
    },
    "qwen2.5-7b": _qwen(
        "qwen2", 3584, 28, 28, 18944, num_key_value_heads=4, vocab_size=152064
    ),
    "qwen2.5-72b": _qwen("qwen2", 8192, 80, 64, 29568, vocab_size=152064),
    "qwen3-4b": _qwen("qwen3", 2560, 36, 32, 9728, head_dim=128, tie_word_embeddings=True),
    "qwen3-8b": _qwen("qwen3", 4096, 36, 32, 12288, head_dim=128),
    "qwen3-30b-a3b": _qwen(
        "qwen3_moe", 2048, 48, 32, 6144, head_dim=128, num_key_value_heads=4,
        num_experts=128, num_experts_per_tok=8, moe_intermediate_size=768,
    ),
    "qwen3-235b-a22b": _qwen(
        "qwen3_moe", 4096, 94, 64, 12288, head_dim=128, num_key_value_heads=4,
        num_experts=128, num_experts_per_tok=8, moe_intermediate_size=1536,
    ),
    "qwen3-next-80b-a3b": _qwen(
        "qwen3_next", 2048, 48, 16, 5120, head_dim=256, num_key_value_heads=2,
        num_experts=512, num_experts_per_tok=10, moe_intermediate_size=512,
        shared_expert_intermediate_size=512, full_attention_interval=4,
        linear_num_key_heads=16, linear_num_value_heads=32, linear_key_head_dim=128,
        linear_value_head_dim=128, linear_conv_kernel_dim=4, max_position_embeddings=262144,
    ),
    "gemma-2-9b": {
        "model_type": "gemma2",
        "hidden_size": 3584,
        "num_hidden_layers": 42,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
        "head_dim": 256,
        "intermediate_size": 14336,
        "vocab_size": 256000,
        "sliding_window": 4096,
        "max_position_embeddings": 8192,
    },
    "gemma-3-27b": {
        "model_type": "gemma3_text",
        "hidden_size": 5376,
        "num_hidden_layers": 62,
        "num_attention_heads": 32,
        "num_key_value_heads": 16,
        "head_dim": 128,
        "intermediate_size": 21504,
        "vocab_size": 262208,
        "sliding_window": 1024,
        "max_position_embeddings": 131072,
    },
    "gpt-oss-20b": _gpt_oss(24, 32),
    "gpt-oss-120b": _gpt_oss(36, 128),
    "deepseek-v3": {
        "model_type": "deepseek_v3",
        "hidden_size": 7168,
        "num_hidden_layers": 61,
        "num_attention_heads": 128,
        "num_key_value_heads": 128,
        "intermediate_size": 18432,
        "moe_intermediate_size": 2048,
        "n_routed_experts": 256,
        "n_shared_experts": 1,
        "num_experts_per_tok": 8,
        "first_k_dense_replace": 3,
        "kv_lora_rank": 512,
        "q_lora_rank": 1536,
        "qk_nope_head_dim": 128,
        "qk_rope_head_dim": 64,
        "v_head_dim": 128,
        "vocab_size": 129280,
        "max_position_embeddings": 163840,
    },
}  # fmt: skip
