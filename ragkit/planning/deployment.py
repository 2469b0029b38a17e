"""A deployment that carries a load: GPUs, speeds, costs and flags."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from ragkit.core.errors import InputError
from ragkit.planning.architecture import Architecture
from ragkit.planning.capacity import OperatingPoint, ServedReplica
from ragkit.planning.gpu import GPUS, Gpu
from ragkit.planning.load import GIB, Load, Serving
from ragkit.planning.memory import sequence_bytes, token_bytes, weight_bytes
from ragkit.planning.precision import (
    CACHE_BYTES,
    WEIGHT_BYTES,
    CachePrecision,
    WeightPrecision,
)
from ragkit.planning.roofline import Bound, Replica

MILLION = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSizes:
    """Parameters, and bytes of weights and cache. `sequence_bytes` is of prompt and output."""

    name: str
    parameters: int
    active_parameters: int
    weight_bytes: Mapping[WeightPrecision, int]
    token_bytes: Mapping[CachePrecision, int]
    sequence_bytes: Mapping[CachePrecision, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """GPUs of a deployment: `data` replicas of `tensor` x `pipeline` GPUs.

    Attributes:
        cache_space: Bytes for the KV cache of a replica.
        max_sequences: Sequences of full length that fit in them.
        concurrency: The most that keep the objectives too.
        capacity: Requests per second that a replica carries within the objectives.
    """

    weights: WeightPrecision
    cache: CachePrecision
    tensor: int
    pipeline: int
    data: int
    gpus: int
    cache_space: int
    max_sequences: int
    concurrency: int
    capacity: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """GPU-hours for a million tokens of the load, and their price where one is given."""

    gpu_hours_per_million_tokens: float
    gpu_hours_per_million_output_tokens: float
    per_hour: float | None
    per_million_tokens: float | None
    per_million_output_tokens: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingPlan:
    """The deployment that a load needs.

    Attributes:
        layout: The fewest GPUs that carry the load with the margin.
        expected: What a replica does under its part of the load.
        prefill: Bound of the tokens of a prompt that are not shared, on an idle replica.
        decode_one: Bound of a token for one sequence.
        decode: Bound of a step at the expected concurrency.
        alternatives: Layouts with other precisions; those that do not fit are left out.
        flags: Arguments of `vllm serve`.
        notes: What the figures do not say.
    """

    model: ModelSizes
    gpu: str
    layout: Layout
    expected: OperatingPoint
    prefill: Bound
    decode_one: Bound
    decode: Bound
    alternatives: tuple[Layout, ...]
    cost: Cost
    flags: tuple[str, ...]
    notes: tuple[str, ...]


def plan_serving(
    model: Architecture, gpu: Gpu, load: Load, serving: Serving | None = None
) -> ServingPlan:
    """Return the deployment with the fewest GPUs that carries a load.

    Raises:
        InputError: The request is longer than the model's context, the model does not fit, or no
            layout keeps the objectives; the message says what would.
    """
    serving = serving or Serving()
    if load.tokens > model.context:
        raise InputError(
            f"Prompt and output are {load.tokens} tokens; {model.name!r} has a context of "
            f"{model.context}. Fix: shorten them, or plan another model."
        )
    layout, served = _smallest(model, gpu, load, serving)
    expected = served.for_rate(load.rate / layout.data)
    context = load.prompt + load.output / 2
    return ServingPlan(
        model=model_sizes(model, load),
        gpu=gpu.name,
        layout=layout,
        expected=expected,
        prefill=served.replica.prefill(load.prompt - load.prefix, load.prefix),
        decode_one=served.replica.decode(1, context),
        decode=served.replica.decode(expected.concurrency, context),
        alternatives=tuple(_alternatives(model, gpu, load, serving)),
        cost=_cost(layout, load, serving),
        flags=_flags(model, layout, load, serving),
        notes=tuple(_notes(model, layout, gpu, serving)),
    )


def plan_layout(model: Architecture, gpu: Gpu, load: Load, serving: Serving) -> tuple[Layout, Cost]:
    """Return the layout with the fewest GPUs that carries a load, and its cost.

    Raises:
        InputError: The model does not fit, or no layout keeps the objectives.
    """
    layout = _smallest(model, gpu, load, serving)[0]
    return layout, _cost(layout, load, serving)


def model_sizes(model: Architecture, load: Load) -> ModelSizes:
    """Return parameters and bytes by precision."""
    return ModelSizes(
        name=model.name,
        parameters=model.parameters,
        active_parameters=model.active_parameters,
        weight_bytes={name: weight_bytes(model, name) for name in WEIGHT_BYTES},
        token_bytes={name: token_bytes(model, name) for name in CACHE_BYTES},
        sequence_bytes={name: sequence_bytes(model, load.tokens, name) for name in CACHE_BYTES},
    )


def _served(model: Architecture, gpu: Gpu, load: Load, serving: Serving) -> list[ServedReplica]:
    """Return the layouts of a replica, as vLLM advises: pipelines only of whole machines.

    Tensor parallelism within a machine, and beyond it pipelines of machines.
    """
    tensors = _divisors(model.heads, min(serving.max_gpus, serving.node_gpus))
    pipelines = min(serving.max_gpus // tensors[-1], len(model.layers))
    layouts = [(tensor, 1) for tensor in tensors]
    layouts += [(tensors[-1], pipeline) for pipeline in range(2, pipelines + 1)]
    return [
        ServedReplica(
            replica=Replica(
                model=model,
                gpu=gpu,
                weights=serving.weights,
                cache=serving.cache,
                tensor=tensor,
                pipeline=pipeline,
            ),
            load=load,
            serving=serving,
        )
        for tensor, pipeline in layouts
    ]


def _divisors(heads: int, most: int) -> list[int]:
    """Return the powers of two up to `most` that divide the heads, as vLLM asks for."""
    powers = (2**exponent for exponent in range(most.bit_length()))
    return [power for power in powers if power <= most and heads % power == 0]


def _smallest(
    model: Architecture, gpu: Gpu, load: Load, serving: Serving
) -> tuple[Layout, ServedReplica]:
    served = _served(model, gpu, load, serving)
    fitting = [one for one in served if one.max_sequences]
    if not fitting:
        raise InputError(_does_not_fit(served, serving))
    carrying = [(_layout(one, point), one) for one in fitting if (point := one.best())]
    if not carrying:
        raise InputError(_too_slow(fitting, load))
    return min(carrying, key=lambda one: (one[0].gpus, one[0].tensor * one[0].pipeline))


def _layout(served: ServedReplica, point: OperatingPoint) -> Layout:
    wanted = served.load.rate * (1 + served.serving.margin)
    data = math.ceil(wanted / point.rate)
    return Layout(
        weights=served.replica.weights,
        cache=served.replica.cache,
        tensor=served.replica.tensor,
        pipeline=served.replica.pipeline,
        data=data,
        gpus=data * served.replica.gpus,
        cache_space=served.cache_space,
        max_sequences=served.max_sequences,
        concurrency=point.concurrency,
        capacity=point.rate,
    )


def _alternatives(model: Architecture, gpu: Gpu, load: Load, serving: Serving) -> Iterator[Layout]:
    for weights in WEIGHT_BYTES:
        for cache in CACHE_BYTES:
            if (weights, cache) != (serving.weights, serving.cache):
                other = replace(serving, weights=weights, cache=cache)
                try:
                    yield _smallest(model, gpu, load, other)[0]
                except InputError:
                    continue  # it does not fit either


def _does_not_fit(served: list[ServedReplica], serving: Serving) -> str:
    """Return the message: what is needed, and what would fit."""
    first = served[0]
    model, gpu, load = first.replica.model, first.replica.gpu, first.load
    weights = weight_bytes(model, serving.weights)
    cache = sequence_bytes(model, load.tokens, serving.cache)
    most = max(one.replica.gpus for one in served)
    fixes = [*_more_gpus(model, gpu, load, serving)]
    for name in WEIGHT_BYTES:
        if weight_bytes(model, name) < weights:
            other = replace(serving, weights=name)
            fixes += [f"--weights {name}"] if _fits(model, gpu, load, other) else []
    larger = [name for name, one in GPUS.items() if one.memory > gpu.memory]
    fitting = [name for name in larger if _fits(model, GPUS[name], load, serving)]
    fixes += [f"--gpu {name}" for name in fitting]
    if first.cache_space + (most - 1) * _usable(gpu, serving) > 0:
        fixes.append("a shorter prompt or output")
    return (
        f"{model.name!r} needs {weights / GIB:.1f} GiB for {serving.weights} weights and "
        f"{cache / GIB:.2f} GiB for a sequence of {load.tokens} tokens; a {gpu.name} has "
        f"{max(0.0, _usable(gpu, serving)) / GIB:.1f} GiB for both, and a replica has {most} GPUs "
        f"at most. Fix: {'; or '.join(fixes) or 'plan a smaller model'}."
    )


def _usable(gpu: Gpu, serving: Serving) -> float:
    return gpu.memory * serving.utilisation - serving.reserve


def _fits(model: Architecture, gpu: Gpu, load: Load, serving: Serving) -> bool:
    return any(one.max_sequences for one in _served(model, gpu, load, serving))


def _more_gpus(model: Architecture, gpu: Gpu, load: Load, serving: Serving) -> Iterator[str]:
    """Yield the option with the fewest GPUs of a replica that hold the model."""
    node = max(_divisors(model.heads, serving.node_gpus))
    counts = [*_divisors(model.heads, node), *(node * n for n in range(2, len(model.layers) + 1))]
    for count in counts:
        if count > serving.max_gpus:
            other = replace(serving, max_gpus=count)
            if _fits(model, gpu, load, other):
                yield f"--max-gpus {count}"
                return


def _too_slow(fitting: list[ServedReplica], load: Load) -> str:
    points = [one.at(1) for one in fitting]
    first, token = min(one.ttft_s for one in points), min(one.tpot_s for one in points)
    model, gpu = fitting[0].replica.model, fitting[0].replica.gpu
    return (
        f"No layout of {model.name!r} on {gpu.name} keeps ttft_s = {load.ttft_s} and tpot_s = "
        f"{load.tpot_s}: with one request alone they are {first:.3g} and {token:.3g} at best. "
        "Fix: raise the objectives, allow more GPUs (--max-gpus), lower the precision, shorten "
        "the prompt, or take a faster GPU."
    )


def _cost(layout: Layout, load: Load, serving: Serving) -> Cost:
    """Return the cost of the load's own tokens, so idle GPUs are paid for too."""
    output = layout.gpus / (load.rate * load.output * 3600) * MILLION
    every = layout.gpus / (load.rate * load.tokens * 3600) * MILLION
    price = serving.price
    return Cost(
        gpu_hours_per_million_tokens=every,
        gpu_hours_per_million_output_tokens=output,
        per_hour=None if price is None else price * layout.gpus,
        per_million_tokens=None if price is None else price * every,
        per_million_output_tokens=None if price is None else price * output,
    )


