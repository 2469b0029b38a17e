"""Calls of tools: at the same time, each through the journal, failures as observations."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TypeVar

from langgraph.errors import GraphBubbleUp

from ragkit.agents.budget import Amount, worked
from ragkit.agents.events import Called, Observed, emit
from ragkit.agents.journal import Entry, Outcome
from ragkit.agents.parts import Parts
from ragkit.agents.prompting import trimmed
from ragkit.agents.state import Call, Draft, Record, arguments_of, clean, digest, dumped
from ragkit.core.errors import ToolError
from ragkit.core.protocols import Tool
from ragkit.core.types import Json, ToolResult

T = TypeVar("T")

_GRACE_S = 0.05
_VALUE_CHARS = 200_000
_REPEATS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A call that is over. `failed` where `text` is the message of a failure."""

    text: str
    failed: bool
    trimmed: bool = False
    value: str = ""
    citations: tuple[Mapping[str, object], ...] = ()
    seconds: float = 0.0


def planned_call(
    parts: Parts, *, step: str, tool: str, arguments: Mapping[str, Json], tainted: bool
) -> Call:
    """A call as it is kept in the state, with the reason to ask a person first, if there is one.

    Args:
        parts: Of the agent.
        step: The call's id in the trace.
        tool: Its tool's name.
        arguments: Its arguments.
        tainted: Whether untrusted text may have shaped the arguments.
    """
    reason = reason_to_ask(parts, tool, tainted=tainted)
    return Call(
        id=step,
        tool=tool,
        arguments=dumped(dict(arguments)),
        status="ask" if reason else "ready",
        reason=reason,
        tainted=tainted,
    )


def reason_to_ask(parts: Parts, tool: str, *, tainted: bool) -> str:
    """Why a person must agree to a call of this tool; empty where none needs to."""
    permission = parts.tools[tool].permission
    if permission == "approve":
        return f"{tool} always needs approval."
    if permission == "write" and parts.approvals == "always":
        return f"{tool} changes something, and every change needs approval."
    if permission == "write" and parts.approvals == "untrusted" and tainted:
        return f"{tool} changes something, and its arguments may come from untrusted text."
    return ""


def journal_key(run: str, call: Call) -> str:
    """The key of a call: the same after a crash, and another where the model decided otherwise."""
    return f"{run}:{call['id']}:{digest(call['tool'] + call['arguments'])[:8]}"


async def perform(parts: Parts, draft: Draft, call: Call, *, timeout_s: float | None) -> Done:
    """Make one call and wait for its end; it never fails but by cancellation."""
    arguments = arguments_of(call)
    emit(Called(step=call["id"], tool=call["tool"], arguments=arguments))
    loop = asyncio.get_running_loop()
    started = loop.time()
    refused = call.get("refused")
    if refused is None:
        entry = Entry(
            key=journal_key(draft.run, call), tool=call["tool"], arguments=call["arguments"]
        )
        outcome = await _journaled(parts, entry, arguments, timeout_s=timeout_s)
    else:
        outcome = Outcome(error=refused)
    done = _done(outcome, parts.observation_chars, seconds=loop.time() - started)
    emit(observed(call, done))
    return done


def observed(call: Call, done: Done) -> Observed:
    """The event of a call that is over."""
    return Observed(
        step=call["id"],
        tool=call["tool"],
        text=done.text,
        failed=done.failed,
        trimmed=done.trimmed,
    )


async def _journaled(
    parts: Parts, entry: Entry, arguments: Mapping[str, Json], *, timeout_s: float | None
) -> Outcome:
    known = await parts.journal.begin(entry)
    if known is not None:
        return known
    outcome = await _outcome(parts.tools[entry.tool], arguments, key=entry.key, timeout_s=timeout_s)
    await parts.journal.end(entry.key, outcome)
    return outcome


