from dataclasses import replace

import pytest

from ragkit.core.errors import InputError
from ragkit.planning.architecture import read_architecture
from ragkit.planning.curves import context_curve, cost_curve
from ragkit.planning.deployment import plan_serving
from ragkit.planning.gpu import find_gpu
from ragkit.planning.load import Load, Serving

MODEL, GPU = read_architecture("llama-3.1-8b"), find_gpu("H100")
LOAD, SERVING = Load(rate=2, prompt=2000, output=300), Serving(price=2.0)


def test_longer_contexts_leave_room_for_fewer_sequences_and_fp8_for_twice_as_many() -> None:
    layout = plan_serving(MODEL, GPU, LOAD, SERVING).layout
    points = context_curve(MODEL, GPU, layout, SERVING)
    full = {one.context: one.sequences for one in points if one.cache == "bf16"}
    half = {one.context: one.sequences for one in points if one.cache == "fp8"}
    assert list(full) == [1024 * 2**power for power in range(8)]
    assert list(full)[-1] == MODEL.context
    assert sorted(full.values(), reverse=True) == list(full.values())
    assert all(abs(half[context] - 2 * full[context]) <= 2 * layout.data for context in full)


def test_the_curve_passes_through_the_plan() -> None:
    load = Load(rate=2, prompt=1848, output=200)
    layout = plan_serving(MODEL, GPU, load, SERVING).layout
    at = {
        (one.cache, one.context): one.sequences
        for one in context_curve(MODEL, GPU, layout, SERVING)
    }
    assert at["bf16", 2048] == layout.max_sequences * layout.data


def test_a_context_that_is_short_is_the_only_one() -> None:
    tiny = replace(MODEL, context=512)
    layout = plan_serving(MODEL, GPU, LOAD, SERVING).layout
    assert {one.context for one in context_curve(tiny, GPU, layout, SERVING)} == {512}


def test_the_cost_of_a_token_falls_with_the_load_and_its_middle_is_the_plan() -> None:
    points = cost_curve(MODEL, GPU, LOAD, SERVING)
    assert [one.rate for one in points] == [2 * 2.0**power for power in range(-5, 6)]
    assert points[0].gpu_hours_per_million_tokens > points[-1].gpu_hours_per_million_tokens
    cost = plan_serving(MODEL, GPU, LOAD, SERVING).cost
    assert points[5].per_million_tokens == cost.per_million_tokens
    free = cost_curve(MODEL, GPU, LOAD, replace(SERVING, price=None))
    assert {one.per_million_tokens for one in free} == {None}


def test_rates_at_the_edge_of_what_can_be_planned_are_left_out() -> None:
    points = cost_curve(MODEL, GPU, replace(LOAD, rate=2e-9), SERVING)
    assert points[0].rate == 1e-9
    assert len(points) == 7


def test_a_model_that_does_not_fit_is_an_error() -> None:
    with pytest.raises(InputError, match="needs"):
        cost_curve(read_architecture("llama-3.1-405b"), find_gpu("L4"), LOAD, SERVING)
