"""A person's word on a call: the graph is interrupted, the call shown, the decision taken."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from langgraph.config import get_config
from langgraph.types import interrupt
from pydantic import BaseModel, ConfigDict, ValidationError

from ragkit.agents.events import Asked, emit
from ragkit.agents.parts import Parts, specs_of
from ragkit.agents.state import AgentState, Call, Update, arguments_of, dumped
from ragkit.core.errors import InputError
from ragkit.core.types import Json
from ragkit.grammar import json_grammar


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """A call that waits for a person.

    Attributes:
        id: What to name when several wait: `resume(agent, thread, {id: approve()})`.
        step: Its id in the trace.
        tool: The tool's name.
        arguments: As the model wrote them.
        reason: Why a person is asked.
        problem: What was wrong with the decision before, if one could not be used.
    """

    id: str
    step: str
    tool: str
    arguments: Mapping[str, Json]
    reason: str
    problem: str = ""


class _Decision(BaseModel):
    """What a person sends."""

    model_config = ConfigDict(extra="forbid", strict=True)

    decision: Literal["approve", "edit", "refuse"]
    arguments: dict[str, Any] | None = None
    reason: str = ""


Decision = dict[str, Any]
"""What to resume with: `approve()`, `edit(arguments)` or `refuse(reason)`."""


def approve() -> Decision:
    """Let the call be made as it is."""
    return {"decision": "approve"}


def edit(arguments: Mapping[str, Json]) -> Decision:
    """Let the call be made with these arguments."""
    return {"decision": "edit", "arguments": dict(arguments)}


def refuse(reason: str = "") -> Decision:
    """Don't let the call be made; the model is told the reason."""
    return {"decision": "refuse", "reason": reason}


def decide(parts: Parts, call: Call) -> Call:
    """Ask a person about a call; the call, ready to be made or refused.

    Without a checkpointer nobody can be asked, and the call is refused.
    """
    if "thread_id" not in get_config().get("configurable", {}):
        why = "Not done: it needs a person's approval, and nobody can be asked in this run."
        return cast("Call", {**call, "status": "ready", "refused": why})
    shown: dict[str, Json] = {
        "step": call["id"],
        "tool": call["tool"],
        "arguments": arguments_of(call),
        "reason": call.get("reason", ""),
    }
    emit(
        Asked(
            step=call["id"],
            tool=call["tool"],
            arguments=arguments_of(call),
            reason=call.get("reason", ""),
        )
    )
    while True:
        answer: object = interrupt(shown)
        try:
            return _decided(parts, call, answer)
        except InputError as error:
            shown = {**shown, "problem": str(error)}


def _decided(parts: Parts, call: Call, answer: object) -> Call:
    try:
        decision = _Decision.model_validate(answer)
    except ValidationError as error:
        raise InputError(
            f"{answer!r:.200} is no decision; send approve(), edit(arguments) or refuse(reason)."
        ) from error
    if decision.decision == "refuse":
        said = f": {decision.reason}" if decision.reason else "."
        return cast("Call", {**call, "status": "ready", "refused": f"A person refused this{said}"})
    if decision.decision == "edit":
        arguments = dumped(decision.arguments or {})
        spec = specs_of([parts.tools[call["tool"]]])[0]
        json_grammar(dict(spec.parameters)).parse(arguments)
        return cast("Call", {**call, "status": "ready", "arguments": arguments})
    return cast("Call", {**call, "status": "ready"})


def approval_node(parts: Parts, state: AgentState) -> Update:
    """The node that asks about the first call that waits."""
    calls = list(state.get("calls", []))
    position = next(i for i, call in enumerate(calls) if call["status"] == "ask")
    calls[position] = decide(parts, calls[position])
    return {"calls": calls}


def waits(state: AgentState) -> bool:
    """Whether a call waits for a person."""
    return any(call["status"] == "ask" for call in state.get("calls", []))
