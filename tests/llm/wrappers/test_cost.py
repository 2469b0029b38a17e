import pytest

from ragkit.core.errors import ConfigError
from ragkit.core.types import Usage
from ragkit.llm import (
    Metered,
    Price,
)
from ragkit.llm.wrappers.cost import total_usage
from ragkit.testing import ScriptedLLM


async def test_costs_are_kept_per_model() -> None:
    llm = Metered(ScriptedLLM(lambda _: "123"), {"scripted": Price(prompt=2e6, completion=1e6)})
    for _ in range(3):
        await llm.complete("xx")
    account = llm.accounts["scripted"]
    assert (account.calls, account.usage) == (3, Usage(prompt=6, completion=12))
    assert llm.cost == pytest.approx(3 * (2 * 2 + 4))
    assert Price(prompt=1e6, completion=0, cached=0).of(Usage(prompt=3, cached=2)) == 1


async def test_a_model_without_a_price_is_named() -> None:
    with pytest.raises(ConfigError, match="'scripted'"):
        await Metered(ScriptedLLM(["x"]), {}).complete("x")


def test_a_sum_with_an_estimate_is_estimated() -> None:
    counted, guessed = Usage(prompt=3, completion=2), Usage(prompt=4, estimated=True)
    assert total_usage([counted, guessed]) == Usage(prompt=7, completion=2, estimated=True)
    assert not total_usage([counted, counted]).estimated
