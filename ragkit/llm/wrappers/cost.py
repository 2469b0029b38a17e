"""What calls cost: tokens and money per model."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Unpack

from ragkit.core.errors import ConfigError
from ragkit.core.protocols import LLM, CallOptions, ReplyGrammar
from ragkit.core.types import Conversation, Delta, Usage
from ragkit.llm.calls import Wrapper

_MILLION = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """Of a million tokens, in any currency; `cached` are prompt tokens from the prefix cache."""

    prompt: float
    completion: float
    cached: float | None = None

    def of(self, usage: Usage) -> float:
        """What this usage costs."""
        cached = self.prompt if self.cached is None else self.cached
        fresh = usage.prompt - usage.cached
        parts = (self.prompt * fresh, cached * usage.cached, self.completion * usage.completion)
        return sum(parts) / _MILLION


def total_usage(usages: Sequence[Usage]) -> Usage:
    """The sum."""
    return Usage(
        prompt=sum(usage.prompt for usage in usages),
        cached=sum(usage.cached for usage in usages),
        completion=sum(usage.completion for usage in usages),
    )


FREE = Price(prompt=0.0, completion=0.0)


@dataclass(slots=True)
class Account:
    """What was used in all.

    Attributes:
        calls: Number of calls with a reply.
        usage: Their tokens.
        cost: Their price.
    """

    calls: int = 0
    usage: Usage = field(default_factory=Usage)
    cost: float = 0.0

    def add(self, usage: Usage, price: Price) -> None:
        """Enter a call."""
        self.calls += 1
        self.cost += price.of(usage)
        self.usage = total_usage([self.usage, usage])


class Metered(Wrapper):
    """Keeps account of every call, per model.

    Attributes:
        accounts: What each model used.
    """

    def __init__(self, llm: LLM, prices: Mapping[str, Price] | Price = FREE) -> None:
        """Wrap; `prices` are per model, or one for all."""
        super().__init__(llm)
        self._prices = prices
        self.accounts: dict[str, Account] = {}

    @property
    def cost(self) -> float:
        """Of all models together."""
        return sum(account.cost for account in self.accounts.values())

    def price(self, model: str) -> Price:
        """A model's price.

        Raises:
            ConfigError: It has none.
        """
        if isinstance(self._prices, Price):
            return self._prices
        if model not in self._prices:
            known = ", ".join(map(repr, self._prices)) or "none"
            raise ConfigError(f"There is no price for {model!r}; prices are known of {known}.")
        return self._prices[model]

    async def stream(
        self,
        messages: Conversation,
        *,
        grammar: ReplyGrammar[object] | None = None,
        **options: Unpack[CallOptions],
    ) -> AsyncGenerator[Delta]:
        """See `LLM.stream`.

        Raises:
            ConfigError: The model has no price.
        """
        async with aclosing(self.inner.stream(messages, grammar=grammar, **options)) as deltas:
            async for delta in deltas:
                if delta.reply is not None:
                    model = delta.reply.model or self.model
                    account = self.accounts.setdefault(model, Account())
                    account.add(delta.reply.usage, self.price(model))
                yield delta
