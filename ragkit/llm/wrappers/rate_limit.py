"""`RateLimit`: token buckets per key, in requests and in tokens."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field

from ragkit.core.errors import ProviderError
from ragkit.core.protocols import LLM
from ragkit.core.types import Delta
from ragkit.llm.call import Call, LLMWrapper
from ragkit.llm.messages import estimated_tokens

_MINUTE = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """The requests and tokens that a key may use in a minute, or all at once."""

    requests: float = float("inf")
    tokens: float = float("inf")


@dataclass(slots=True)
class _Bucket:
    """A token bucket (ITU-T I.371) that fills up steadily; settling a call may overdraw it."""

    size: float
    level: float = field(init=False)
    filled: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.level = self.size

    def wait_for(self, amount: float) -> float:
        """Return the seconds until the bucket holds the amount."""
        if self.size == float("inf"):
            return 0.0
        now = time.monotonic()
        self.level = min(self.size, self.level + (now - self.filled) * self.size / _MINUTE)
        self.filled = now
        return max(0.0, (amount - self.level) * _MINUTE / self.size)

    def take(self, amount: float) -> None:
        """Remove the amount, or put it back where it is negative."""
        self.level = min(self.size, self.level - amount)


class RateLimits:
    """The buckets of many keys, such as tenants or users; share one between their `RateLimit`s."""

    def __init__(self, rates: Rates) -> None:
        """Give every key these rates."""
        self.rates = rates
        self._buckets: dict[str, tuple[_Bucket, _Bucket]] = {}

    def of(self, key: str) -> tuple[_Bucket, _Bucket]:
        """Return the buckets of requests and of tokens of a key."""
        if key not in self._buckets:
            self._buckets[key] = (_Bucket(self.rates.requests), _Bucket(self.rates.tokens))
        return self._buckets[key]


class RateLimit(LLMWrapper):
    """Keeps one key within its rates, waiting up to `wait_s` and refusing what would wait longer.

    Before a call, the estimated prompt and `max_tokens` are reserved; after it, the
    unused part is put back. A call that fails is charged for its prompt.
    """

    def __init__(
        self,
        llm: LLM,
        limits: "RateLimits | Rates",
        *,
        key: str = "",
        wait_s: float = 60.0,
        assumed_tokens: int = 1024,
    ) -> None:
        """Wrap.

        Args:
            llm: The model that is called.
            limits: The rates of this key alone, or the buckets shared by many.
            key: The user or tenant that makes the calls.
            wait_s: Seconds that a call may wait for its turn.
            assumed_tokens: Reserved for a reply whose `max_tokens` is not given.
        """
        super().__init__(llm)
        self._limits = limits if isinstance(limits, RateLimits) else RateLimits(limits)
        self._key = key
        self._wait = wait_s
        self._assumed = assumed_tokens

    async def respond(self, call: Call) -> AsyncGenerator[Delta]:
        """Make the call when the key's rates allow it.

        Raises:
            ProviderError: The key has used up its rates (`failure` is `"overloaded"`).
        """
        prompt = estimated_tokens(call.messages)
        reserved = prompt + self._reply_tokens(call)
        await self._reserve(reserved)
        used = prompt
        try:
            async with aclosing(call.stream(self.inner)) as deltas:
                async for delta in deltas:
                    if delta.reply is not None:
                        used = delta.reply.usage.prompt + delta.reply.usage.completion
                    yield delta
        finally:
            self._limits.of(self._key)[1].take(used - reserved)

    def _reply_tokens(self, call: Call) -> int:
        most = call.options.get("max_tokens") or self._assumed
        if call.grammar is not None:
            most = min(call.grammar.max_tokens, most)
        return most * call.options.get("n", 1)

    async def _reserve(self, tokens: int) -> None:
        requests, bucket = self._limits.of(self._key)
        if tokens > bucket.size:
            raise self._refused(f"{tokens} tokens are more than a minute's worth", None)
        ends = time.monotonic() + self._wait
        while (wait := max(requests.wait_for(1), bucket.wait_for(tokens))) > 0:
            if time.monotonic() + wait > ends:
                raise self._refused(f"the next turn is in {wait:.1f} s", wait)
            await asyncio.sleep(wait)
        requests.take(1)
        bucket.take(tokens)

    def _refused(self, reason: str, wait: float | None) -> ProviderError:
        rates = self._limits.rates
        return ProviderError(
            f"The rate limit of {self._key or 'this key'!r} ({rates.requests:g} requests and "
            f"{rates.tokens:g} tokens a minute) is reached: {reason}.",
            provider="rate-limit",
            retryable=wait is not None,
            failure="overloaded",
            retry_after_s=wait,
        )
