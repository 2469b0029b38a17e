import math

import pytest

from ragkit.core.errors import InputError
from ragkit.planning.load import Load, Serving

BAD = [0, -1, math.nan, math.inf, 1e-300, 1e300, 10**400]


@pytest.mark.parametrize("name", ["rate", "prompt", "output", "ttft_s", "tpot_s"])
@pytest.mark.parametrize("value", BAD)
def test_a_load_that_is_not_positive_is_an_error(name: str, value: float) -> None:
    given = {"rate": 1.0, "prompt": 10, "output": 10, name: value}
    with pytest.raises(InputError, match=rf"{name} is {value}.*Fix: ".replace("+", r"\+")):
        Load(**given)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("share", [-0.1, 1, math.nan])
def test_a_shared_prefix_leaves_something_of_the_prompt(share: float) -> None:
    with pytest.raises(InputError, match=r"shared_prefix is .*Fix: "):
        Load(rate=1, prompt=10, output=10, shared_prefix=share)


@pytest.mark.parametrize("name", ["utilisation", "efficiency", "max_gpus", "node_gpus", "price"])
@pytest.mark.parametrize("value", BAD)
def test_a_way_of_serving_is_checked(name: str, value: float) -> None:
    with pytest.raises(InputError, match=rf"{name} is .*Fix: "):
        Serving(**{name: value})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("name", ["margin", "reserve"])
def test_a_margin_may_be_zero_but_not_less(name: str) -> None:
    Serving(**{name: 0})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match=rf"{name} is -1.*Fix: "):
        Serving(**{name: -1})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
