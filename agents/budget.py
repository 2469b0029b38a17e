"""Budgets: the limits of a run, the ledger of its usage, and the grant of a single call."""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Literal, TypeAlias, TypedDict

from ragkit.core.errors import InputError
from ragkit.core.types import Usage

Limit: TypeAlias = Literal["steps", "tokens", "seconds", "cost"]
Price: TypeAlias = Callable[[Usage], float]
"""The cost of a usage; linear in its tokens."""

_LEAST_REPLY = 48
_EVIDENCE_HELD = 512
_SECONDS_HELD = 30.0
_SHARE_HELD = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """The limits of a run; None is no limit.

    Attributes:
        steps: Calls of the model, the answering one included.
        tokens: Of prompts and replies together.
        seconds: Of work; waiting for a person does not count.
        cost: In the unit of the agent's `price`.
    """

    steps: int | None = 16
    tokens: int | None = 200_000
    seconds: float | None = 600.0
    cost: float | None = None

    def __post_init__(self) -> None:
        """Refuse limits under which nothing can be done."""
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None and not 0 < value < math.inf:
                raise InputError(
                    f"The budget's {field.name} must be above 0, got {value!r}. "
                    "Fix: pass a number, or None for no limit."
                )


class Spent(TypedDict):
    """The usage of a run so far. `scale` is the factor by which prompts were underestimated."""

    steps: int
    prompt: int
    cached: int
    completion: int
    seconds: float
    cost: float
    scale: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """Steps, tokens, seconds and cost; infinite where there is no limit."""

    steps: float = math.inf
    tokens: float = math.inf
    seconds: float = math.inf
    cost: float = math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """The limits of one call.

    Attributes:
        max_tokens: Of its reply.
        timeout_s: None where seconds are not limited.
        bound_by: The limit that `max_tokens` follows from.
        calls: How often the call may be made, with a reply of `max_tokens` each.
    """

    max_tokens: int
    timeout_s: float | None
    bound_by: Limit = "tokens"
    calls: int = 1


def nothing_spent() -> Spent:
    """Return the ledger of a run that has not begun."""
    return {
        "steps": 0, "prompt": 0, "cached": 0, "completion": 0,
        "seconds": 0.0, "cost": 0.0, "scale": 1.0,
    }  # fmt: skip


def amount_of(budget: Budget) -> Amount:
    """Return a budget as an amount."""
    given = {field.name: getattr(budget, field.name) for field in fields(budget)}
    return Amount(**{name: value for name, value in given.items() if value is not None})


def left_of(limits: Amount, spent: Spent) -> Amount:
    """Return the rest of the limits, never below 0."""
    tokens = spent["prompt"] + spent["completion"]
    return Amount(
        steps=max(0, limits.steps - spent["steps"]),
        tokens=max(0, limits.tokens - tokens),
        seconds=max(0.0, limits.seconds - spent["seconds"]),
        cost=max(0.0, limits.cost - spent["cost"]),
    )


def tighter(one: Amount, other: Amount) -> Amount:
    """Return the lower of both amounts in each respect."""
    return Amount(
        **{f.name: min(getattr(one, f.name), getattr(other, f.name)) for f in fields(one)}
    )


def minus(amount: Amount, held: Amount) -> Amount:
    """Return the amount without `held`, never below 0."""
    return Amount(
        **{
            f.name: math.inf
            if math.isinf(getattr(amount, f.name))
            else max(0, getattr(amount, f.name) - getattr(held, f.name))
            for f in fields(amount)
        }
    )


def held_for_answer(limits: Amount, *, prompt: int, reply: int, price: Price | None) -> Amount:
    """Return the amount held back for one last call that answers; at most half of a small budget.

    Args:
        limits: Of the whole run.
        prompt: Tokens of the last call's prompt without evidence.
        reply: Tokens of its reply.
        price: Of tokens.
    """
    usage = Usage(prompt=prompt + _EVIDENCE_HELD, completion=reply)
    return Amount(
        steps=1,
        tokens=min(usage.prompt + usage.completion, limits.tokens / 2),
        seconds=min(_SECONDS_HELD, limits.seconds * _SHARE_HELD),
        cost=min(price(usage), limits.cost / 2) if price else 0.0,
    )


