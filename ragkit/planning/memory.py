"""Bytes of weights and of the KV cache (docs/planning.md, "Memory")."""

from ragkit.planning.architecture import Architecture
from ragkit.planning.precision import (
    CACHE_BYTES,
    STATE_BYTES,
    UNQUANTISED_BYTES,
    WEIGHT_BYTES,
    CachePrecision,
    WeightPrecision,
)


def weight_bytes(model: Architecture, precision: WeightPrecision) -> int:
    """Return the bytes of the weights; embeddings and output head stay in bf16."""
    quantised = model.parameters - model.unquantised
    return round(quantised * WEIGHT_BYTES[precision] + model.unquantised * UNQUANTISED_BYTES)


def token_bytes(model: Architecture, precision: CachePrecision) -> int:
    """Return the bytes of the KV cache that one token takes while no window is full."""
    return sum(layer.attention.cached for layer in model.layers) * CACHE_BYTES[precision]


def sequence_bytes(model: Architecture, tokens: int, precision: CachePrecision) -> int:
    """Return the bytes of the KV cache of a sequence, with the states of linear layers."""
    values = sum(layer.attention.cached * layer.attention.kept(tokens) for layer in model.layers)
    states = sum(layer.attention.state for layer in model.layers)
    return values * CACHE_BYTES[precision] + states * STATE_BYTES


def copies(model: Architecture, tensor: int) -> float:
    """Return how often the GPUs of a tensor-parallel group keep the cache between them.

    Heads of keys and values are divided among the GPUs; where there are fewer heads than GPUs they
    are copied. The latent cache has one head.
    """
    return tensor / min(tensor, model.cache_heads)
