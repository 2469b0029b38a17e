"""`FunctionTool`: a typed function with the limits that make it safe to hand to a model."""

import asyncio
import functools
import inspect
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, ParamSpec, TypeVar

from ragkit.agents.tools.jobs import Outcome, Raised, run_job
from ragkit.agents.tools.results import tool_result, trimmed
from ragkit.agents.tools.signature import Signature
from ragkit.agents.tools.slots import Slots
from ragkit.core.errors import InputError, ToolError
from ragkit.core.types import Json, Permission, ToolResult

P = ParamSpec("P")
R = TypeVar("R")

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
class FunctionTool(Generic[P, R]):
    """A `Tool` made of a function by `tool`; called as a function, it is still the function."""

    function: Callable[P, R]
    signature: Signature
    policy: Policy
    _slots: Slots = field(repr=False, compare=False)

    @property
    def name(self) -> str:
        """What the model calls it by."""
        return self.signature.name

    @property
    def description(self) -> str:
        """What it does and returns, from the docstring."""
        return self.signature.description

    @property
    def parameters(self) -> Mapping[str, Json]:
        """JSON Schema of its arguments."""
        return self.signature.parameters

    @property
    def permission(self) -> Permission:
        """What it may do."""
        return self.policy.permission

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function itself, without limits."""
        return self.function(*args, **kwargs)

    async def call(self, arguments: Mapping[str, Json], *, key: str) -> ToolResult:
        """See `Tool.call`.

        Raises:
            ToolError: The arguments are wrong, the function raised, or it took too long.
        """
        args, kwargs = self.signature.bind(arguments, key)
        bound: Callable[[], object] = functools.partial(self.function, *args, **kwargs)
        outcome = await self._outcome(bound)
        if isinstance(outcome, Raised):
            raise self._failure(outcome.error) from outcome.error
        return tool_result(outcome.value, max_chars=self.policy.max_chars)

    async def _outcome(self, bound: Callable[[], object]) -> Outcome:
        for attempt in range(self.policy.retries):
            outcome = await self._attempt(bound)
            if not isinstance(outcome, Raised) or not _worth_another(outcome.error):
                return outcome
            await asyncio.sleep(_pause(attempt, outcome.error))
        return await self._attempt(bound)

    async def _attempt(self, bound: Callable[[], object]) -> Outcome:
        try:
            return await run_job(
                bound,
                asynchronous=is_async(self.function),
                timeout_s=self.policy.timeout_s,
                slots=self._slots,
            )
        except TimeoutError as error:
            return Raised(error)

    def _failure(self, error: BaseException) -> ToolError:
        kind = "" if isinstance(error, ToolError) else f"{type(error).__name__}: "
        longest = min(_LONGEST_MESSAGE, self.policy.max_chars)
        return ToolError(trimmed(f"{kind}{error}".removesuffix(": "), longest)[0])


def is_async(function: Callable[..., object]) -> bool:
    """Whether calling it gives something to await."""
    called: object = getattr(function, "__call__", None)  # noqa: B004 - of a callable object
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(called)


def _worth_another(error: BaseException) -> bool:
    return isinstance(error, TimeoutError) or bool(getattr(error, "retryable", False))


def _pause(attempt: int, error: BaseException) -> float:
    asked: float | None = getattr(error, "retry_after_s", None)
    # The spread keeps calls that failed together from coming back together.
    pause = _FIRST_PAUSE_S * 2.0**attempt * random.uniform(0.5, 1.5) if asked is None else asked
    return min(_LONGEST_PAUSE_S, pause)
