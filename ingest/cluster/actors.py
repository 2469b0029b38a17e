"""A group of equal Ray actors: calls go to the least busy one, and again where one has died."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any

import ragkit
from ragkit.core.errors import ConfigError, ProviderError

CALL_TRIES = 4
"""Times that a call is made where the actor or its machine dies."""


class ActorGroup:
    """Actors of one class; those that are ready take calls, one at a time each."""

    def __init__(
        self, actors: Sequence[Any], *, references: Sequence[object], name: str, start_s: float
    ) -> None:
        """Take handles of actors that are being started, and references that go with each call."""
        self.actors = list(actors)
        self._references = list(references)
        self._name, self._start_s = name, start_s
        self._ready: list[Any] = []
        self._busy: Counter[Any] = Counter()
        self._starts = [asyncio.ensure_future(self._start(actor)) for actor in self.actors]

    async def _start(self, actor: Any) -> None:
        version = await self._returned(actor.version.remote())
        if version != ragkit.__version__:
            raise ConfigError(
                f"A machine of the cluster has ragkit {version!r}, this one "
                f"{ragkit.__version__!r}. Fix: install the same version on all of them."
            )
        self._ready.append(actor)

    async def call(self, method: str, *arguments: object) -> object:
        """Return what a method of one of the actors returns, or raise what it raises.

        Raises:
            ConfigError: No actor could be started.
            ProviderError: Actors died over this call, again and again.
        """
        await self._wait()
        actor = min(self._ready, key=lambda one: self._busy[one])
        self._busy[actor] += 1
        try:
            return await self._returned(getattr(actor, method).remote(self._references, *arguments))
        finally:
            self._busy[actor] -= 1

    async def _wait(self) -> None:
        """Wait until an actor is ready."""
        if self._ready:
            return
        try:
            async with asyncio.timeout(self._start_s):
                await asyncio.wait(self._starts, return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError as error:
            raise ConfigError(
                f"The cluster started no {self._name} within {self._start_s:g} s. Fix: see "
                "`ray status` for what is free, ask for less under [ingest.ray], or raise "
                "ingest.ray.start_s."
            ) from error
        for start in self._starts:
            reason = start.exception() if start.done() else None
            if reason is not None:
                raise ConfigError(f"No {self._name} can be started: {reason}") from reason

    async def _returned(self, reference: Any) -> object:
        """Return the value of a reference; errors are those that the actor raised."""
        from ray.exceptions import RayError, RayTaskError

        try:
            return await reference
        except RayTaskError as error:
            cause = error.cause
            if isinstance(cause, RayError):  # it could not be sent here
                raise _lost(self._name, error) from error
            raise cause from error
        except RayError as error:
            raise _lost(self._name, error) from error

    async def close(self) -> None:
        """End the actors."""
        import ray

        for start in self._starts:
            start.cancel()
        await asyncio.gather(*self._starts, return_exceptions=True)
        for actor in self.actors:
            ray.kill(actor)


def _lost(name: str, error: Exception) -> ProviderError:
    reason = str(error).strip().splitlines()[0]
    return ProviderError(
        f"A {name} of the Ray cluster failed: {reason} Fix: see `ray status` and Ray's logs.",
        provider="ray",
        retryable=True,
    )
