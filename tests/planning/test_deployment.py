import re
from dataclasses import replace
from pathlib import Path

import pytest

from ragkit.core.errors import InputError
from ragkit.planning.architecture import read_architecture
from ragkit.planning.deployment import ServingPlan, plan_serving
from ragkit.planning.gpu import GPUS, find_gpu
from ragkit.planning.load import Load, Serving
from ragkit.planning.model_family import FAMILIES
from ragkit.planning.model_table import MODELS

ROOT = Path(__file__).parents[2]
VLLM_ARGUMENTS = "lib/python*/site-packages/vllm/engine/arg_utils.py"
LOAD = Load(rate=4, prompt=2000, output=300)


def planned(
    name: str = "llama-3.1-8b", gpu: str = "H100", load: Load = LOAD, serving: Serving | None = None
) -> ServingPlan:
    return plan_serving(read_architecture(name), find_gpu(gpu), load, serving)


def test_the_gpus_carry_the_load_with_the_margin() -> None:
    for rate in (1.0, 10.0, 100.0):
        found = planned(load=replace(LOAD, rate=rate))
        layout = found.layout
        assert layout.gpus == layout.data * layout.tensor * layout.pipeline
        assert layout.capacity * layout.data >= 1.3 * rate
        assert layout.capacity * (layout.data - 1) < 1.3 * rate
        assert found.expected.rate * layout.data >= rate
        assert found.expected.concurrency <= layout.concurrency <= layout.max_sequences


def test_a_large_model_is_divided_within_a_machine_then_across() -> None:
    dense = planned("llama-3-70b").layout
    slow = replace(LOAD, rate=0.1)
    assert (dense.tensor, dense.pipeline) == (4, 1)
    large = planned("deepseek-v3", load=slow, serving=Serving(max_gpus=32)).layout
    assert (large.tensor, large.pipeline) == (8, 3)
    small = Serving(max_gpus=32, node_gpus=4)
    small_machines = planned("deepseek-v3", load=slow, serving=small).layout
    assert (small_machines.tensor, small_machines.pipeline) == (4, 5)


def test_heads_are_divided_evenly() -> None:
    assert read_architecture("qwen2.5-7b").heads == 28
    assert planned("qwen2.5-7b", load=replace(LOAD, tpot_s=0.003)).layout.tensor == 4
    with pytest.raises(InputError, match="at best"):  # eight GPUs would do, but do not divide 28
        planned("qwen2.5-7b", load=replace(LOAD, tpot_s=0.0015))


def test_objectives_ask_for_more_gpus() -> None:
    loose = planned("llama-3-70b", "H200", replace(LOAD, tpot_s=0.2))
    strict = planned("llama-3-70b", "H200", replace(LOAD, tpot_s=0.025))
    assert strict.layout.gpus > loose.layout.gpus
    assert strict.expected.tpot_s <= 0.025


def test_lower_precisions_are_shown_beside() -> None:
    load = replace(LOAD, rate=1)
    found = planned("llama-3-70b", load=load)
    by_precision = {(one.weights, one.cache): one for one in found.alternatives}
    assert len(by_precision) == 7
    assert ("bf16", "bf16") not in by_precision
    assert by_precision["fp8", "bf16"].gpus < found.layout.gpus
    assert by_precision["bf16", "fp8"].max_sequences >= 2 * found.layout.max_sequences
    again = planned("llama-3-70b", load=load, serving=Serving(weights="fp8"))
    assert again.layout == by_precision["fp8", "bf16"]


def test_costs_are_gpu_hours_of_the_load() -> None:
    found = planned(load=replace(LOAD, rate=20), serving=Serving(price=3.0))
    hours = found.layout.gpus / (20 * 3600)
    assert found.cost.per_hour == pytest.approx(3.0 * found.layout.gpus)
    assert found.cost.per_million_tokens == pytest.approx(3.0 * hours / 2300 * 1e6)
    assert found.cost.per_million_output_tokens == pytest.approx(3.0 * hours / 300 * 1e6)
    free = planned(load=replace(LOAD, rate=20)).cost
    assert free.per_million_tokens is None
    assert free.gpu_hours_per_million_tokens == found.cost.gpu_hours_per_million_tokens


