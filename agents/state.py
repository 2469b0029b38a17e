"""The state of an agent's graph: plain values that any of LangGraph's checkpointers can keep.

Texts are kept once, by their hash, however many prompts they are part of; arguments and values of
tools are JSON texts, so that every number and key fits a checkpointer's format.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Annotated, Any, Literal, NotRequired, Required, TypeAlias, TypedDict, cast

from langgraph.channels.delta import (  # pyright: ignore[reportMissingTypeStubs]  # it has its types
    DeltaChannel,
)

from ragkit.agents.budget import Amount, Spent
from ragkit.core.types import Citation, Json, Message, Role

StoppedBy: TypeAlias = Literal[
    "finished", "steps", "tokens", "seconds", "cost", "context", "repeats", "model", "approval"
]
"""The reason why a run ended: it answered; a limit was reached; the prompt did not fit the model's
context; a call gave the same result repeatedly; the model failed; or it waits for a person."""

CallStatus: TypeAlias = Literal["ready", "ask", "done"]


class Inherited(TypedDict):
    """The values that an agent receives from the agent that hands a task to it."""

    run: str
    path: str
    fence: str
    tainted: bool
    limits: dict[str, float]
    background: list[list[str]]


class AgentInput(TypedDict):
    """The input of a graph: the question."""

    question: str
    inherited: NotRequired[Inherited]


class Record(TypedDict, total=False):
    """One step of the trace, its texts by hash."""

    id: Required[str]
    kind: Required[Literal["model", "tool", "note"]]
    name: Required[str]
    prompt: list[list[str]]
    reply: str
    usage: list[int]
    seconds: float
    arguments: str
    result: str
    failed: bool
    error: str
    citations: list[dict[str, Any]]


class AgentCall(TypedDict, total=False):
    """A tool call in progress: `id` is its step, `reason` why a person is asked."""

    id: Required[str]
    tool: Required[str]
    arguments: Required[str]
    status: Required[CallStatus]
    reason: str
    refused: str
    tainted: bool
    result: str
    value: str
    failed: bool
    notice: str


class AgentOutput(TypedDict, total=False):
    """The output of a graph; `ragkit.agents.run` makes an `AgentResult` of it.

    `ended_by` is the call that ended a loop, by `name` and `text`.
    """

    answer: str
    citations: list[dict[str, Any]]
    stopped_by: StoppedBy
    trace: list[Record]
    texts: dict[str, str]
    spent: Spent
    ended_by: dict[str, str]


def _with_texts(before: dict[str, str], writes: Sequence[dict[str, str]]) -> dict[str, str]:
    after = dict(before)
    for write in writes:
        after.update(write)
    return after


def _with_records(before: list[Record], writes: Sequence[list[Record]]) -> list[Record]:
    return [*before, *(record for write in writes for record in write)]


class AgentState(AgentInput, AgentOutput, total=False):
    """The state that all agents keep between two nodes.

    Of `trace` and `texts`, a node writes and a checkpoint keeps only what is new.

    `run` names the run for good, `path` is the step of the parent agent, `fence` the mark around
    untrusted text, and `tainted` says whether such text is in the context. `turns` are earlier
    questions of the same thread with their answers.
    """

    trace: Annotated[list[Record], DeltaChannel(_with_records)]
    texts: Annotated[dict[str, str], DeltaChannel(_with_texts)]
    run: str
    path: str
    fence: str
    tainted: bool
    ordinal: int
    turns: list[list[str]]
    messages: list[list[str]]
    calls: list[AgentCall]
    chosen: list[str]


Update: TypeAlias = dict[str, Any]
"""The changes that a node makes: LangGraph merges them into the state."""


def digest(text: str) -> str:
    """Return the name of a text, a hash of it."""
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def clean(text: str) -> str:
    """Return the text with characters replaced that UTF-8 cannot encode."""
    return text.encode("utf-8", "replace").decode()


def dumped(value: object) -> str:
    """Return a value as compact JSON; a value that JSON cannot represent becomes a string."""
    try:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
    except (ValueError, RecursionError, TypeError):
        text = json.dumps(repr(value)[:1000], ensure_ascii=False)
    return clean(text)


def loaded(text: str) -> Json:
    """Return the value of a JSON text that `dumped` wrote."""
    return cast("Json", json.loads(text))


def arguments_of(call: AgentCall) -> dict[str, Json]:
    """Return the arguments of a call."""
    return cast("dict[str, Json]", loaded(call.get("arguments", "{}")))


def waits(state: AgentState) -> bool:
    """Return whether a call waits for a person."""
    return any(call["status"] == "ask" for call in state.get("calls", []))


def citation_of(kept: Mapping[str, Any]) -> Citation:
    """Return a citation from its form in the state."""
    return Citation(**kept)


def message_of(role: str, text: str) -> Message:
    """Return a message from its form in the state."""
    return Message(role=cast("Role", role), content=text)


def limits_to_keep(amount: Amount) -> dict[str, float]:
    """Return the limited parts of an amount, as the state keeps them."""
    given = {field.name: float(getattr(amount, field.name)) for field in fields(amount)}
    return {name: value for name, value in given.items() if value != float("inf")}
