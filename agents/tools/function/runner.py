"""The limits of a tool, its calls, which a caller can always leave in time, and their results."""

import asyncio
import contextvars
import inspect
import json
import random
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn, TypeAlias, cast

from pydantic_core import PydanticSerializationError, to_json

from ragkit.core.errors import InputError, ToolError
from ragkit.core.types import Citation, Json, Permission, ToolResult

_NOTHING = "(done, no result)"
_LEAST_CHARS = 200
_LONGEST_MESSAGE = 2000
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 5.0


@dataclass(frozen=True, slots=True)
class Returned:
    """The value that a function returned."""

    value: object


@dataclass(frozen=True, slots=True)
class Raised:
    """The error that a function raised."""

    error: BaseException


JobOutcome: TypeAlias = Returned | Raised

_left_behind: set["asyncio.Future[JobOutcome]"] = set()


class Slots:
    """A bound on concurrency of `count` slots.

    Unlike a semaphore of asyncio, any thread may release a slot, on any event loop.
    """

    def __init__(self, count: int) -> None:
        """Start with all slots free."""
        self._free = count
        self._lock = threading.Lock()
        self._waiting: deque[Future[None]] = deque()

    async def acquire(self) -> None:
        """Wait for a slot, first come, first served."""
        with self._lock:
            if self._free:
                self._free -= 1
                return
            turn: Future[None] = Future()
            self._waiting.append(turn)
        try:
            await asyncio.wrap_future(turn)
        except asyncio.CancelledError:
            if not turn.cancel():  # the slot came in the same moment
                self.release()
            raise

    def release(self) -> None:
        """Give a slot back, to the caller that has waited longest."""
        with self._lock:
            while self._waiting:
                turn = self._waiting.popleft()
                if turn.set_running_or_notify_cancel():
                    break
            else:
                self._free += 1
                return
        turn.set_result(None)


async def run_job(
    function: Callable[[], object], *, asynchronous: bool, timeout_s: float, slots: Slots
) -> JobOutcome:
    """Call a function as soon as a slot is free.

    A sync function runs in a daemon thread of its own: one that hangs neither blocks the
    interpreter's exit nor takes a thread from a pool that others share. It keeps its slot until
    it really ends, which bounds the number of such threads. An awaitable that it returns is waited
    for on the event loop.

    Raises:
        TimeoutError: It took longer than `timeout_s`, including the wait for a slot. An async
            function is cancelled; a sync one keeps running and its result is dropped.
    """
    loop = asyncio.get_running_loop()
    ends = loop.time() + timeout_s
    try:
        async with asyncio.timeout(timeout_s):
            await slots.acquire()
    except TimeoutError as error:
        raise TimeoutError(
            f"no free slot within {timeout_s:g} s: earlier calls are still running"
        ) from error
    start = _start_task if asynchronous else _start_thread
    try:
        job = start(function, slots.release)
    except RuntimeError as error:  # the machine has no thread left
        slots.release()
        return Raised(error)
    try:
        done, _ = await asyncio.wait({job}, timeout=max(0.0, ends - loop.time()))
    except asyncio.CancelledError:
        _leave(job)
        raise
    if not done:
        _leave(job)
        raise TimeoutError(f"no result within {timeout_s:g} s")
    outcome = job.result()
    if not asynchronous and isinstance(outcome, Returned) and inspect.isawaitable(outcome.value):
        try:
            return await _awaited(outcome.value, timeout_s=ends - loop.time(), slots=slots)
        except TimeoutError as error:
            raise TimeoutError(f"no result within {timeout_s:g} s") from error
    return outcome


async def _awaited(value: Awaitable[object], *, timeout_s: float, slots: Slots) -> JobOutcome:
    """Wait for an awaitable that a sync function returned, such as one around an async function."""
    try:
        rest = max(0.0, timeout_s)
        return await run_job(lambda: value, asynchronous=True, timeout_s=rest, slots=slots)
    finally:
        if inspect.iscoroutine(value) and inspect.getcoroutinestate(value) == "CORO_CREATED":
            value.close()  # it never began


def _leave(job: "asyncio.Future[JobOutcome]") -> None:
    # The loop itself holds tasks by weak references only.
    _left_behind.add(job)
    job.add_done_callback(_left_behind.discard)
    job.cancel()


def _start_task(
    function: Callable[[], object], release: Callable[[], None]
) -> "asyncio.Future[JobOutcome]":
    async def run() -> JobOutcome:
        try:
            return Returned(await cast(Awaitable[object], function()))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - handed to the caller as it is
            return Raised(error)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task and task.cancelling():
                raise
            return Raised(error)  # raised by the function itself: nobody cancelled the call

    task = asyncio.ensure_future(run())
    task.add_done_callback(lambda _: release())  # also where it is cancelled before it began
    return task


def _start_thread(
    function: Callable[[], object], release: Callable[[], None]
) -> "asyncio.Future[JobOutcome]":
    ended: Future[JobOutcome] = Future()
    ended.set_running_or_notify_cancel()  # from now on a caller that leaves cannot cancel it
    context: contextvars.Context = contextvars.copy_context()

    def run() -> None:
        try:
            outcome: JobOutcome = Returned(context.run(cast(Callable[[], Any], function)))
        except BaseException as error:  # noqa: BLE001 - handed to the caller as it is
            outcome = Raised(error)
        release()
        ended.set_result(outcome)

    threading.Thread(target=run, name="ragkit-tool", daemon=True).start()
    return asyncio.wrap_future(ended)


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


def tool_result(
    value: object, *, max_chars: int, text: str | None = None, citations: Sequence[Citation] = ()
) -> ToolResult:
    """Make a result of a string, a JSON value, a pydantic model, a dataclass or a `ToolResult`.

    Args:
        value: The value that the tool returned.
        max_chars: Maximum length of the text that the model is shown; the value stays whole.
        text: Text that the model is shown instead of the value itself.
        citations: The passages that it came from.

    Raises:
        ToolError: The value has no form in JSON.
    """
    if isinstance(value, ToolResult):
        shown, cut = trimmed(value.text, max_chars)
        return replace(value, text=shown, trimmed=value.trimmed or cut)
    plain = _json(value)
    if text is None and plain is None:
        text = _NOTHING
    elif text is None:
        text = plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)
    shown, cut = trimmed(text, max_chars)
    return ToolResult(text=shown, value=plain, trimmed=cut, citations=tuple(citations))


def trimmed(text: str, max_chars: int) -> tuple[str, bool]:
    """Cut a text to `max_chars`, with a mark at the cut; also tells if it was cut."""
    if len(text) <= max_chars:
        return text, False
    mark = f"\n[cut: {len(text):,} characters, the first {max_chars:,} at most are shown]"
    return text[: max(0, max_chars - len(mark))] + mark[-max_chars:], True


def _json(value: object) -> Json:
    if isinstance(value, str):
        # A lone surrogate could neither be stored nor sent.
        return value.encode(errors="surrogatepass").decode(errors="replace")
    try:
        plain: Any = json.loads(to_json(value, inf_nan_mode="strings"))
    except (PydanticSerializationError, ValueError, TypeError, RecursionError) as error:
        raise ToolError(
            f"It returned a {type(value).__name__} that has no form in JSON: {error}"
        ) from error
    return cast(Json, plain)