def test_a_model_that_does_not_fit_says_what_would() -> None:
    with pytest.raises(InputError, match=r"needs 1249\.9 GiB for bf16 weights") as caught:
        planned("deepseek-v3", "H100")
    message = str(caught.value)
    count = re.search(r"--max-gpus (\d+)", message)
    assert count is not None
    assert planned("deepseek-v3", serving=Serving(max_gpus=int(count[1]))).layout.pipeline == 3
    assert re.findall(r"--weights (\w+)", message) == ["int4"]
    assert planned("deepseek-v3", serving=Serving(weights="int4"))
    with pytest.raises(InputError):
        planned("deepseek-v3", serving=Serving(weights="fp8"))
    assert re.findall(r"--gpu ([\w-]+)", message) == ["B200"]
    assert planned("deepseek-v3", "B200")
    assert "shorter" not in message


def test_a_context_that_does_not_fit_says_so() -> None:
    load = Load(rate=1, prompt=130_000, output=1000)
    with pytest.raises(InputError, match="a shorter prompt or output"):
        planned("llama-3.1-8b", "RTX-4090", load, Serving(max_gpus=1))


def test_a_reserve_beyond_the_memory_is_no_crash() -> None:
    with pytest.raises(InputError, match=r"has 0.0 GiB for both"):
        planned(serving=Serving(reserve=10**12))


def test_objectives_out_of_reach_say_what_is_possible() -> None:
    with pytest.raises(InputError, match=r"tpot_s = 0.0001.*at best. Fix: "):
        planned(load=replace(LOAD, tpot_s=0.0001))


def test_a_request_beyond_the_context_is_an_error() -> None:
    with pytest.raises(InputError, match=r"9000 tokens.*context of 8192. Fix: "):
        planned("llama-3-8b", load=Load(rate=1, prompt=8000, output=1000))


@pytest.mark.parametrize(
    ("name", "gpu"),
    [*((name, "B200") for name in MODELS), *(("llama-3.2-3b", gpu) for gpu in GPUS)],
)
def test_every_model_and_gpu_is_planned(name: str, gpu: str) -> None:
    load = Load(rate=1, prompt=500, output=100)
    found = planned(name, gpu, load)
    layout = found.layout
    room = layout.tensor * layout.pipeline * find_gpu(gpu).memory
    assert layout.cache_space + found.model.weight_bytes["bf16"] < room
    assert layout.cache_space >= found.model.sequence_bytes["bf16"]
    assert found.expected.tpot_s > found.decode.seconds


def test_the_page_names_every_model_gpu_and_kind() -> None:
    page = (ROOT / "docs" / "planning.md").read_text(encoding="utf-8")
    for name in (*MODELS, *GPUS, *FAMILIES):
        assert f"`{name}`" in page, name
    for gpu in GPUS.values():
        row = next(line for line in page.splitlines() if line.startswith(f"| `{gpu.name}` |"))
        assert f"{gpu.memory // 2**20:,} MiB | {gpu.bandwidth / 1e9:,.0f} GB/s" in row
        assert f"| {gpu.bf16 / 1e12:,.6g} T |" in row
        assert gpu.source in row


def test_the_flags_of_vllm_exist() -> None:
    source = next((ROOT / ".venv-vllm").glob(VLLM_ARGUMENTS), None)
    if source is None:
        pytest.skip("vLLM is not installed here: make .venv-vllm")
    known = source.read_text()
    plans = [
        planned("llama-3-70b", load=replace(LOAD, shared_prefix=0.5, rate=20)),
        planned("llama-3.1-8b", load=replace(LOAD, rate=30)),
        planned("deepseek-v3", serving=Serving(weights="fp8", cache="fp8", max_gpus=16)),
    ]
    flags = {flag.partition("=")[0] for one in plans for flag in one.flags}
    assert len(flags) == 10
    for flag in flags:
        assert f'"{flag}"' in known, flag
