"""Tool calls: made at the same time, each through the journal, with failures as observations."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, cast

from langgraph.errors import GraphBubbleUp
from langgraph.types import Send

from ragkit.agents.budget import worked
from ragkit.agents.context import AgentTurn
from ragkit.agents.events import Called, Observed
from ragkit.agents.evidence import trimmed
from ragkit.agents.hooks import refusal_of_hooks, result_of_hooks
from ragkit.agents.journal import CallOutcome, JournalEntry
from ragkit.agents.state import (
    AgentCall,
    AgentState,
    MadeCall,
    Record,
    arguments_of,
    clean,
    digest,
    dumped,
    result_message,
)
from ragkit.core.errors import ToolError
from ragkit.core.operation import Operation
from ragkit.core.protocols import Tool
from ragkit.core.types import Json, ToolResult
from ragkit.grammar import Limits, StepText, ToolSpec
from ragkit.grammar.ebnf.expression import UNBOUNDED
from ragkit.grammar.schema.composition import object_schema

FINISH = "finish"

_UNIT = 16
_SHORT = 200
"""Texts of so few characters, such as a code or a unit, may well be as long as they can be."""

_GRACE_S = 0.05
_VALUE_CHARS = 200_000
"""Characters of a value as JSON that are always kept; those of an observation may be more."""

_REPEATS = 3
_UNKNOWN = (
    "It is not known whether this call had its effect: the run was interrupted while it was made. "
    "It was not made again. Check the effect before calling it again."
)
_CALL_STATE = frozenset({"asked", "run", "path", "fence", "inherited", "spent"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """A call that changes the agent's own course; satisfies `Tool` for the grammar."""

    name: str
    description: str
    parameters: Mapping[str, Json]
    permission: Literal["read"] = field(default="read", init=False)

    @classmethod
    def of_text(cls, name: str, description: str, **argument: str) -> "Control":
        """Return a control with one text as its argument: a name and its description."""
        properties: dict[str, dict[str, Json]] = {
            key: {"type": "string", "description": text} for key, text in argument.items()
        }
        return cls(name=name, description=description, parameters=object_schema(**properties))

    async def call(self, arguments: Mapping[str, Json], *, key: str) -> ToolResult:
        """Never called: the agent acts on the call itself."""
        return ToolResult(text="", value=None)


