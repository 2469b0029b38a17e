"""`FunctionTool`: a typed function with the limits that make it safe to hand to a model."""

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, ParamSpec, TypeVar

from ragkit.agents.tools.results import tool_result
from ragkit.agents.tools.runner import Runner
from ragkit.agents.tools.signature import Signature
from ragkit.core.types import Json, Permission, ToolResult

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionTool(Generic[P, R]):
    """A `Tool` made of a function by `tool`; called as a function, it is still the function."""

    function: Callable[P, R]
    signature: Signature
    runner: Runner

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
        return self.runner.policy.permission

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
        value = await self.runner.run(bound, asynchronous=_is_async(self.function))
        return tool_result(value, max_chars=self.runner.policy.max_chars)


def _is_async(function: Callable[..., object]) -> bool:
    called: object = getattr(function, "__call__", None)  # noqa: B004 - of a callable object
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(called)
