"""The limits of a tool, and the calls that are held to them."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NoReturn

from ragkit.agents.tools.function.jobs import Raised, Returned, Slots, run_job
from ragkit.agents.tools.function.results import trimmed
from ragkit.core.errors import InputError, ToolError
from ragkit.core.types import Permission

_LEAST_CHARS = 200
_LONGEST_MESSAGE = 2000
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The limits of a tool; `ToolOptions` describes them.

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
        """True if a call may be made again without asking a person."""
        return self.permission == "read" if self.idempotent is None else self.idempotent

    def __post_init__(self) -> None:
        if self.permission not in ("read", "write", "approve"):
            raise InputError(
                f"permission is {self.permission!r}. Fix: use 'read', 'write' or 'approve'."
            )
        if self.timeout_s <= 0 or self.retries < 0 or self.concurrency < 1:
            raise InputError(
                "timeout_s and concurrency must be positive and retries not negative, got "
                f"{self.timeout_s!r}, {self.concurrency!r} and {self.retries!r}."
            )
        if self.max_chars < _LEAST_CHARS:
            raise InputError(f"max_chars is {self.max_chars!r}. Fix: use at least {_LEAST_CHARS}.")
        if self.retries and not self.repeatable:
            raise InputError(
                f"retries={self.retries} would have the effect several times. Fix: pass "
                "idempotent=True if repeating a call has no further effect, or leave retries out."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Runner:
    """Runs calls within the limits of `policy`."""

    policy: Policy
    _slots: Slots = field(repr=False, compare=False)

    @classmethod
    def of(cls, policy: Policy) -> "Runner":
        """Make a runner with slots of its own."""
        return cls(policy=policy, _slots=Slots(policy.concurrency))

    async def run(self, bound: Callable[[], object], *, asynchronous: bool) -> object:
        """Return the function's value, after retries where these are allowed and may help.

        Raises:
            ToolError: It raised, or took too long.
        """
        attempt = 0
        while True:
            try:
                outcome = await run_job(
                    bound,
                    asynchronous=asynchronous,
                    timeout_s=self.policy.timeout_s,
                    slots=self._slots,
                )
            except TimeoutError as late:
                outcome = Raised(late)
            if isinstance(outcome, Returned):
                return outcome.value
            error = outcome.error
            transient = isinstance(error, TimeoutError) or bool(getattr(error, "retryable", False))
            if attempt == self.policy.retries or not transient:
                self._fail(error)
            await asyncio.sleep(_pause(attempt, error))
            attempt += 1

    def _fail(self, error: BaseException) -> NoReturn:
        from langgraph.errors import GraphBubbleUp

        if isinstance(error, GraphBubbleUp):
            raise error  # no failure: a graph inside the tool waits for a person
        kind = "" if isinstance(error, ToolError) else f"{type(error).__name__}: "
        longest = min(_LONGEST_MESSAGE, self.policy.max_chars)
        raise ToolError(trimmed(f"{kind}{error}".removesuffix(": "), longest)[0]) from error


def _pause(attempt: int, error: BaseException) -> float:
    asked: float | None = getattr(error, "retry_after_s", None)
    # The random factor keeps calls that failed together from being repeated together.
    pause = _FIRST_PAUSE_S * 2.0**attempt * random.uniform(0.5, 1.5) if asked is None else asked
    return min(_LONGEST_PAUSE_S, pause)
