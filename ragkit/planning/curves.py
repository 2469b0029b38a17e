"""Curves of a plan: the concurrency at every context, and the cost under every load."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ragkit.planning.architecture import Architecture
from ragkit.planning.capacity import ServedReplica
from ragkit.planning.deployment import Layout, plan_layout
from ragkit.planning.gpu import Gpu
from ragkit.planning.load import LEAST, MOST, Load, Serving
from ragkit.planning.precision import CACHE_BYTES, CachePrecision
from ragkit.planning.roofline import Replica

_SHORTEST_CONTEXT = 1024
_HALVINGS = 5
"""The loads of a cost curve are this many times halved and doubled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextPoint:
    """The sequences of `context` tokens that fit at the same time, on all GPUs of a layout."""

    cache: CachePrecision
    context: int
    sequences: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CostPoint:
    """The GPUs that a load needs, and their cost; the price is None where none is given."""

    rate: float
    gpus: int
    gpu_hours_per_million_tokens: float
    per_million_tokens: float | None


def context_curve(
    model: Architecture, gpu: Gpu, layout: Layout, serving: Serving
) -> list[ContextPoint]:
    """Return the concurrency of a layout at contexts of powers of two, for each KV precision."""
    load = Load(rate=1, prompt=1, output=1)
    return [
        ContextPoint(
            cache=cache,
            context=context,
            sequences=layout.data
            * ServedReplica(
                replica=Replica(
                    model=model,
                    gpu=gpu,
                    weights=layout.weights,
                    cache=cache,
                    tensor=layout.tensor,
                    pipeline=layout.pipeline,
                ),
                load=replace(load, prompt=context - 1),
                serving=replace(serving, cache=cache),
            ).max_sequences,
        )
        for cache in CACHE_BYTES
        for context in _contexts(model.context)
    ]


def cost_curve(model: Architecture, gpu: Gpu, load: Load, serving: Serving) -> list[CostPoint]:
    """Return the cost at rates around that of a load, each with the fewest GPUs that carry it.

    Raises:
        InputError: The model does not fit, or no layout keeps the objectives.
    """
    points: list[CostPoint] = []
    for power in range(-_HALVINGS, _HALVINGS + 1):
        rate = load.rate * 2.0**power
        if LEAST <= rate <= MOST:
            layout, cost = plan_layout(model, gpu, replace(load, rate=rate), serving)
            points.append(
                CostPoint(
                    rate=rate,
                    gpus=layout.gpus,
                    gpu_hours_per_million_tokens=cost.gpu_hours_per_million_tokens,
                    per_million_tokens=cost.per_million_tokens,
                )
            )
    return points


def _contexts(longest: int) -> Sequence[int]:
    contexts = [min(_SHORTEST_CONTEXT, longest)]
    while contexts[-1] < longest:
        contexts.append(min(2 * contexts[-1], longest))
    return contexts