async def _outcome(
    tool: Tool, arguments: Mapping[str, Json], *, key: str, timeout_s: float | None
) -> Outcome:
    """Wait for a tool no longer than the time that is left, even if it ignores being cancelled."""
    task = asyncio.ensure_future(tool.call(arguments, key=key))
    try:
        await asyncio.wait({task}, timeout=timeout_s)
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=_GRACE_S)
    if not task.done() or task.cancelled():
        return Outcome(error=f"{tool.name} was stopped: the run's time is over.")
    return _ended(tool, task)


def _ended(tool: Tool, task: "asyncio.Future[ToolResult]") -> Outcome:
    try:
        return Outcome(result=task.result())
    except ToolError as error:
        return Outcome(error=str(error) or f"{tool.name} failed.")
    except GraphBubbleUp:
        raise
    except Exception as error:  # noqa: BLE001  # a tool may raise anything; the model is told
        return Outcome(error=f"{tool.name} failed: {type(error).__name__}: {error}")


def _done(outcome: Outcome, characters: int, *, seconds: float) -> Done:
    result = outcome.result
    if result is None:
        return Done(text=trimmed(clean(outcome.error), characters), failed=True, seconds=seconds)
    text = clean(result.text)
    value = dumped(result.value)
    return Done(
        text=trimmed(text, characters),
        failed=False,
        trimmed=result.trimmed or len(text) > characters,
        value=value if len(value) <= _VALUE_CHARS else "",
        citations=tuple(asdict(citation) for citation in result.citations),
        seconds=seconds,
    )


def recorded(draft: Draft, call: Call, done: Done) -> Call:
    """Note a call that is over in the trace; the call with its result."""
    result = draft.keep(done.text)
    record = Record(
        id=call["id"],
        kind="tool",
        name=call["tool"],
        arguments=call["arguments"],
        result=result,
        failed=done.failed,
        seconds=done.seconds,
    )
    if done.citations:
        record["citations"] = [dict(citation) for citation in done.citations]
    draft.add(record)
    ended = Call(
        id=call["id"],
        tool=call["tool"],
        arguments=call["arguments"],
        status="done",
        tainted=call.get("tainted", False),
        result=result,
        failed=done.failed,
    )
    times = repeats(draft.trace, record)
    if times > 1:
        ended["notice"] = (
            f"This same call has now given this same result {times} times; do something else."
        )
    return ended


def repeats(trace: Sequence[Record], record: Record) -> int:
    """How often this call gave this result so far, this time included."""
    same = [
        one
        for one in trace
        if one["kind"] == "tool"
        and one["name"] == record["name"]
        and one.get("arguments") == record.get("arguments")
        and one.get("result") == record.get("result")
    ]
    return len(same)


def repeated_too_often(trace: Sequence[Record], calls: Sequence[str]) -> bool:
    """Whether one of the calls of these ids gave the same result for the third time."""
    seen = set(calls)
    return any(repeats(trace, record) >= _REPEATS for record in trace if record["id"] in seen)


async def perform_all(
    parts: Parts, draft: Draft, calls: Sequence[Call], left: Amount
) -> list[Call]:
    """Make the calls that are ready, at the same time; all calls in their order."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    gate = asyncio.Semaphore(parts.parallel)
    timeout = None if left.seconds == float("inf") else left.seconds

    async def one(call: Call) -> Done:
        async with gate:
            rest = None if timeout is None else max(0.0, timeout - (loop.time() - started))
            return await perform(parts, draft, call, timeout_s=rest)

    ready = [call for call in calls if call["status"] == "ready"]
    ended = await asyncio.gather(*(one(call) for call in ready), return_exceptions=True)
    for result in ended:
        if isinstance(result, BaseException):
            raise result
    done = {
        call["id"]: recorded(draft, call, result)
        for call, result in zip(ready, ended, strict=True)
        if isinstance(result, Done)
    }
    draft.spent = worked(draft.spent, loop.time() - started)
    return [done.get(call["id"], call) for call in calls]
