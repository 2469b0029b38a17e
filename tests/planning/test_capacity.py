from dataclasses import replace
from itertools import pairwise

import pytest

from ragkit.planning.architecture import read_architecture
from ragkit.planning.capacity import ServedReplica
from ragkit.planning.gpu import find_gpu
from ragkit.planning.load import Load, Serving
from ragkit.planning.memory import sequence_bytes
from ragkit.planning.roofline import Replica

LOAD = Load(rate=1, prompt=2000, output=300)


def served(load: Load = LOAD, name: str = "llama-3.1-8b", tensor: int = 1) -> ServedReplica:
    replica = Replica(
        model=read_architecture(name),
        gpu=find_gpu("H100"),
        weights="bf16",
        cache="bf16",
        tensor=tensor,
    )
    return ServedReplica(replica=replica, load=load, serving=Serving())


def test_sequences_fill_the_memory_that_weights_leave() -> None:
    one = served()
    free = 81559 * 2**20 * 0.9 - 2 * 2**30 - 2 * 8_030_261_248
    assert one.max_sequences == free // (2300 * 131072)


def test_a_shared_prefix_is_kept_once() -> None:
    one = served(replace(LOAD, shared_prefix=0.75))
    assert one.prefix_bytes == 1500 * 131072
    assert one.own_bytes == 800 * 131072
    assert one.max_sequences > 2 * served().max_sequences
    assert one.prefill_s < served().prefill_s / 3


def test_a_copied_cache_takes_more_room() -> None:
    one = served(name="qwen2.5-7b", tensor=4)
    assert one.own_bytes == sequence_bytes(one.replica.model, 2300, "bf16")
    four_heads = served(name="qwen2.5-7b", tensor=8)
    assert four_heads.own_bytes == 2 * one.own_bytes


@pytest.mark.parametrize("concurrency", [1, 7, 100])
def test_concurrency_is_rate_times_time(concurrency: int) -> None:
    """Little's law, with the time of the decoding phase."""
    point = served().at(concurrency)
    assert point.rate * point.tpot_s * LOAD.output == pytest.approx(concurrency)
    assert point.rate * served().prefill_s < 1


def test_more_sequences_finish_more_requests_and_each_is_slower() -> None:
    points = [served().at(n) for n in range(1, 190)]
    for one, next_one in pairwise(points):
        assert next_one.rate > one.rate
        assert next_one.tpot_s > one.tpot_s
        assert next_one.ttft_s > one.ttft_s


@pytest.mark.parametrize("objective", [{"tpot_s": 0.02}, {"ttft_s": 0.08}, {}])
def test_the_best_point_is_the_last_that_keeps_the_objectives(objective: dict[str, float]) -> None:
    one = served(Load(rate=1, prompt=2000, output=300, **objective))
    best = one.best()
    assert best is not None
    assert best.meets(one.load)
    if objective:
        assert not one.at(best.concurrency + 1).meets(one.load)
    else:
        assert best.concurrency == one.max_sequences


def test_objectives_that_one_request_breaks_leave_no_point() -> None:
    assert served(replace(LOAD, tpot_s=0.001)).best() is None
    assert served(replace(LOAD, ttft_s=0.001)).best() is None
    assert served(name="llama-3-70b").best() is None


def test_the_point_of_a_rate_is_the_first_that_finishes_it() -> None:
    point = served().for_rate(5)
    assert point.rate >= 5 > served().at(point.concurrency - 1).rate
