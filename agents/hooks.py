"""Hooks: code of one's own before and after the calls of the model and of tools."""

from collections.abc import Iterable, Mapping, Sequence

from ragkit.core.errors import ConfigError, ToolError
from ragkit.core.types import Json, Message, ToolResult, Usage


class Hook:
    """Code around an agent's calls, for logging, guards and tests; override what you need.

    Hooks are called in their order. `step` is the id of the call in the trace. An error that a
    hook raises ends the run, but for a `ToolError` in `before_tool`.
    """

    async def before_model(self, step: str, messages: Sequence[Message]) -> Sequence[Message]:
        """Return the messages that the model gets.

        A call that asks again, after a reply that was cut or broke its schema, is a step of its
        own; its messages hold what this changed before.
        """
        return messages

    async def after_model(self, step: str, reply: str, usage: Usage) -> None:
        """See a reply and its tokens; the reply of a call that failed is what came of it."""

    async def before_tool(self, step: str, tool: str, arguments: Mapping[str, Json]) -> None:
        """See a call before it is made.

        Raises:
            ToolError: The call is not made, and the model reads why.
        """

    async def after_tool(self, step: str, tool: str, result: ToolResult) -> ToolResult:
        """Return the result that the model gets; calls that failed are left out."""
        return result


async def messages_of_hooks(
    hooks: Iterable[Hook], step: str, messages: Sequence[Message]
) -> Sequence[Message]:
    """Return the messages that the model gets, as the hooks want them.

    Raises:
        ConfigError: A hook returns no messages.
    """
    for hook in hooks:
        given = await hook.before_model(step, messages)
        if not isinstance(given, Sequence):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise _wrong(hook, "before_model", given, fix="return the messages")
        messages = list(given)
    return messages


async def refusal_of_hooks(
    hooks: Iterable[Hook], step: str, tool: str, arguments: Mapping[str, Json]
) -> str | None:
    """Return why a hook refuses a call, if one does."""
    try:
        for hook in hooks:
            await hook.before_tool(step, tool, arguments)
    except ToolError as error:
        return str(error) or f"{tool} was refused."
    return None


async def result_of_hooks(
    hooks: Iterable[Hook], step: str, tool: str, result: ToolResult
) -> ToolResult:
    """Return the result that the model gets, as the hooks want it.

    Raises:
        ConfigError: A hook returns no result.
    """
    for hook in hooks:
        given = await hook.after_tool(step, tool, result)
        if not isinstance(given, ToolResult):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise _wrong(hook, "after_tool", given, fix="return the result")
        result = given
    return result


def _wrong(hook: Hook, method: str, given: object, *, fix: str) -> ConfigError:
    return ConfigError(
        f"The hook {type(hook).__name__}.{method} returned {given!r:.200}. "
        f"Fix: {fix}, changed or as it was."
    )
