"""`@tool`: makes a tool of a typed function."""

import functools
import inspect
from collections.abc import Callable
from typing import Any, ParamSpec, TypedDict, TypeVar, Unpack, overload

from ragkit.agents.tools.function import FunctionTool
from ragkit.agents.tools.runner import Policy, Runner
from ragkit.agents.tools.signature import signature_of
from ragkit.core.errors import InputError
from ragkit.core.types import Permission

P = ParamSpec("P")
R = TypeVar("R")


class ToolOptions(TypedDict, total=False):
    """How a tool may be used.

    Attributes:
        name: What the model calls it by; the function's own name by default.
        description: What it does, for the model to choose by; from the docstring by default.
        timeout_s: Seconds for one attempt, the wait for its turn included; 30 by default. A sync
            function that takes longer goes on in its thread, unheard, and keeps its turn.
        retries: Attempts beyond the first, after a timeout or an error with a true attribute
            `retryable`; none by default. Refused where repeating a call could do harm.
        max_chars: Length of the text that the model is shown; 8,000 by default.
        concurrency: Calls that run at once, over all threads and loops; 8 by default.
        permission: Whether it only looks (`"read"`, the default), changes something (`"write"`),
            or needs a person's approval each time (`"approve"`).
        idempotent: Whether the same call made twice has the effect of one; by default only
            where it is for reading.
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
        function: What to make a tool of.
        options: See `ToolOptions`.

    Raises:
        InputError: The function cannot be a tool, or the options contradict each other; names
            function and argument.
    """
    if function is None:
        return functools.partial(_made, options=options)
    return _made(function, options)


def _made(function: Callable[P, R], options: ToolOptions) -> FunctionTool[P, R]:
    said = ("name", "description")
    limits = {name: value for name, value in options.items() if name not in said}
    signature = signature_of(
        function, name=options.get("name"), description=options.get("description")
    )
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise InputError(f"The tool {signature.name!r} yields: return a list instead.")
    try:
        policy = Policy(**limits)  # type: ignore[arg-type]  # the options of `ToolOptions`
    except InputError as error:
        raise InputError(f"The tool {signature.name!r} cannot be defined: {error}") from error
    return FunctionTool(function=function, signature=signature, runner=Runner.of(policy))
