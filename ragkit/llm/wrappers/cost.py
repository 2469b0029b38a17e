"""The cost of calls: tokens and money per model."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from ragkit.core.errors import ConfigError
from ragkit.core.protocols import LLM
from ragkit.core.types import Delta, Reply, Usage
from ragkit.llm.call import Call, LLMWrapper

_MILLION = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """The price of a million tokens, in any currency; `cached` are prompt tokens from the cache."""

    prompt: float
    completion: float
    cached: float | None = None

    def of(self, usage: Usage) -> float:
        """Return the cost of a usage."""
        cached = self.prompt if self.cached is None else self.cached
        fresh = usage.prompt - usage.cached
        parts = (self.prompt * fresh, cached * usage.cached, self.completion * usage.completion)
        return sum(parts) / _MILLION


def total_usage(usages: Sequence[Usage]) -> Usage:
    """Add usages up; the sum is estimated where one of them is."""
    return Usage(
        prompt=sum(usage.prompt for usage in usages),
        cached=sum(usage.cached for usage in usages),
        completion=sum(usage.completion for usage in usages),
        estimated=any(usage.estimated for usage in usages),
    )


def charged(replies: Sequence[Reply]) -> Reply:
    """Return the last reply, with the usage, the time and the number of calls of all of them."""
    last = replies[-1]
    return replace(
        last,
        usage=total_usage([reply.usage for reply in replies]),
        timings=replace(last.timings, total_s=sum(reply.timings.total_s for reply in replies)),
        calls=sum(reply.calls for reply in replies),
    )


FREE = Price(prompt=0.0, completion=0.0)


@dataclass(slots=True)
class Account:
    """The calls of one model, added up.

    Attributes:
        calls: Number of calls with a reply.
        usage: Their tokens.
        cost: Their price.
    """

    calls: int = 0
    usage: Usage = field(default_factory=Usage)
    cost: float = 0.0

    def add(self, usage: Usage, price: Price) -> None:
        """Add a call."""
        self.calls += 1
        self.cost += price.of(usage)
        self.usage = total_usage([self.usage, usage])


class Metered(LLMWrapper):
    """Adds up the tokens and the cost of every call, per model.

    Attributes:
        accounts: The account of each model, by its name.
    """

    def __init__(self, llm: LLM, prices: Mapping[str, Price] | Price = FREE) -> None:
        """Wrap; `prices` are per model, or one for all."""
        super().__init__(llm)
        self._prices = prices
        self.accounts: dict[str, Account] = {}

    @property
    def cost(self) -> float:
        """The cost of all models together."""
        return sum(account.cost for account in self.accounts.values())

    def price(self, model: str) -> Price:
        """Return a model's price.

        Raises:
            ConfigError: The model has no price.
        """
        if isinstance(self._prices, Price):
            return self._prices
        if model not in self._prices:
            known = ", ".join(map(repr, self._prices)) or "none"
            raise ConfigError(
                f"The model {model!r} has no price; {known} have. Fix: add it to `prices`."
            )
        return self._prices[model]

    async def respond(self, call: Call) -> AsyncGenerator[Delta]:
        """Make the call and enter its usage into the model's account.

        Raises:
            ConfigError: The model has no price.
        """
        async with aclosing(call.stream(self.inner)) as deltas:
            async for delta in deltas:
                if delta.reply is not None:
                    model = delta.reply.model or self.model
                    account = self.accounts.setdefault(model, Account())
                    account.add(delta.reply.usage, self.price(model))
                yield delta
