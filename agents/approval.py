"""Human approval of tool calls: the reason to ask, the interrupt, and the decisions.

Interrupts and decisions have the form of LangChain's human-in-the-loop middleware, which chat
clients such as agent-chat-ui render.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast, get_args

from langchain_core.messages import AIMessage, AnyMessage
from langgraph.config import get_config
from langgraph.types import interrupt
from pydantic import BaseModel, ConfigDict, ValidationError

from ragkit.agents.context import AgentContext
from ragkit.agents.events import Asked
from ragkit.agents.state import AgentCall, AgentState, Update, arguments_of, dumped, loaded
from ragkit.core.errors import ConfigError, InputError
from ragkit.core.protocols import Tool
from ragkit.core.types import Json, Permission
from ragkit.grammar import json_grammar

Approvals: TypeAlias = Literal["untrusted", "always", "never"]
"""When a person is asked before a `write` tool: once untrusted text is in the context of the call,
each time, or never. An `approve` tool always asks."""

Decision: TypeAlias = dict[str, Any]
"""The value to resume with: `approve()`, `edit(arguments)` or `refuse(reason)`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """A call that waits for a person.

    Attributes:
        id: The name to use when several wait: `resume(agent, thread, {id: approve()})`.
        step: Its id in the trace; empty where a tool interrupts the run by itself.
        tool: The tool's name; empty where a tool interrupts the run by itself.
        arguments: As the model wrote them.
        reason: Why a person is asked, or the value of a tool's own interrupt.
        problem: The problem of the decision before, if one could not be used.
    """

    id: str
    step: str
    tool: str
    arguments: Mapping[str, Json]
    reason: str
    problem: str = ""


def approve() -> Decision:
    """Return the decision to make the call as it is."""
    return {"type": "approve"}


