import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.agents import Budget
from ragkit.agents.budget import (
    Amount,
    Grant,
    amount_of,
    described,
    grant,
    held_for_answer,
    left_of,
    minus,
    nothing_spent,
    part,
    settled,
    share,
)
from ragkit.core.errors import InputError
from ragkit.core.types import Usage


def price(usage: Usage) -> float:
    return usage.prompt * 1e-6 + usage.completion * 3e-6


@pytest.mark.parametrize("name", ["steps", "tokens", "seconds", "cost"])
def test_a_budget_under_which_nothing_can_be_done_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=f"budget's {name} must be above 0, got 0"):
        Budget(**{name: 0})


def test_no_limit_is_infinite() -> None:
    budget = Budget(steps=None, tokens=None, seconds=None)
    assert amount_of(budget) == Amount()
    assert described(amount_of(budget)) == "Left: no limit."


def test_the_model_is_told_what_is_left_of_what_is_limited() -> None:
    left = Amount(steps=1, tokens=1200.0, cost=0.25)
    assert described(left) == "Left: 1 step, 1200 tokens, cost 0.25."


amounts = st.builds(
    Amount,
    steps=st.integers(0, 3),
    tokens=st.integers(0, 3000),
    seconds=st.sampled_from([0.0, 1.0, math.inf]),
    cost=st.sampled_from([0.0, 0.001, 0.01, math.inf]),
)


@given(left=amounts, prompt=st.integers(0, 2000), reply=st.integers(1, 4000))
def test_a_granted_call_never_passes_a_limit(left: Amount, prompt: int, reply: int) -> None:
    given = grant(left, prompt=prompt, reply=reply, price=price)
    if not isinstance(given, Grant):
        assert getattr(left, given) < math.inf
        return
    worst = Usage(prompt=prompt, completion=given.max_tokens)
    assert 1 <= given.max_tokens <= reply
    assert left.steps >= 1
    assert worst.prompt + worst.completion <= left.tokens
    assert price(worst) <= left.cost * (1 + 1e-9)
    assert given.timeout_s is None or given.timeout_s <= left.seconds


@given(prompt=st.integers(0, 5000), reply=st.integers(1, 5000), tokens=st.integers(1, 9000))
def test_what_is_held_for_the_answer_is_at_most_half_of_the_budget(
    prompt: int, reply: int, tokens: int
) -> None:
    held = held_for_answer(Amount(tokens=tokens), prompt=prompt, reply=reply, price=None)
    assert held.tokens <= tokens / 2
    assert minus(Amount(tokens=tokens), held).tokens + held.tokens == tokens


def test_a_prompt_that_was_underestimated_raises_the_next_estimate() -> None:
    spent = settled(
        nothing_spent(), Usage(prompt=30, completion=2), estimated=10, seconds=1.5, price=price
    )
    assert spent["scale"] == 3
    assert spent["seconds"] == 1.5
    assert left_of(Amount(steps=4, tokens=100), spent) == Amount(steps=3, tokens=68)


def test_shares_together_are_no_more_than_the_whole() -> None:
    part = share(Amount(steps=7, tokens=100, seconds=9, cost=1.0), 3)
    assert part.steps * 3 <= 7
    assert part.tokens * 3 == pytest.approx(100)
    assert part.seconds == 9


@pytest.mark.parametrize("value", [math.inf, math.nan, -1])
def test_no_limit_is_written_as_none(value: float) -> None:
    with pytest.raises(InputError, match="pass a number, or None for no limit"):
        Budget(tokens=value)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def test_a_part_of_no_limit_is_no_limit_and_steps_are_whole() -> None:
    assert part(Amount(), 0.5) == Amount()
    assert part(Amount(steps=5, tokens=10), 0.5) == Amount(steps=2, tokens=5)
