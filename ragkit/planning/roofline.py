"""Lower bounds of the time of prefill and decoding by the roofline model.

A step takes at least the time of its operations at the GPU's rate, and at least the time to read
what it needs from memory (Williams et al., 2009, doi:10.1145/1498765.1498785). Traffic between GPUs
is not counted.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from ragkit.planning.architecture import Architecture, AttentionLayer
from ragkit.planning.gpu import Gpu
from ragkit.planning.memory import copies, sequence_bytes
from ragkit.planning.precision import (
    UNQUANTISED_BYTES,
    WEIGHT_BYTES,
    CachePrecision,
    WeightPrecision,
)

Limit: TypeAlias = Literal["compute", "bandwidth"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """The least time of a step, and which of both sets it. FLOPs and bytes are of all its GPUs."""

    seconds: float
    limit: Limit
    flops: float
    bytes_read: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Replica:
    """A model on `tensor` x `pipeline` GPUs, with weights and cache in a precision."""

    model: Architecture
    gpu: Gpu
    weights: WeightPrecision
    cache: CachePrecision
    tensor: int = 1
    pipeline: int = 1

    @property
    def gpus(self) -> int:
        """GPUs of the replica."""
        return self.tensor * self.pipeline

    def prefill(self, new: int, cached: int = 0) -> Bound:
        """Return the bound of reading `new` tokens of a prompt behind `cached` ones."""
        flops = prefill_flops(self.model, new, cached=cached, outputs=1)
        held = sequence_bytes(self.model, cached, self.cache) * copies(self.model, self.tensor)
        return self._bound(flops, bytes_of_weights(self.model, new, self.weights) + held)

    def decode(self, batch: int, context: float) -> Bound:
        """Return the bound of one token for each of `batch` sequences of `context` tokens.

        The stages of a pipeline work on a part of the batch each, so a step is that of one part.
        """
        part = max(1, -(-batch // self.pipeline))
        tokens = round(context)
        flops = part * decode_flops(self.model, tokens)
        held = part * sequence_bytes(self.model, tokens, self.cache)
        read = bytes_of_weights(self.model, part, self.weights)
        return self._bound(flops, read + held * copies(self.model, self.tensor))

    def _bound(self, flops: float, read: float) -> Bound:
        compute = flops / (self.tensor * self.gpu.rate(self.weights))
        bandwidth = read / (self.tensor * self.gpu.bandwidth)
        return Bound(
            seconds=max(compute, bandwidth),
            limit="compute" if compute > bandwidth else "bandwidth",
            flops=flops,
            bytes_read=read,
        )


def prefill_flops(model: Architecture, new: int, *, cached: int = 0, outputs: int) -> float:
    """Return the operations of `new` tokens; logits are made for `outputs` of them.

    Two for each weight and token, and two for each pair of tokens that attend and each value of
    query and output (Kaplan et al., arXiv:2001.08361), under a causal mask.
    """
    linear = 2 * model.active_in_layers * new + 2 * model.head * outputs
    attention = sum(
        2 * layer.attention.width * _pairs(layer.attention, new, cached) for layer in model.layers
    )
    return float(linear + attention)


def _pairs(layer: AttentionLayer, new: int, cached: int) -> int:
    """Return how many pairs of tokens attend: token i to min(i, window) tokens."""

    def up_to(tokens: int) -> int:
        window = layer.kept(tokens)
        return window * (window + 1) // 2 + (tokens - window) * window

    return up_to(cached + new) - up_to(cached)


def decode_flops(model: Architecture, context: int) -> float:
    """Return the operations of the next token of a sequence of `context` tokens."""
    attention = sum(
        2 * layer.attention.decode_width * layer.attention.kept(context) for layer in model.layers
    )
    return float(2 * (model.active_in_layers + model.head) + attention)


def bytes_of_weights(model: Architecture, tokens: int, precision: WeightPrecision) -> float:
    """Return the bytes of weights that a step of `tokens` tokens reads.

    Of E experts of which each token uses k, E (1 - (1 - k/E)^tokens) are expected to be read, if
    tokens choose evenly. Embeddings are looked up, the output head is read.
    """
    read = 0.0
    for layer in model.layers:
        part = layer.feed_forward
        read += layer.shared
        if part.experts:
            unused = (1 - part.experts_per_token / part.experts) ** tokens
            read += part.experts * (1 - unused) * part.expert_parameters
    return read * WEIGHT_BYTES[precision] + model.head * UNQUANTISED_BYTES
