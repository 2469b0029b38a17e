"""The limits of a tool, and how its calls are held to them."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NoReturn

from ragkit.agents.tools.jobs import Outcome, Raised, run_job
from ragkit.agents.tools.results import trimmed
from ragkit.agents.tools.slots import Slots
from ragkit.core.errors import InputError, ToolError
from ragkit.core.types import Permission

_LEAST_CHARS = 200
_LONGEST_MESSAGE = 2000
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The limits of a tool; `tool` describes them.

    Raises:
        InputError: They contradict each other.
    """

    timeout_s: float = 30.0
    retries: int = 0
    max_chars: int = 8000
    concurrency: int = 8
    permission: Permission = "read"
    idempotent: bool | None = None

    @property
    def repeatable(self) -> bool:
        """Whether a call may be made again without the person's knowledge."""
        return self.permission == "read" if self.idempotent is None else self.idempotent

    def __post_init__(self) -> None:
        if self.permission not in ("read", "write", "approve"):
            raise InputError(
                f"permission is {self.permission!r}: use 'read', 'write' or 'approve'."
            )
        if self.timeout_s <= 0 or self.retries < 0 or self.concurrency < 1:
            raise InputError(
                "timeout_s and concurrency must be positive and retries not negative, got "
                f"{self.timeout_s!r}, {self.concurrency!r} and {self.retries!r}."
            )
        if self.max_chars < _LEAST_CHARS:
            raise InputError(f"max_chars is {self.max_chars!r}: use {_LEAST_CHARS} at least.")
        if self.retries and not self.repeatable:
            raise InputError(
                "retries would have the effect twice; pass idempotent=True where the same call "
                "made again has no further effect, or leave retries out."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Runner:
    """Runs calls within the limits of `policy`."""

    policy: Policy
    _slots: Slots = field(repr=False, compare=False)

    @classmethod
    def of(cls, policy: Policy) -> "Runner":
        """A runner with slots of its own."""
        return cls(policy=policy, _slots=Slots(policy.concurrency))

    async def run(self, bound: Callable[[], object], *, asynchronous: bool) -> object:
        """What a function returns, tried again where that is allowed and may help.

        Raises:
            ToolError: It raised, or took too long.
        """
        for attempt in range(self.policy.retries):
            outcome = await self._attempt(bound, asynchronous)
            if not isinstance(outcome, Raised):
                return outcome.value
            if not _worth_another(outcome.error):
                return self._fail(outcome.error)
            await asyncio.sleep(_pause(attempt, outcome.error))
        outcome = await self._attempt(bound, asynchronous)
        return self._fail(outcome.error) if isinstance(outcome, Raised) else outcome.value

    async def _attempt(self, bound: Callable[[], object], asynchronous: bool) -> Outcome:
        try:
            return await run_job(
                bound,
                asynchronous=asynchronous,
                timeout_s=self.policy.timeout_s,
                slots=self._slots,
            )
        except TimeoutError as error:
            return Raised(error)

    def _fail(self, error: BaseException) -> NoReturn:
        from langgraph.errors import GraphBubbleUp

        if isinstance(error, GraphBubbleUp):
            raise error  # no failure: a graph inside the tool waits for a person
        kind = "" if isinstance(error, ToolError) else f"{type(error).__name__}: "
        longest = min(_LONGEST_MESSAGE, self.policy.max_chars)
        raise ToolError(trimmed(f"{kind}{error}".removesuffix(": "), longest)[0]) from error


def _worth_another(error: BaseException) -> bool:
    return isinstance(error, TimeoutError) or bool(getattr(error, "retryable", False))


def _pause(attempt: int, error: BaseException) -> float:
    asked: float | None = getattr(error, "retry_after_s", None)
    # The spread keeps calls that failed together from coming back together.
    pause = _FIRST_PAUSE_S * 2.0**attempt * random.uniform(0.5, 1.5) if asked is None else asked
    return min(_LONGEST_PAUSE_S, pause)
