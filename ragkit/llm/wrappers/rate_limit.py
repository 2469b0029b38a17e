"""`RateLimit`: token buckets per key, in requests and in tokens."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from time import monotonic

from ragkit.core.errors import CallRefused
from ragkit.core.protocols import LLM
from ragkit.core.types import Delta
from ragkit.llm.call import Call, Deadline, LLMWrapper
from ragkit.llm.messages import estimated_tokens

_MINUTE = 60.0
_FEW_KEYS = 1024
_BYTES_PER_TOKEN = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """The requests and tokens that a key may use in a minute, or all at once."""

    requests: float = float("inf")
    tokens: float = float("inf")


@dataclass(slots=True)
class TokenBucket:
    """A token bucket (ITU-T I.371) of a minute's worth; settling a call may overdraw it."""

    size: float
    level: float = field(init=False)
    filled: float = field(init=False)

    def __post_init__(self) -> None:
        self.level, self.filled = self.size, monotonic()

    def wait_for(self, amount: float) -> float:
        """Return the seconds until the bucket holds the amount."""
        if self.size == float("inf"):
            return 0.0
        self._fill()
        return max(0.0, (amount - self.level) * _MINUTE / self.size)

    @property
    def full(self) -> bool:
        """True where the bucket is like a new one."""
        return self.size == float("inf") or self.wait_for(self.size) == 0

    def _fill(self) -> None:
        now = monotonic()
        self.level = min(self.size, self.level + (now - self.filled) * self.size / _MINUTE)
        self.filled = now

    def take(self, amount: float) -> None:
        """Remove the amount, or put it back where it is negative."""
        self.level = min(self.size, self.level - amount)


@dataclass(slots=True, kw_only=True)
class KeyBuckets:
    """The buckets of one key.

    Attributes:
        requests: The bucket of requests.
        tokens: The bucket of tokens.
        calls: Calls in flight, which settle their tokens when they end.
    """

    requests: TokenBucket
    tokens: TokenBucket
    calls: int = 0

    @property
    def idle(self) -> bool:
        """True where new buckets would allow the same."""
        return self.calls == 0 and self.requests.full and self.tokens.full


class RateLimits:
    """The buckets of many keys, such as tenants or users; share one between their `RateLimit`s."""

    def __init__(self, rates: Rates) -> None:
        """Give every key these rates."""
        self.rates = rates
        self._buckets: dict[str, KeyBuckets] = {}
        self._sweep_at = _FEW_KEYS

    def of(self, key: str) -> "KeyBuckets":
        """Return the buckets of a key."""
        if key not in self._buckets:
            if len(self._buckets) >= self._sweep_at:
                self._sweep()
            self._buckets[key] = KeyBuckets(
                requests=TokenBucket(self.rates.requests), tokens=TokenBucket(self.rates.tokens)
            )
        return self._buckets[key]

    def __len__(self) -> int:
        """Return the number of keys with buckets."""
        return len(self._buckets)

    def _sweep(self) -> None:
        """Drop the buckets that are like new ones; as many keys again may come until the next."""
        self._buckets = {key: one for key, one in self._buckets.items() if not one.idle}
        self._sweep_at = max(_FEW_KEYS, 2 * len(self._buckets))


class RateLimit(LLMWrapper):
    """Keeps one key within its rates, waiting up to `wait_s` and refusing what would wait longer.

    Before a call, the estimated prompt and `max_tokens` are reserved; after it, the unused part is
    put back. A call that fails or is cancelled is charged for its prompt and for the text that had
    come. `timeout_s` limits the wait and the call together.
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
            CallRefused: The key has used up its rates.
            ProviderError: The wait was longer than the call's `timeout_s`.
        """
        prompt = estimated_tokens(call.messages)
        reserved = prompt + self._reply_tokens(call)
        deadline, buckets = call.deadline(), self._limits.of(self._key)
        buckets.calls += 1
        used = reserved
        try:
            await self._reserve(buckets, reserved, deadline)
            used = prompt
            async with aclosing(call.within(deadline).stream(self.inner)) as deltas:
                async for delta in deltas:
                    used += prompt if delta.restart else 0
                    used += -(-len((delta.text + delta.reasoning).encode()) // _BYTES_PER_TOKEN)
                    if delta.reply is not None:
                        used = delta.reply.usage.prompt + delta.reply.usage.completion
                    yield delta
        finally:
            buckets.calls -= 1
            buckets.tokens.take(used - reserved)

    def _reply_tokens(self, call: Call) -> int:
        most = call.options.get("max_tokens") or self._assumed
        if call.grammar is not None:
            most = min(call.grammar.max_tokens, most)
        return most * call.options.get("n", 1)

    async def _reserve(self, buckets: KeyBuckets, tokens: int, deadline: Deadline) -> None:
        requests, bucket = buckets.requests, buckets.tokens
        if tokens > bucket.size:
            raise self._refused(f"{tokens} tokens are more than a minute's worth", None)
        ends = monotonic() + self._wait
        while (wait := max(requests.wait_for(1), bucket.wait_for(tokens))) > 0:
            if monotonic() + wait > ends:
                raise self._refused(f"the next turn is in {wait:.1f} s", wait)
            await asyncio.sleep(min(wait, deadline.left()))
        requests.take(1)
        bucket.take(tokens)

    def _refused(self, reason: str, wait: float | None) -> CallRefused:
        rates = self._limits.rates
        return CallRefused(
            f"The rate limit of {self._key or 'this key'!r} ({rates.requests:g} requests and "
            f"{rates.tokens:g} tokens a minute) is reached: {reason}.",
            provider="rate-limit",
            retryable=wait is not None,
            retry_after_s=wait,
        )
