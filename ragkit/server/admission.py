"""Which requests are let in: by key, role, rate and the number that run at once."""

import asyncio
import math
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from ragkit.llm.wrappers.rate_limit import TokenBucket
from ragkit.server.errors import ApiError
from ragkit.server.keys import ApiKey, KeyFile, Role


class KeyRates:
    """The buckets of every key that has limits."""

    def __init__(self) -> None:
        """Start with full buckets."""
        self._buckets: dict[tuple[str, str], TokenBucket] = {}

    def reserve(self, key: ApiKey, tokens: int) -> None:
        """Take a request and its estimated tokens.

        Raises:
            ApiError: The key is over a limit (429 with `Retry-After`).
        """
        wanted = self._wanted(key, tokens)
        # What is more than a minute's worth is let through a full bucket, and overdraws it.
        waits = {name: bucket.wait_for(min(amount, bucket.size)) for name, bucket, amount in wanted}
        worst = max(waits, key=lambda name: waits[name], default=None)
        if worst is not None and waits[worst] > 0:
            raise ApiError(
                429,
                f"The key's limit of {worst} a minute is reached.",
                code="rate_limit_exceeded",
                retry_after_s=waits[worst],
            )
        for _, bucket, amount in wanted:
            bucket.take(amount)

    def settle(self, key: ApiKey, *, reserved: int, used: int) -> None:
        """Replace the reserved tokens of a request by those that it used."""
        if key.limits.tokens_per_minute is not None:
            self._bucket(key, "tokens", key.limits.tokens_per_minute).take(used - reserved)

    def _wanted(self, key: ApiKey, tokens: int) -> list[tuple[str, TokenBucket, float]]:
        limits = key.limits
        wanted: list[tuple[str, TokenBucket, float]] = []
        if limits.requests_per_minute is not None:
            bucket = self._bucket(key, "requests", limits.requests_per_minute)
            wanted.append(("requests", bucket, 1))
        if limits.tokens_per_minute is not None:
            bucket = self._bucket(key, "tokens", limits.tokens_per_minute)
            wanted.append(("tokens", bucket, tokens))
        return wanted

    def _bucket(self, key: ApiKey, kind: str, size: int) -> TokenBucket:
        known = self._buckets.get((key.digest, kind))
        if known is None or not math.isclose(known.size, size):
            known = self._buckets[key.digest, kind] = TokenBucket(size)
        return known


class RequestQueue:
    """A bound on requests that run at once, and on those that wait for their turn."""

    def __init__(self, *, running: int, waiting: int, wait_s: float) -> None:
        """Let `running` run, `waiting` wait for at most `wait_s` seconds, and refuse others."""
        self._slots = asyncio.Semaphore(running)
        self._most_waiting = waiting
        self._wait_s = wait_s
        self.waiting = 0
        self.running = 0

    @asynccontextmanager
    async def turn(self) -> AsyncGenerator[None]:
        """Wait for a turn and hold it.

        Raises:
            ApiError: The queue is full or the wait too long (429 with `Retry-After`).
        """
        if self._slots.locked() and self.waiting >= self._most_waiting:
            raise _busy(self._wait_s)
        self.waiting += 1
        try:
            await asyncio.wait_for(self._slots.acquire(), self._wait_s)
        except TimeoutError as error:
            raise _busy(self._wait_s) from error
        finally:
            self.waiting -= 1
        self.running += 1
        try:
            yield
        finally:
            self.running -= 1
            self._slots.release()


def _busy(wait_s: float) -> ApiError:
    return ApiError(429, "The server is busy.", code="server_busy", retry_after_s=wait_s)


class Gate:
    """Reads the key of a request. Without a key file, everybody is the local administrator."""

    def __init__(
        self, *, keys: KeyFile | None, local: ApiKey, open_until_first_key: bool = False
    ) -> None:
        """Let clients in by these keys.

        Args:
            keys: The keys, or None to let everybody in.
            local: The administrator that everybody is where no key is needed.
            open_until_first_key: Let everybody in for as long as there was no key.
        """
        self._keys = keys
        self._local = local
        self._is_open = keys is None or open_until_first_key

    @property
    def is_open(self) -> bool:
        """True while clients need no key. Once there was one, they need one until the server ends.

        Raises:
            ConfigError: The keys cannot be read.
        """
        if self._is_open and self._keys is not None:
            self._is_open = not self._keys.any()
        return self._is_open

    def identify(self, authorization: str | None, role: Role) -> ApiKey:
        """Return the key of an `Authorization` header that may act in this role.

        Raises:
            ApiError: No key or an unknown one (401), or its role does not include this (403).
            ConfigError: The keys cannot be read.
        """
        if self._keys is None or self.is_open:
            return self._local
        scheme, _, secret = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not secret.strip():
            raise ApiError(
                401, "No API key: send Authorization: Bearer KEY.", code="missing_api_key"
            )
        key = self._keys.find(secret.strip())
        if key is None:
            raise ApiError(401, "The API key is not known.", code="invalid_api_key")
        if not key.may(role):
            raise ApiError(
                403, f"The key has the role {key.role!r}; this takes {role!r}.", code="forbidden"
            )
        return key