FINISH_CONTROL = Control.of_text(
    FINISH,
    "Ends the work with the answer to the question.",
    answer="The answer, in full.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolOutcome:
    """A call that is over. `failed` where `text` is the message of a failure.

    `value` is the whole result as JSON; empty where it was too large to keep.
    """

    text: str
    failed: bool
    trimmed: bool = False
    value: str = ""
    citations: tuple[Mapping[str, object], ...] = ()
    seconds: float = 0.0


def specs_of(tools: Iterable[Tool]) -> list[ToolSpec]:
    """Return tools as grammars take them."""
    return [
        ToolSpec(name=tool.name, description=tool.description, parameters=dict(tool.parameters))
        for tool in tools
    ]


def planned_call(
    turn: AgentTurn, tool: str, arguments: Mapping[str, Json], *, step: str, tainted: bool
) -> AgentCall:
    """Return a call as the state keeps it, with the reason to ask a person first, if any.

    Args:
        turn: The node's turn.
        tool: The tool's name.
        arguments: Its arguments.
        step: The call's id in the trace.
        tainted: Whether untrusted text may have shaped the arguments.
    """
    reason = turn.context.reasons.get((tool, tainted), "")
    return AgentCall(
        id=step,
        tool=tool,
        arguments=dumped(dict(arguments)),
        status="ask" if reason else "ready",
        reason=reason,
        tainted=tainted,
    )


def cut_call(call: AgentCall, names: Sequence[str]) -> AgentCall:
    """Return a call that is not made, since the texts of these arguments may have been cut."""
    why = (
        f"Not made: {' and '.join(names)} reached the most characters that the reply could hold, "
        "so the end may be missing. Call it again with less, or in parts."
    )
    return cast("AgentCall", {**call, "status": "ready", "refused": why})


def journal_key(run: str, call: AgentCall) -> str:
    """Return the key of a call: the same after a crash, another where the call differs."""
    return f"{run}:{call['id']}:{digest(call['tool'] + call['arguments'])[:8]}"


def call_sends(state: AgentState, node: str) -> list[Send]:
    """Return one task for each call that is ready, so that each keeps its own interrupts.

    A task gets the part of the state that making a call needs.
    """
    kept = {key: value for key, value in state.items() if key in _CALL_STATE}
    ready = [call for call in state.get("calls", []) if call["status"] == "ready"]
    return [Send(node, {**kept, "calls": [call]}) for call in ready]


async def perform_one(turn: AgentTurn, call: AgentCall) -> MadeCall:
    """Make a call in a task of its own."""
    ends = asyncio.get_running_loop().time() + turn.spare.seconds
    return MadeCall(id=call["id"], outcome=asdict(await perform(turn, call, ends=ends)))


async def perform_all(turn: AgentTurn, calls: Sequence[AgentCall]) -> list[AgentCall]:
    """Make the calls that are ready and were not made in a task; return all in their order."""
    made = {one["id"]: ToolOutcome(**one["outcome"]) for one in turn.state.get("made", [])}
    seconds = max((one.seconds for one in made.values()), default=0.0)
    after: list[AgentCall] = []
    for call in calls:
        if call["status"] != "ready":
            after.append(call)
            continue
        done = made.get(call["id"])
        if done is None:
            done = ToolOutcome(**(await perform_one(turn, call))["outcome"])
            seconds += done.seconds
        after.append(recorded(turn, call, done))
    turn.spent = worked(turn.spent, seconds)
    return after


async def perform(turn: AgentTurn, call: AgentCall, *, ends: float) -> ToolOutcome:
    """Make one call and wait for its end, until the loop's time `ends`; it raises no failure."""
    arguments = arguments_of(call)
    operation = Operation(
        kind="tool",
        name=call["tool"],
        facts={"call": call["id"]},
        content={"arguments": lambda: dict(arguments)},
        expected=(GraphBubbleUp,),  # the call waits for a person
    )
    with operation:
        done = await _performed(turn, call, arguments, ends=ends)
        operation.facts["failed"] = done.failed
        operation.content["result"] = lambda: done.text
    return done


async def _performed(
    turn: AgentTurn, call: AgentCall, arguments: Mapping[str, Json], *, ends: float
) -> ToolOutcome:
    turn.emit(Called(step=call["id"], tool=call["tool"], arguments=arguments))
    loop = asyncio.get_running_loop()
    started = loop.time()
    hooks, step, tool = turn.context.hooks, call["id"], call["tool"]
    refused = call.get("refused") or await refusal_of_hooks(hooks, step, tool, arguments)
    if refused is None:
        outcome = await _journaled(turn, call, arguments, ends=ends)
        if outcome.result is not None:
            result = await result_of_hooks(hooks, step, tool, outcome.result)
            outcome = CallOutcome(result=result)
    else:
        outcome = CallOutcome(error=refused)
    done = _shortened(outcome, turn.context.observation_chars, seconds=loop.time() - started)
    turn.emit(observed(call, done))
    return done


def observed(call: AgentCall, done: ToolOutcome) -> Observed:
    """Return the event of a call that is over."""
    return Observed(
        step=call["id"],
        tool=call["tool"],
        text=done.text,
        failed=done.failed,
        trimmed=done.trimmed,
    )


async def _journaled(
    turn: AgentTurn, call: AgentCall, arguments: Mapping[str, Json], *, ends: float
) -> CallOutcome:
    tool, journal = turn.context.tools[call["tool"]], turn.journal
    key = journal_key(turn.run, call)
    if journal is None:
        return await _outcome(tool, arguments, key=key, ends=ends)
    writes = tool.permission != "read"
    known = await journal.begin(
        JournalEntry(key=key, tool=tool.name, arguments=call["arguments"], writes=writes)
    )
    if known is not None and known.outcome is not None:
        return known.outcome
    if known is not None and not _repeatable(tool):
        outcome = CallOutcome(error=_UNKNOWN)
    else:
        try:
            outcome = await _outcome(tool, arguments, key=key, ends=ends)
        except GraphBubbleUp:
            await journal.forget(key)  # it waits for a person, and begins again afterwards
            raise
    await journal.end(key, outcome)
    return outcome


def _repeatable(tool: Tool) -> bool:
    """Return whether a call that was interrupted may be made again with the same key."""
    return bool(getattr(tool, "repeatable", tool.permission == "read"))


async def _outcome(
    tool: Tool, arguments: Mapping[str, Json], *, key: str, ends: float
) -> CallOutcome:
    """Wait for a tool until the time is over, even if it ignores being cancelled."""
    rest = ends - asyncio.get_running_loop().time()
    task = asyncio.ensure_future(tool.call(arguments, key=key))
    try:
        await asyncio.wait({task}, timeout=None if rest == float("inf") else max(0.0, rest))
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=_GRACE_S)
    if not task.done() or task.cancelled():
        return CallOutcome(error=f"{tool.name} was stopped: the run's time is over.")
    try:
        return CallOutcome(result=task.result())
    except ToolError as error:
        return CallOutcome(error=str(error) or f"{tool.name} failed.")
    except GraphBubbleUp:
        raise
    except Exception as error:  # noqa: BLE001  # a tool may raise anything; the model reads it
        return CallOutcome(error=f"{tool.name} failed: {type(error).__name__}: {error}")


