"""Parameters, cached values and attention of each layer of a model, from its config.

Sources: the layers as `transformers` builds them; multi-head latent attention, DeepSeek-V2,
arXiv:2405.04434; gated delta networks, arXiv:2412.06464.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from ragkit.core.errors import InputError
from ragkit.planning.model_config import ModelConfig, read_config
from ragkit.planning.precision import WeightPrecision

Attention: TypeAlias = Literal["full", "sliding", "linear"]
_LAYER_TYPES: dict[str, Attention] = {
    "full_attention": "full",
    "sliding_attention": "sliding",
    "linear_attention": "linear",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionLayer:
    """The attention of a layer.

    Attributes:
        parameters: Weights, without norms around the layer.
        cached: Values that a token leaves in the KV cache.
        width: Sum over heads of the sizes of query and value: multiplications for each pair of
            tokens in prefill.
        decode_width: The same while decoding; latent attention then works on the cache itself.
        window: Tokens that are kept at most; None for all.
        state: Values of a state that does not grow with the tokens (linear attention).
    """

    parameters: int
    cached: int = 0
    width: int = 0
    decode_width: int = 0
    window: int | None = None
    state: int = 0

    def kept(self, tokens: int) -> int:
        """Return how many of a sequence's tokens are in the cache."""
        return tokens if self.window is None else min(tokens, self.window)


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedForward:
    """The feed-forward part of a layer: weights for every token, and routed experts."""

    parameters: int
    experts: int = 0
    expert_parameters: int = 0
    experts_per_token: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoderLayer:
    """A layer of a decoder; `norms` are the weights of its norms."""

    attention: AttentionLayer
    feed_forward: FeedForward
    norms: int

    @property
    def shared(self) -> int:
        """Weights that every token uses."""
        return self.attention.parameters + self.feed_forward.parameters + self.norms


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """A decoder-only model; counts are parameters or values, not bytes.

    `stored` is the precision of a checkpoint whose weights are quantised.
    """

    name: str
    layers: tuple[DecoderLayer, ...]
    hidden: int
    vocabulary: int
    tied: bool
    heads: int
    cache_heads: int
    context: int
    stored: WeightPrecision | None = None

    @property
    def head(self) -> int:
        """Weights of the output head, which are the embeddings too where both are tied."""
        return self.hidden * self.vocabulary

    @property
    def unquantised(self) -> int:
        """Weights of embeddings and output head."""
        return self.head * (1 if self.tied else 2)

    @property
    def parameters(self) -> int:
        """All weights."""
        return self.unquantised + self.hidden + sum(map(_all_weights, self.layers))

    @property
    def active_parameters(self) -> int:
        """Weights without the experts that a token does not use."""
        return self.unquantised + self.hidden + self.active_in_layers

    @property
    def active_in_layers(self) -> int:
        """Weights of the layers that a token is multiplied with."""
        return sum(
            layer.shared
            + layer.feed_forward.experts_per_token * layer.feed_forward.expert_parameters
            for layer in self.layers
        )


def _all_weights(layer: DecoderLayer) -> int:
    return layer.shared + layer.feed_forward.experts * layer.feed_forward.expert_parameters


def read_architecture(model: str) -> Architecture:
    """Return the architecture of a known model, a config.json, or a folder that has one.

    Raises:
        InputError: The name is unknown, or the file cannot be read or lacks a field.
    """
    name, config = read_config(model)
    return build_architecture(name, config)


def build_architecture(name: str, config: ModelConfig) -> Architecture:
    """Return the architecture that a config describes.

    Raises:
        InputError: The config lacks a field, or has a kind of layer that is not known.
    """
    norms = config.family.norms * config.hidden_size
    quantised = config.quantization_config
    return Architecture(
        name=name,
        layers=tuple(
            DecoderLayer(
                attention=_attention(config, kind),
                feed_forward=_feed_forward(config, number),
                norms=norms,
            )
            for number, kind in enumerate(_kinds(config))
        ),
        hidden=config.hidden_size,
        vocabulary=config.vocab_size,
        tied=config.tie_word_embeddings,
        heads=config.num_attention_heads,
        cache_heads=1 if config.kv_lora_rank else _cache_heads(config),
        context=config.max_position_embeddings,
        stored=None if quantised is None else quantised.precision,
    )


def _kinds(config: ModelConfig) -> list[Attention]:
    """Return the attention of each layer: as listed, or as the family's rule says."""
    count = config.num_hidden_layers
    if config.layer_types is not None:
        unknown = sorted(set(config.layer_types) - set(_LAYER_TYPES))
        if unknown or len(config.layer_types) != count:
            raise InputError(
                f"layer_types has {len(config.layer_types)} entries for {count} layers and the "
                f"unknown kinds {unknown}. Fix: one of {', '.join(_LAYER_TYPES)} for each layer."
            )
        return [_LAYER_TYPES[kind] for kind in config.layer_types]
    if config.full_attention_interval is not None:
        every = config.full_attention_interval
        return ["linear" if (number + 1) % every else "full" for number in range(count)]
    if config.sliding_window is None or not config.use_sliding_window:
        return ["full"] * count
    if config.sliding_window_pattern is not None:
        every = config.sliding_window_pattern
        return ["sliding" if (number + 1) % every else "full" for number in range(count)]
    first = config.max_window_layers
    return ["sliding" if number >= first else "full" for number in range(count)]


