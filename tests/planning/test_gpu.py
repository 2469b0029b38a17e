import pytest

from ragkit.core.errors import InputError
from ragkit.planning.gpu import GPUS, find_gpu


def test_a_gpu_is_found_in_any_spelling() -> None:
    assert find_gpu("a100 80gb") is find_gpu("A100_80GB") is GPUS["A100-80GB"]


@pytest.mark.parametrize("name", ["", "H101", "A100"])
def test_a_gpu_that_is_not_known_lists_the_known(name: str) -> None:
    with pytest.raises(InputError, match=r"Fix: one of B200, H200, H100, .*RTX-4090"):
        find_gpu(name)


def test_weights_that_the_tensor_cores_do_not_take_run_in_bf16() -> None:
    ampere, hopper = find_gpu("A100-80GB"), find_gpu("H100")
    assert ampere.rate("fp8") == ampere.rate("int4") == ampere.rate("bf16") == 312e12
    assert hopper.rate("fp8") == 2 * hopper.rate("bf16") == 2 * hopper.rate("int4")