def edit(arguments: Mapping[str, Json]) -> Decision:
    """Return the decision to make the call with these arguments.

    Raises:
        InputError: They are no mapping, such as a list that was read from JSON.
    """
    if not isinstance(arguments, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InputError(
            f"The arguments are {arguments!r:.200}, which is no object. "
            "Fix: give an object with a value for each argument."
        )
    return {"type": "edit", "edited_action": {"args": dict(arguments)}}


def refuse(reason: str = "") -> Decision:
    """Return the decision not to make the call; the model reads the reason."""
    return {"type": "reject", "message": reason}


def approval_reasons(tools: Iterable[Tool], approvals: Approvals) -> dict[tuple[str, bool], str]:
    """Return why a person is asked before a call, by tool and whether the arguments are tainted.

    Tools that need no approval are left out.

    Raises:
        ConfigError: `approvals` is unknown.
        InputError: A tool's permission is unknown.
    """
    if approvals not in get_args(Approvals):
        raise ConfigError(f"approvals is {approvals!r}. Fix: use one of {get_args(Approvals)!r}.")
    reasons: dict[tuple[str, bool], str] = {}
    for tool in tools:
        name = tool.name
        if tool.permission not in get_args(Permission):
            raise InputError(
                f"The permission of the tool {name!r} is {tool.permission!r}. "
                f"Fix: use one of {get_args(Permission)!r}."
            )
        if tool.permission == "approve":
            always = f"{name} always needs approval."
            reasons |= {(name, False): always, (name, True): always}
        elif tool.permission == "write" and approvals == "always":
            change = f"{name} changes something, and every change needs approval."
            reasons |= {(name, False): change, (name, True): change}
        elif tool.permission == "write" and approvals == "untrusted":
            reasons[name, True] = (
                f"{name} changes something, and its arguments may come from untrusted text."
            )
    return reasons


async def approval_node(context: AgentContext, state: AgentState) -> Update:
    """Ask a person about all calls that wait, in one interrupt: the node `approve` of a graph.

    A call whose decision is missing or cannot be used goes on waiting. Without a checkpointer
    nobody can be asked, and the calls are refused.
    """
    turn, calls = context.turn(state), list(state.get("calls", []))
    waiting = [position for position, call in enumerate(calls) if call["status"] == "ask"]
    asked = [calls[position] for position in waiting]
    if not turn.resumable:
        why = "Not done: it needs a person's approval, and nobody can be asked in this run."
        decided = [_ready(call, refused=why) for call in asked]
    else:
        for call in asked:
            given, reason = arguments_of(call), call.get("reason", "")
            turn.emit(Asked(step=call["id"], tool=call["tool"], arguments=given, reason=reason))
        answer: object = interrupt({**_request(asked), "place": _place()})
        decided = _decided(context.tools, asked, answer)
    for position, call in zip(waiting, decided, strict=True):
        calls[position] = call
    edited = {
        turn.message_id(call["id"]): arguments_of(call) for call in decided if call.get("edited")
    }
    messages = _with_arguments(state.get("messages", []), edited)
    return {"calls": calls, "messages": messages} if messages else {"calls": calls}


def _place() -> str:
    """Return the namespace of the checkpoints of the graph at work: the task's, without its end."""
    return str(get_config().get("configurable", {}).get("checkpoint_ns", "")).rpartition("|")[0]


def place_of(value: object) -> str:
    """Return the namespace of the graph that an interrupt came from; empty where it is not known.

    The agent itself has the empty namespace, an agent below it one of its own.
    """
    try:
        return _Request.model_validate(value).place
    except ValidationError:
        return ""


def _with_arguments(
    messages: Iterable[AnyMessage], changed: Mapping[str, dict[str, Json]]
) -> list[AnyMessage]:
    """Return the messages that make calls of these ids, with the arguments that replace theirs."""
    found: list[AnyMessage] = []
    for message in messages:
        if isinstance(message, AIMessage) and any(c["id"] in changed for c in message.tool_calls):
            calls = [
                {**one, "args": changed.get(str(one["id"]), one["args"])}
                for one in message.tool_calls
            ]
            found.append(message.model_copy(update={"tool_calls": calls}))
    return found


def pending_of(interrupt_id: str, value: object) -> list[Pending]:
    """Return the calls of an interrupt; one of a tool's own is shown with its value."""
    try:
        request = _Request.model_validate(value)
    except ValidationError:
        reason = value if isinstance(value, str) else dumped(value)
        return [Pending(id=interrupt_id, step="", tool="", arguments={}, reason=reason)]
    return [
        Pending(
            id=f"{interrupt_id}.{number}",
            step=action.step,
            tool=action.name,
            arguments=action.args,
            reason=action.reason,
            problem=action.problem,
        )
        for number, action in enumerate(request.action_requests)
    ]


def resume_values(
    waiting: Mapping[str, Sequence[Pending]], decisions: Mapping[str, object]
) -> dict[str, object]:
    """Return the value to resume each interrupt with, by its id.

    Args:
        waiting: The calls of each interrupt.
        decisions: The decisions by the id of the call.
    """
    values: dict[str, object] = {}
    for name, calls in waiting.items():
        if not any(call.id in decisions for call in calls):
            continue
        if [call.id for call in calls] == [name]:
            values[name] = decisions[name]
        else:
            given = [decisions.get(call.id, {"type": "wait"}) for call in calls]
            values[name] = {"decisions": given}
    return values


class _ActionRequest(BaseModel):
    """A call as chat clients show it; the last three are ragkit's own."""

    name: str
    args: dict[str, Any]
    description: str
    step: str = ""
    reason: str = ""
    problem: str = ""


class _Request(BaseModel):
    """An interrupt's value: the form of LangChain's middleware, which chat clients render."""

    action_requests: list[_ActionRequest]
    place: str = ""


def _request(calls: Sequence[AgentCall]) -> dict[str, Json]:
    requests: list[Json] = []
    for call in calls:
        reason, problem = call.get("reason", ""), call.get("problem", "")
        requests.append(
            {
                "name": call["tool"],
                "args": arguments_of(call),
                "description": f"{reason}\n{problem}".strip(),
                "step": call["id"],
                "reason": reason,
                "problem": problem,
            }
        )
    allowed: list[Json] = ["approve", "edit", "reject"]
    names = dict.fromkeys(call["tool"] for call in calls)
    reviews: list[Json] = [{"action_name": name, "allowed_decisions": [*allowed]} for name in names]
    return {"action_requests": requests, "review_configs": reviews}


class _EditedAction(BaseModel):
    """The call that is made instead."""

    model_config = ConfigDict(extra="forbid")

    name: str = ""
    args: dict[str, Any]


class _DecisionMessage(BaseModel):
    """The decision about one call."""

    model_config = ConfigDict(extra="forbid", strict=True)

    type: Literal["approve", "edit", "reject", "wait"]
    edited_action: _EditedAction | None = None
    message: str = ""


class _Answer(BaseModel):
    """The decisions about the calls of an interrupt, in their order."""

    model_config = ConfigDict(extra="forbid")

    decisions: list[Any]


def _decided(
    tools: Mapping[str, Tool], calls: Sequence[AgentCall], answer: object
) -> list[AgentCall]:
    """Return the calls with the decisions taken in; one that cannot be used names its problem."""
    try:
        decisions = _Answer.model_validate(answer).decisions
    except ValidationError:
        decisions = [answer] if len(calls) == 1 else []
    if len(decisions) != len(calls):
        problem = (
            f"{answer!r:.200} has no decision for each of the {len(calls)} calls. "
            'Fix: send {"decisions": [approve(), ...]} in their order.'
        )
        return [_waiting(call, problem) for call in calls]
    decided: list[AgentCall] = []
    for call, decision in zip(calls, decisions, strict=True):
        try:
            decided.append(_taken(tools[call["tool"]], call, decision))
        except InputError as error:
            decided.append(_waiting(call, str(error)))
    return decided


def _taken(tool: Tool, call: AgentCall, given: object) -> AgentCall:
    try:
        decision = _DecisionMessage.model_validate(given)
    except ValidationError as error:
        raise InputError(
            f"{given!r:.200} is no decision. Fix: send approve(), edit(arguments) or "
            "refuse(reason)."
        ) from error
    if decision.type == "wait":
        return call
    if decision.type == "reject":
        said = f": {decision.message}" if decision.message else "."
        return _ready(call, refused=f"A person refused this{said}")
    if decision.type == "approve":
        return _ready(call)
    edited = decision.edited_action
    if edited is None or edited.name not in {"", tool.name}:
        raise InputError(f"{given!r:.200} edits no call of {tool.name}. Fix: send edit(arguments).")
    arguments = dumped(edited.args)
    json_grammar(dict(tool.parameters)).parse(arguments)
    if loaded(arguments) == arguments_of(call):
        return _ready(call)
    return _ready(call, arguments=arguments, edited=True)


def _ready(call: AgentCall, **changes: str | bool) -> AgentCall:
    return cast("AgentCall", {**call, "status": "ready", "problem": "", **changes})


def _waiting(call: AgentCall, problem: str) -> AgentCall:
    return cast("AgentCall", {**call, "problem": problem})
