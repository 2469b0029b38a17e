"""Operations as observers see them: the one seam for traces, metrics and logs.

A part of ragkit that takes time does it inside an `Operation`. Traces (`ragkit.telemetry`) and the
server's metrics are observers of the process; without any, an operation only measures its time.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self, TypeAlias, TypeVar

from ragkit.core.types import Json

T = TypeVar("T")
Kind: TypeAlias = Literal[
    "request", "answer", "search", "search stage", "model call", "pooling call", "grammar",
    "agent", "agent step", "tool", "ingestion", "ingestion stage",
]  # fmt: skip
"""The kinds of operations; `ragkit.telemetry.names` has their names in traces."""
Fact: TypeAlias = str | int | float | bool


request_id: ContextVar[str] = ContextVar("ragkit_request_id", default="")
"""The id of the HTTP request that the running code answers; empty outside of a server."""


class TracePlace(NamedTuple):
    """The ids of a trace and of a span in it, in hexadecimal digits (W3C Trace Context)."""

    trace: str
    span: str


class Observer:
    """Sees the operations of this process; override what you need.

    Methods are called in the thread and the task of the operation, and have to be fast.
    """

    def began(self, operation: "Operation") -> None:
        """See an operation that begins."""

    def resumed(self, operation: "Operation") -> None:
        """See that the code which runs next, in this context, belongs to an operation."""

    def paused(self, operation: "Operation") -> None:
        """See that code of others runs next, or that the operation is over."""

    def ended(self, operation: "Operation") -> None:
        """See an operation that is over, with all its facts, its time and its error."""

    def place(self) -> TracePlace | None:
        """Return the place in a trace of the code that runs now, if it is traced."""
        return None

    def headers(self) -> Mapping[str, str]:
        """Return the HTTP headers that pass the trace on to a server."""
        return {}


_observers: tuple[Observer, ...] = ()


def add_observer(observer: Observer) -> None:
    """Let an observer see the operations of this process that begin from now on."""
    global _observers
    _observers = (*_observers, observer)


def remove_observer(observer: Observer) -> None:
    """Let an observer see no further operation; nothing happens where it sees none."""
    global _observers
    _observers = tuple(one for one in _observers if one is not observer)


def is_observed() -> bool:
    """Return whether anybody sees the operations of this process."""
    return bool(_observers)


def trace_place() -> TracePlace | None:
    """Return the place in a trace of the code that runs now, None where it is not traced."""
    return next((found for one in _observers if (found := one.place()) is not None), None)


def trace_headers() -> dict[str, str]:
    """Return the HTTP headers that pass the trace on to a server; empty where nothing is traced."""
    return {name: value for one in _observers for name, value in one.headers().items()}


@dataclass(slots=True, kw_only=True, eq=False)
class Operation:
    """A piece of work, done inside a `with` block or read through `watched`.

    Attributes:
        kind: Its kind.
        name: Its name within the kind: a stage, a tool or a prompt.
        facts: Numbers and names. They hold no text of users or documents, and no secret.
        content: Texts of users, models and documents, by name, as JSON that is made only where an
            observer records it.
        incoming: The HTTP headers of the request that it answers.
        expected: Exceptions that end it without being its error.
        seconds: Its duration, once it is over.
        error: The error that ended it.
        place: Its own place in a trace, set by an observer.
        held: Values that observers keep with it.
    """

    kind: Kind
    name: str = ""
    facts: dict[str, Fact] = field(default_factory=dict[str, Fact])
    content: dict[str, Callable[[], Json]] = field(default_factory=dict[str, Callable[[], Json]])
    incoming: Mapping[str, str] | None = None
    expected: tuple[type[BaseException], ...] = (GeneratorExit,)
    seconds: float = 0.0
    error: BaseException | None = None
    place: TracePlace | None = None
    held: dict[Observer, Any] = field(default_factory=dict[Observer, Any])  # each observer's own
    _observers: tuple[Observer, ...] = ()
    _started: float = 0.0

    def __enter__(self) -> Self:
        """Begin."""
        self._begin()
        for one in self._observers:
            one.resumed(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End; an error is noted and goes on."""
        for one in reversed(self._observers):
            one.paused(self)
        self._end(error)

    async def watched(self, items: AsyncGenerator[T]) -> AsyncGenerator[T]:
        """Pass the items of a generator on; its work is the operation, and its consumer's is not.

        Closing this generator closes the other one, which is no error of the operation.
        """
        self._begin()
        error: BaseException | None = None
        try:
            async with aclosing(items):
                while True:
                    try:
                        item = await self._step(items)
                    except StopAsyncIteration:
                        break
                    yield item
        except BaseException as raised:
            error = raised
            raise
        finally:
            self._end(error)

    async def _step(self, items: AsyncGenerator[T]) -> T:
        for one in self._observers:
            one.resumed(self)
        try:
            return await anext(items)
        finally:
            for one in reversed(self._observers):
                one.paused(self)

    def _begin(self) -> None:
        self._observers = _observers
        self._started = time.perf_counter()
        for one in self._observers:
            one.began(self)

    def _end(self, error: BaseException | None) -> None:
        self.seconds = time.perf_counter() - self._started
        self.error = None if isinstance(error, self.expected) else error
        for one in reversed(self._observers):
            one.ended(self)


def error_kind(error: BaseException) -> str:
    """Return the name of an error's class, `cancelled` for a task that was cancelled."""
    return "cancelled" if isinstance(error, asyncio.CancelledError) else type(error).__name__
