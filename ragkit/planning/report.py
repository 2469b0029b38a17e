"""A plan in words and units, for tables of the command line and the application."""

from collections.abc import Iterable, Iterator

from ragkit.planning.deployment import Layout, ServingPlan
from ragkit.planning.roofline import Bound

LAYOUT_COLUMNS = ("weights", "KV cache", "GPUs", "d x t x p", "sequences", "requests/s")


def serving_facts(found: ServingPlan) -> Iterator[tuple[str, str]]:
    """Yield the facts of a plan, each with its name."""
    sizes, layout, expected = found.model, found.layout, found.expected
    active = (
        f", {sizes.active_parameters / 1e9:.2f} active"
        if sizes.active_parameters < sizes.parameters
        else ""
    )
    yield "parameters", f"{sizes.parameters / 1e9:.2f} billion{active}"
    yield "weights", _by_precision(sizes.weight_bytes.items())
    yield "KV cache of a token", _by_precision(sizes.token_bytes.items())
    yield "KV cache of a sequence", _by_precision(sizes.sequence_bytes.items())
    yield (
        "GPUs",
        f"{layout.gpus}: data {layout.data} x tensor {layout.tensor} x pipeline {layout.pipeline}",
    )
    yield "bound of prefill", _bound_text(found.prefill)
    yield "bound of decoding, 1 sequence", _bound_text(found.decode_one)
    if expected.concurrency > 1:
        yield f"bound of decoding, {expected.concurrency} sequences", _bound_text(found.decode)
    yield "expected time to first token", f"{expected.ttft_s:.3g} s"
    yield "expected time per token", f"{expected.tpot_s * 1000:.3g} ms"
    yield from _cost_facts(found)


def layout_row(one: Layout) -> tuple[str, ...]:
    """Return a layout as the cells of `LAYOUT_COLUMNS`."""
    return (
        one.weights,
        one.cache,
        str(one.gpus),
        f"{one.data} x {one.tensor} x {one.pipeline}",
        str(one.max_sequences * one.data),
        f"{one.capacity * one.data:.3g}",
    )


def size_text(count: int) -> str:
    """Return bytes in a unit of 1024."""
    value, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if value < 1024:
            break
        value, unit = value / 1024, larger
    return f"{value:.4g} {unit}"


def _cost_facts(found: ServingPlan) -> Iterator[tuple[str, str]]:
    cost = found.cost
    yield (
        "GPU-hours per million tokens",
        f"{cost.gpu_hours_per_million_tokens:.3g} "
        f"({cost.gpu_hours_per_million_output_tokens:.3g} by output tokens)",
    )
    if cost.per_million_tokens is not None:
        yield (
            "price per million tokens",
            f"{cost.per_million_tokens:.3g} ({cost.per_million_output_tokens:.3g} by output "
            f"tokens); {cost.per_hour:.2f} per hour",
        )


def _by_precision(sizes: Iterable[tuple[str, int]]) -> str:
    return ", ".join(f"{name} {size_text(size)}" for name, size in sizes)


def _bound_text(bound: Bound) -> str:
    return f"{bound.seconds * 1000:.3g} ms ({bound.limit})"