def _flags(model: Architecture, layout: Layout, load: Load, serving: Serving) -> tuple[str, ...]:
    flags = [
        f"--max-model-len={load.tokens}",
        f"--max-num-seqs={layout.concurrency}",
        f"--gpu-memory-utilization={serving.utilisation}",
        "--dtype=bfloat16",
    ]
    if layout.tensor > 1:
        flags.append(f"--tensor-parallel-size={layout.tensor}")
    if layout.pipeline > 1:
        flags.append(f"--pipeline-parallel-size={layout.pipeline}")
    if layout.data > 1 and layout.gpus <= serving.node_gpus:
        flags.append(f"--data-parallel-size={layout.data}")
    if layout.cache == "fp8":
        flags.append("--kv-cache-dtype=fp8")
    if layout.weights == "fp8" and model.stored is None:
        flags.append("--quantization=fp8")
    if load.prefix:
        flags.append("--enable-prefix-caching")
    return tuple(flags)


def _notes(model: Architecture, layout: Layout, gpu: Gpu, serving: Serving) -> Iterator[str]:
    if model.stored not in {None, layout.weights}:
        yield (
            f"the weights of this checkpoint are quantised, and planned as {layout.weights}: "
            f"--weights {model.stored} plans them as they are"
        )
    if layout.weights in {"int8", "int4"}:
        yield (
            f"{layout.weights} weights need a checkpoint in that precision (AWQ, GPTQ, "
            "compressed-tensors); vLLM reads the method from it"
        )
    if layout.weights == "fp8" and "fp8" not in gpu.eight_bit:
        yield f"{gpu.name} has no fp8 tensor cores: fp8 saves memory, not operations"
    if layout.data > 1 and layout.gpus > serving.node_gpus:
        yield f"start {layout.data} servers behind one address: they need more than one machine"
    if layout.pipeline > 1 or layout.tensor > 1:
        yield "the bounds leave out the traffic between GPUs"
    if serving.price is None:
        yield "give the price of a GPU-hour for costs in money"
