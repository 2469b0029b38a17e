"""`@tool`: a typed function with the limits that make it safe to hand to a model."""

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, ParamSpec, TypedDict, TypeVar, Unpack, overload

from ragkit.agents.tools.function.results import tool_result
from ragkit.agents.tools.function.runner import Policy, Runner
from ragkit.agents.tools.function.signature import Signature, signature_of
from ragkit.core.errors import InputError
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
        """The name that the model calls it by."""
        return self.signature.name

    @property
    def description(self) -> str:
        """A description of what it does and returns, from the docstring."""
        return self.signature.description

    @property
    def parameters(self) -> Mapping[str, Json]:
        """JSON Schema of its arguments."""
        return self.signature.parameters

    @property
    def permission(self) -> Permission:
        """The permission that a call needs."""
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


class ToolOptions(TypedDict, total=False):
    """Options of `tool`.

    Attributes:
        name: The name that the model calls it by; the function's own name by default.
        description: A description for the model to choose by; from the docstring by default.
        timeout_s: Seconds for one attempt, including the wait for a free slot; 30 by default. A
            sync function that takes longer keeps running in its thread, its result is dropped,
            and it keeps its slot until it ends.
        retries: Attempts after the first one, on a timeout or an error whose attribute
            `retryable` is true; 0 by default. Refused where repeating a call could do harm.
        max_chars: Maximum length of the text that the model is shown; 8,000 by default.
        concurrency: Calls that run at the same time, over all threads and loops; 8 by default.
        permission: `"read"` (the default) only reads, `"write"` changes something, `"approve"`
            needs a person's approval for each call.
        idempotent: True if the same call made twice has the effect of one; by default true only
            for `"read"`.
    """

    name: str
    description: str
    timeout_s: float
    retries: int
    max_chars: int
    concurrency: int
    permission: Permission
    idempotent: bool


@overload
def tool(function: Callable[P, R], /, **options: Unpack[ToolOptions]) -> FunctionTool[P, R]: ...
@overload
def tool(
    **options: Unpack[ToolOptions],
) -> Callable[[Callable[P, R]], FunctionTool[P, R]]: ...
def tool(function: Callable[..., Any] | None = None, /, **options: Unpack[ToolOptions]) -> Any:
    """Make a tool of a typed function, sync (it runs in a thread) or async.

    The signature gives the arguments' schema, the docstring (Google style) the descriptions. A
    parameter annotated `IdempotencyKey` receives the key of the call and is not shown to the
    model. The function may return a string, a JSON value, a pydantic model or a dataclass;
    whatever it raises becomes a `ToolError` whose message the model is shown.

    ```python
    @tool(timeout_s=5, retries=2)
    def rainfall(city: str, year: int = 2024) -> float:
        \"\"\"Rain of a year in millimetres.\"\"\"
    ```

    Args:
        function: The function.
        options: See `ToolOptions`.

    Raises:
        InputError: The function cannot be a tool, an option is unknown, or options contradict
            each other; the message names function and argument.
    """
    if function is None:
        return functools.partial(_function_tool, options=options)
    return _function_tool(function, options)


def _function_tool(function: Callable[P, R], options: ToolOptions) -> FunctionTool[P, R]:
    limits = dict(options)
    signature = signature_of(
        function, name=options.get("name"), description=options.get("description")
    )
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise InputError(
            f"The tool {signature.name!r} is a generator, which is not supported. "
            "Fix: return a list."
        )
    for described in ("name", "description"):
        limits.pop(described, None)
    if unknown := sorted(limits.keys() - ToolOptions.__optional_keys__):
        raise InputError(
            f"The tool {signature.name!r} has an unknown option {unknown[0]!r}. "
            f"Fix: use one of {', '.join(sorted(ToolOptions.__optional_keys__))}."
        )
    try:
        policy = Policy(**limits)  # type: ignore[arg-type]  # the options of `ToolOptions`
    except InputError as error:
        raise InputError(f"The tool {signature.name!r} cannot be defined: {error}") from error
    return FunctionTool(function=function, signature=signature, runner=Runner.of(policy))