def grant(
    left: Amount, *, prompt: int, reply: int, price: Price | None, least: int = _LEAST_REPLY
) -> Grant | Limit:
    """Return the limits of a call, or the name of the limit that allows none.

    Args:
        left: The rest of the budget.
        prompt: Tokens of the prompt.
        reply: Tokens wanted for the reply; fewer are granted where no more are left.
        price: Of tokens.
        least: Tokens below which a reply is not worth asking for.
    """
    rooms: dict[Limit, float] = {
        "steps": math.inf if left.steps >= 1 else 0,
        "seconds": math.inf if left.seconds > 0 else 0,
        "tokens": left.tokens - prompt,
        "cost": _affordable(left.cost, prompt, price),
    }
    name = min(rooms, key=lambda limit: (rooms[limit], limit != "tokens"))
    if rooms[name] < min(least, reply):
        return name
    timeout = None if math.isinf(left.seconds) else left.seconds
    return Grant(max_tokens=int(min(reply, rooms[name])), timeout_s=timeout, bound_by=name)


def _affordable(cost: float, prompt: int, price: Price | None) -> float:
    """Return the tokens of a reply that the cost pays for beside the prompt."""
    if price is None or math.isinf(cost):
        return math.inf
    each = price(Usage(completion=1000)) / 1000
    rest = cost - price(Usage(prompt=prompt))
    return rest / each if each > 0 else (math.inf if rest >= 0 else 0)


def settled(
    spent: Spent, usage: Usage, *, estimated: int, seconds: float, price: Price | None
) -> Spent:
    """Return the ledger after a call of the model; `estimated` are the tokens of its prompt."""
    scale = max(spent["scale"], usage.prompt / estimated if estimated else 1.0)
    return {
        "steps": spent["steps"] + 1,
        "prompt": spent["prompt"] + usage.prompt,
        "cached": spent["cached"] + usage.cached,
        "completion": spent["completion"] + usage.completion,
        "seconds": spent["seconds"] + seconds,
        "cost": spent["cost"] + (price(usage) if price else 0.0),
        "scale": scale,
    }


def worked(spent: Spent, seconds: float) -> Spent:
    """Return the ledger after `seconds` of work without the model."""
    after = spent.copy()
    after["seconds"] += seconds
    return after


def added(spent: Spent, other: Spent) -> Spent:
    """Return the sum of both ledgers, as of work done one after the other."""
    return {
        "steps": spent["steps"] + other["steps"],
        "prompt": spent["prompt"] + other["prompt"],
        "cached": spent["cached"] + other["cached"],
        "completion": spent["completion"] + other["completion"],
        "seconds": spent["seconds"] + other["seconds"],
        "cost": spent["cost"] + other["cost"],
        "scale": max(spent["scale"], other["scale"]),
    }


def part(amount: Amount, fraction: float) -> Amount:
    """Return a fraction of an amount; steps are whole, and no limit stays no limit."""
    steps = amount.steps if math.isinf(amount.steps) else math.floor(amount.steps * fraction)
    return Amount(
        steps=steps,
        tokens=amount.tokens * fraction,
        seconds=amount.seconds * fraction,
        cost=amount.cost * fraction,
    )


def share(amount: Amount, parts: int) -> Amount:
    """Return the part of each of several that work at the same time; seconds are not divided."""
    steps = amount.steps if math.isinf(amount.steps) else amount.steps // parts
    return replace(amount, steps=steps, tokens=amount.tokens / parts, cost=amount.cost / parts)


def described(left: Amount) -> str:
    """Return the rest of the budget as the prompts show it."""
    words = [
        f"{left.steps:.0f} steps" if left.steps != 1 else "1 step",
        f"{left.tokens:.0f} tokens",
        f"{left.seconds:.0f} seconds",
        f"cost {left.cost:.4g}",
    ]
    amounts = (left.steps, left.tokens, left.seconds, left.cost)
    known = [word for word, value in zip(words, amounts, strict=True) if not math.isinf(value)]
    return f"Left: {', '.join(known)}." if known else "Left: no limit."
