"""Nodes and routes of a graph: coroutine functions that run in a synchronous graph too."""

import functools
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

from langchain_core.runnables import Runnable, RunnableConfig

from ragkit.core.sync import run_sync

SYNCHRONOUS: ContextVar[bool] = ContextVar("synchronous", default=False)
"""True where a synchronous graph runs the node."""


class GraphNode(Runnable[Any, Any]):
    """A node or route of a graph: a coroutine function that also runs in a synchronous graph.

    There it runs on ragkit's background loop, with the caller's context variables.
    """

    def __init__(self, name: str, function: Callable[[Any], Awaitable[Any]]) -> None:
        """Wrap a function of the state."""
        self.name = name
        self._function = function

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **_: Any) -> Any:  # noqa: A002  # Runnable's
        """Run the function."""
        return await self._function(input)

    def invoke(self, input: Any, config: RunnableConfig | None = None, **_: Any) -> Any:  # noqa: A002  # Runnable's
        """Run the function on the background loop."""
        token = SYNCHRONOUS.set(True)
        try:
            return run_sync(functools.partial(self.ainvoke, input))
        finally:
            SYNCHRONOUS.reset(token)
