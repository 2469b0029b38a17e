"""Tasks within a node that start one after the other, as soon as what each needs is there.

LangGraph keeps the interrupts and the result of each: two that interrupt never swap answers, and
one that is done is not done again when the node runs once more.
"""

import asyncio
import functools
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from langgraph.config import get_config
from langgraph.errors import GraphInterrupt
from langgraph.func import task  # pyright: ignore[reportMissingTypeStubs]  # it has its types
from langgraph.types import Interrupt

from ragkit.agents.state import SYNCHRONOUS
from ragkit.core.sync import run_sync

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Start(Generic[T]):
    """The input of a task; None where it will not start, `waits` where it may the next time."""

    given: T | None = None
    waits: bool = False


class Subtasks(Generic[T]):
    """The tasks of one node, by key.

    LangGraph knows a task by its place among those of the node. So all are opened at once, in an
    order that is the same each time, and each waits for its input. Where `max_concurrency` is 1,
    the node makes one call itself, and must be run again for the next.
    """

    def __init__(
        self,
        keys: Sequence[str],
        work: Callable[[T], Awaitable[dict[str, Any]]],
        *,
        name: str,
        parallel: int,
    ) -> None:
        """Open the tasks.

        Args:
            keys: The tasks, in an order that follows from the state.
            work: Makes a result, which a checkpoint can keep, of a task's input.
            name: The name of all tasks in LangGraph's streams.
            parallel: Tasks that work at the same time.
        """
        self._work = work
        # With one place for all tasks, which the node takes, none of them would ever start.
        self._inside = get_config().get("max_concurrency") == 1
        self._gate = asyncio.Semaphore(parallel)
        loop = asyncio.get_running_loop()
        self._inputs: dict[str, asyncio.Future[_Start[T]]] = {
            key: loop.create_future() for key in keys
        }
        self._tasks = {} if self._inside else {key: self._open(key, name) for key in keys}
        self._running: dict[asyncio.Future[Any], str] = {}
        self._interrupts: list[Interrupt] = []
        self._interrupted = False

    @property
    def running(self) -> bool:
        """True while a task works."""
        return bool(self._running)

    def may_start(self, key: str) -> bool:
        """Return whether a task can start now; where LangGraph runs one at a time, only one can."""
        if self._inside and any(given.done() for given in self._inputs.values()):
            return False
        return not self._inputs[key].done()

    def start(self, key: str, given: T) -> None:
        """Start a task with its input."""
        self._inputs[key].set_result(_Start(given))
        opened = asyncio.ensure_future(self._one(key)) if self._inside else self._tasks[key]
        self._running[opened] = key

    async def done(self) -> list[tuple[str, dict[str, Any]]]:
        """Wait until a task is over; return the results of those that are, by key."""
        over, _ = await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
        found: list[tuple[str, dict[str, Any]]] = []
        for one in [one for one in self._running if one in over]:
            key = self._running.pop(one)
            try:
                found.append((key, one.result()))
            except GraphInterrupt as waits:
                self._interrupted = True
                self._interrupts += waits.args[0]
                waits.args = ((),)  # the node raises them: LangGraph would list them twice
        return found

    async def close(self) -> None:
        """End the tasks that were not started.

        Raises:
            GraphInterrupt: Tasks wait for a person; the node runs again once they are answered.
        """
        self.stop(waits=self._interrupted)
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        if self._interrupted:
            raise GraphInterrupt(tuple(self._interrupts))

    def stop(self, *, waits: bool = True) -> None:
        """Let the tasks end that were not started; they may start the next time if `waits`."""
        for given in self._inputs.values():
            if not given.done():
                given.set_result(_Start(waits=waits))
        for one in self._running:
            one.cancel()

    def _open(self, key: str, name: str) -> asyncio.Future[Any]:
        # `Any`: LangGraph's future is one of asyncio or of threads, as the graph runs.
        given: Any = functools.partial(self._one, key)
        if SYNCHRONOUS.get():
            given = functools.partial(run_sync, given)
        make: Any = task
        opened: Any = make(given, name=name)()
        return asyncio.wrap_future(opened)

    async def _one(self, key: str) -> dict[str, Any]:
        start = await self._inputs[key]
        if start.waits:
            raise GraphInterrupt
        if start.given is None:
            return {}
        async with self._gate:
            return await self._work(start.given)
