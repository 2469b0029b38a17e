"""Human approval of tool calls: the reason to ask, the interrupt, and the decision."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast, get_args

from langgraph.config import get_config
from langgraph.types import interrupt
from pydantic import BaseModel, ConfigDict, ValidationError

from ragkit.agents.context import AgentContext, AgentTurn
from ragkit.agents.events import Asked
from ragkit.agents.state import AgentCall, AgentState, Update, arguments_of, dumped
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
        step: Its id in the trace.
        tool: The tool's name.
        arguments: As the model wrote them.
        reason: Why a person is asked.
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
    return {"decision": "approve"}


def edit(arguments: Mapping[str, Json]) -> Decision:
    """Return the decision to make the call with these arguments."""
    return {"decision": "edit", "arguments": dict(arguments)}


def refuse(reason: str = "") -> Decision:
    """Return the decision not to make the call; the model reads the reason."""
    return {"decision": "refuse", "reason": reason}


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
    """Ask a person about the first call that waits: the node `approve` of a graph."""
    calls = list(state.get("calls", []))
    position = next(i for i, call in enumerate(calls) if call["status"] == "ask")
    calls[position] = decide(context.turn(state), calls[position])
    return {"calls": calls}


def decide(turn: AgentTurn, call: AgentCall) -> AgentCall:
    """Ask a person about a call; return the call, ready to be made or refused.

    Without a checkpointer nobody can be asked, and the call is refused.
    """
    if "thread_id" not in get_config().get("configurable", {}):
        why = "Not done: it needs a person's approval, and nobody can be asked in this run."
        return cast("AgentCall", {**call, "status": "ready", "refused": why})
    arguments, reason = arguments_of(call), call.get("reason", "")
    turn.emit(Asked(step=call["id"], tool=call["tool"], arguments=arguments, reason=reason))
    shown: dict[str, Json] = {
        "step": call["id"],
        "tool": call["tool"],
        "arguments": arguments,
        "reason": reason,
    }
    while True:
        answer: object = interrupt(shown)
        try:
            return _decided(turn.context.tools[call["tool"]], call, answer)
        except InputError as error:
            shown = {**shown, "problem": str(error)}


class _DecisionMessage(BaseModel):
    """The value that a person sends."""

    model_config = ConfigDict(extra="forbid", strict=True)

    decision: Literal["approve", "edit", "refuse"]
    arguments: dict[str, Any] | None = None
    reason: str = ""


def _decided(tool: Tool, call: AgentCall, answer: object) -> AgentCall:
    try:
        decision = _DecisionMessage.model_validate(answer)
    except ValidationError as error:
        raise InputError(
            f"{answer!r:.200} is no decision. Fix: send approve(), edit(arguments) or "
            "refuse(reason)."
        ) from error
    if decision.decision == "refuse":
        said = f": {decision.reason}" if decision.reason else "."
        return cast(
            "AgentCall", {**call, "status": "ready", "refused": f"A person refused this{said}"}
        )
    if decision.decision == "edit":
        arguments = dumped(decision.arguments or {})
        json_grammar(dict(tool.parameters)).parse(arguments)
        return cast("AgentCall", {**call, "status": "ready", "arguments": arguments})
    return cast("AgentCall", {**call, "status": "ready"})