def _attention(config: ModelConfig, kind: Attention) -> AttentionLayer:
    if kind == "linear":
        return _linear_attention(config)
    if config.kv_lora_rank is not None:
        return _latent_attention(config, config.kv_lora_rank)
    return _grouped_attention(config, config.need("sliding_window") if kind == "sliding" else None)


def _cache_heads(config: ModelConfig) -> int:
    return config.num_key_value_heads or config.num_attention_heads


def _grouped_attention(config: ModelConfig, window: int | None) -> AttentionLayer:
    """Return grouped-query attention, of which multi-head attention is a case."""
    family, hidden = config.family, config.hidden_size
    size = config.head_dim or hidden // config.num_attention_heads
    if not size:
        raise InputError(
            f"hidden_size is {hidden}, of {config.num_attention_heads} heads, and head_dim is not "
            "set. Fix: use the values of the model's published config.json."
        )
    queries, keys = config.num_attention_heads * size, _cache_heads(config) * size
    made = queries * (2 if family.output_gate else 1) + 2 * keys
    weights = hidden * made + queries * hidden
    if family.query_bias or config.attention_bias:
        weights += made
    if config.attention_bias:
        weights += hidden
    if family.query_norm:
        weights += 2 * size
    if family.sinks:
        weights += config.num_attention_heads
    return AttentionLayer(
        parameters=weights,
        cached=2 * keys,
        width=2 * queries,
        decode_width=2 * queries,
        window=window,
    )


def _latent_attention(config: ModelConfig, rank: int) -> AttentionLayer:
    """Return multi-head latent attention, whose cache is one latent vector for all heads."""
    hidden, heads = config.hidden_size, config.num_attention_heads
    rotary, plain = config.need("qk_rope_head_dim"), config.need("qk_nope_head_dim")
    value = config.need("v_head_dim")
    queries = heads * (plain + rotary)
    if config.q_lora_rank is None:
        weights = hidden * queries
    else:
        weights = config.q_lora_rank * (hidden + queries + 1)  # with the norm of the latent
    weights += hidden * (rank + rotary) + rank * (1 + heads * (plain + value))
    weights += heads * value * hidden
    return AttentionLayer(
        parameters=weights,
        cached=rank + rotary,
        width=queries + heads * value,
        decode_width=heads * (2 * rank + rotary),
    )


def _linear_attention(config: ModelConfig) -> AttentionLayer:
    """Return a gated delta network, whose state is one matrix for each head of values."""
    hidden, heads = config.hidden_size, config.need("linear_num_value_heads")
    key, value = config.need("linear_key_head_dim"), config.need("linear_value_head_dim")
    keys, values = config.need("linear_num_key_heads") * key, heads * value
    kernel, mixed = config.need("linear_conv_kernel_dim"), 2 * keys + values
    weights = hidden * (2 * keys + 2 * values + 2 * heads)  # queries, keys, values, gates
    weights += mixed * kernel + 2 * heads + value + values * hidden
    return AttentionLayer(parameters=weights, state=heads * key * value + mixed * (kernel - 1))


def _feed_forward(config: ModelConfig, number: int) -> FeedForward:
    hidden, experts = config.hidden_size, config.experts
    if not experts or not _is_sparse(config, number):
        return FeedForward(parameters=3 * hidden * config.need("intermediate_size"))
    size = config.moe_intermediate_size or config.need("intermediate_size")
    expert, shared = 3 * hidden * size, experts * hidden  # the router
    if config.family.expert_bias:
        expert += 2 * size + hidden
        shared += experts
    if config.n_shared_experts:
        shared += config.n_shared_experts * 3 * hidden * size
    if config.shared_expert_intermediate_size:
        shared += 3 * hidden * config.shared_expert_intermediate_size
        shared += hidden if config.family.shared_gate else 0
    used = config.need("num_experts_per_tok")
    if used > experts:
        raise InputError(
            f"num_experts_per_tok is {used}, of {experts} experts. Fix: check the config."
        )
    return FeedForward(
        parameters=shared, experts=experts, expert_parameters=expert, experts_per_token=used
    )


def _is_sparse(config: ModelConfig, number: int) -> bool:
    after_dense = number >= config.first_k_dense_replace
    turn = number % config.moe_layer_freq == 0 and (number + 1) % config.decoder_sparse_step == 0
    return after_dense and turn and number not in config.mlp_only_layers