def _shortened(outcome: CallOutcome, characters: int, *, seconds: float) -> ToolOutcome:
    result = outcome.result
    if result is None:
        text = trimmed(clean(outcome.error), characters)
        return ToolOutcome(text=text, failed=True, seconds=seconds)
    text = clean(result.text)
    value = dumped(result.value)
    return ToolOutcome(
        text=trimmed(text, characters),
        failed=False,
        trimmed=result.trimmed or len(text) > characters,
        value=value if len(value) <= max(_VALUE_CHARS, characters) else "",
        citations=tuple(asdict(citation) for citation in result.citations),
        seconds=seconds,
    )


def recorded(turn: AgentTurn, call: AgentCall, done: ToolOutcome) -> AgentCall:
    """Record a call that is over in the trace; return the call with its result."""
    result = turn.keep(done.text)
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
    edited = call.get("edited", False)
    if edited:
        record["edited"] = True
    turn.trace.append(record)
    name = turn.message_id(call["id"])
    turn.messages.append(result_message(name, call["tool"], done.text, failed=done.failed))
    ended = AgentCall(
        id=call["id"],
        tool=call["tool"],
        arguments=call["arguments"],
        status="done",
        edited=edited,
        tainted=call.get("tainted", False),
        result=result,
        failed=done.failed,
    )
    times = _repeats(turn.trace, record)
    if times > 1:
        ended["notice"] = (
            f"This same call has now given this same result {times} times; do something else."
        )
    return ended


def _repeats(trace: Sequence[Record], record: Record) -> int:
    """Return how often this call gave this result so far, this time included."""
    same = [
        one
        for one in trace
        if one["kind"] == "tool"
        and one["name"] == record["name"]
        and one.get("arguments") == record.get("arguments")
        and one.get("result") == record.get("result")
    ]
    return len(same)


def repeated_too_often(turn: AgentTurn, calls: Iterable[str]) -> bool:
    """Return whether one of the calls of these ids gave the same result for the third time."""
    seen = set(calls)
    trace = turn.trace
    return any(_repeats(trace, record) >= _REPEATS for record in trace if record["id"] in seen)


def full_arguments(
    arguments: Mapping[str, object], tool: Tool, limits: Limits | None, *, times: int = 1
) -> list[str]:
    """Return the names of the arguments with a text that fills its bound, so that it may be cut.

    Args:
        arguments: Of a call.
        tool: The tool that is called; a `maxLength` of its schema is a bound too.
        limits: The limits that the reply was decoded under.
        times: How many times as long as other texts one may be.
    """
    bound = UNBOUNDED if limits is None else limits.string_length * times
    # `Any`: a JSON Schema may say anything at this place.
    properties: Any = tool.parameters.get("properties", {})
    return [
        name for name, value in arguments.items() if _full(value, properties.get(name, {}), bound)
    ]


def _full(value: object, schema: Any, bound: int) -> bool:
    """Return whether a text fills its bound, or one in a list, an object or a join does."""
    within: Mapping[str, Any] = {}
    if isinstance(schema, Mapping):
        within = cast("Mapping[str, Any]", schema)
    match value:
        case str():
            # The tokens may bound even short texts, as their schema does on purpose.
            reached = len(value) == bound and not {"enum", "const"} & within.keys()
            return reached or fills(value, min(within.get("maxLength", UNBOUNDED), bound))
        case StepText():
            return any(_full(part, {}, bound) for part in value.parts)
        case Mapping():
            parts = cast("Mapping[str, object]", value)
            inner: Any = within.get("properties", {})
            return any(_full(one, inner.get(name, {}), bound) for name, one in parts.items())
        case list():
            items = cast("list[object]", value)
            return any(_full(one, within.get("items", {}), bound) for one in items)
        case _:
            return False


def fills(text: str, characters: int) -> bool:
    """Return whether a text takes all the room of a string of so many characters.

    An escape may take the place of 16 characters in the grammar of a long string.
    """
    if not _SHORT < characters < UNBOUNDED:
        return False
    escapes = sum(character in '"\\' or character < " " for character in text)
    return len(text) + (_UNIT - 1) * escapes > characters - _UNIT
