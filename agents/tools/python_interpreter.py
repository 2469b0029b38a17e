"""`python`: code that a model wrote, run in a sandbox by the interpreter Monty.

Monty (https://github.com/pydantic/monty) implements a subset of Python in Rust: its programs have
no files, network, processes, environment or host objects, since the interpreter has no code for
them. Each call gets a worker process of its own, so that a crash ends nothing but itself.
"""

import importlib.util
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field
from pydantic_core import PydanticSerializationError, from_json, to_json

from ragkit.agents.tools.function import tool
from ragkit.agents.tools.function.runner import tool_result
from ragkit.core.errors import MissingExtraError, ToolError
from ragkit.core.protocols import Tool
from ragkit.core.types import Json, ToolResult

if TYPE_CHECKING:
    import pydantic_monty

_MAX_CHARACTERS = 4000
_RECURSION = 200
_GRACE_S = 2.0
"""Seconds between the interpreter's own limit and the end of its process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _SandboxLimits:
    """Limits of one run."""

    seconds: float
    memory_bytes: int
    output_bytes: int

    def for_interpreter(self) -> "pydantic_monty.ResourceLimits":
        return {
            "max_feed_duration_secs": self.seconds,
            "max_total_sleep_secs": self.seconds,
            "max_memory": self.memory_bytes,
            "max_recursion_depth": _RECURSION,
        }


def python(*, timeout_s: float = 5.0, max_memory_mb: int = 128, max_chars: int = 8000) -> Tool:
    """Make a tool that runs Python in a sandbox.

    Args:
        timeout_s: Maximum seconds of a run.
        max_memory_mb: Maximum memory of a run, in MiB.
        max_chars: Maximum length of output and result together.

    Raises:
        MissingExtraError: Monty is not installed.
    """
    if importlib.util.find_spec("pydantic_monty") is None:
        raise MissingExtraError("pydantic_monty", extra="agents")
    limits = _SandboxLimits(
        seconds=timeout_s, memory_bytes=max_memory_mb * 2**20, output_bytes=16 * max_chars
    )

    @tool(timeout_s=2 * timeout_s + 2 * _GRACE_S, max_chars=max_chars)
    async def python(
        code: Annotated[str, Field(min_length=1, max_length=_MAX_CHARACTERS)],
    ) -> ToolResult:
        """Run Python code in a sandbox without files, network or installed packages.

        There are json, re, math, datetime, random, collections and the other small parts of the
        standard library. Nothing is remembered from one call to the next.

        Args:
            code: What it prints, and the value of its last line, are the result.

        Returns:
            An object with the printed text as output and the last line's value as result.
        """
        output, result = await _run(code, limits)
        shown = "" if result is None else to_json(result).decode()
        text = "\n".join(part for part in (output.rstrip("\n"), shown) if part)
        return tool_result(
            {"output": output, "result": result},
            max_chars=max_chars,
            text=text or "(done, nothing printed)",
        )

    return python


async def _run(code: str, limits: _SandboxLimits) -> tuple[str, Json]:
    import pydantic_monty

    printed = pydantic_monty.CollectString(max_bytes=limits.output_bytes)
    pool = pydantic_monty.AsyncMonty(
        min_processes=0, max_processes=1, request_timeout=2 * limits.seconds + _GRACE_S
    )
    try:
        async with pool, pool.checkout(limits=limits.for_interpreter()) as session:
            result: Any = await session.feed_run(code, print_callback=printed)
    except pydantic_monty.MontySyntaxError as error:
        raise ToolError(f"The code has a syntax error: {error}") from error
    except pydantic_monty.MontyRuntimeError as error:
        raise ToolError(_failure(error, printed.output)) from error
    except pydantic_monty.MontyError as error:
        raise ToolError(f"The sandbox failed: {error}") from error
    return printed.output, _json(result)


def _json(result: Any) -> Json:
    try:
        plain: Json = from_json(to_json(result, fallback=repr, inf_nan_mode="strings"))
    except (PydanticSerializationError, ValueError) as error:
        raise ToolError(
            f"The last line's value has no form in JSON: {error}. Fix: end with a string."
        ) from error
    return plain


def _failure(error: "pydantic_monty.MontyRuntimeError", printed: str) -> str:
    lines = [f", line {frame.line}" for frame in error.traceback()[-1:]]
    before = f"\nPrinted before: {printed[-300:]}" if printed else ""
    return f"{error}{''.join(lines)}{before}"
