"""The state of an agent's graph: plain values that any of LangGraph's checkpointers can keep.

Texts are kept once, by their hash, however many prompts they are part of; arguments and values of
tools are JSON texts, so that no number or key is beyond a checkpointer's format.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Annotated, Any, Literal, NotRequired, Required, TypeAlias, TypedDict, cast

from langgraph.channels.delta import (  # pyright: ignore[reportMissingTypeStubs]  # it has its types
    DeltaChannel,
)
from langgraph.types import Overwrite

from ragkit.agents.budget import Amount, Spent, nothing_spent
from ragkit.core.types import Citation, Json, Message, Role

StoppedBy: TypeAlias = Literal[
    "finished", "steps", "tokens", "seconds", "cost", "context", "repeats", "model", "approval"
]
"""Why a run ended: it answered; a limit was reached; the prompt did not fit the model's context;
the same call gave the same result again and again; the model failed; or it waits for a person."""

CallStatus: TypeAlias = Literal["ready", "ask", "done"]


class Inherited(TypedDict):
    """What an agent gets from the agent that hands a task to it."""

    run: str
    path: str
    fence: str
    tainted: bool
    limits: dict[str, float]
    background: list[list[str]]


class AgentInput(TypedDict):
    """What to give a graph: the question."""

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


class Call(TypedDict, total=False):
    """A call of a tool on its way: `id` is its step, `reason` why a person is asked."""

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
    """What a graph ends with; `ragkit.agents.run` makes an `AgentResult` of it.

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
    """What all agents keep between two nodes.

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
    calls: list[Call]
    chosen: list[str]


Update: TypeAlias = dict[str, Any]
"""What a node changes: LangGraph merges it into the state."""


def digest(text: str) -> str:
    """The name of a text."""
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def clean(text: str) -> str:
    """The text without what UTF-8 cannot write."""
    return text.encode("utf-8", "replace").decode()


def dumped(value: object) -> str:
    """A value as canonical JSON; what JSON cannot say becomes a text."""
    try:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
    except (ValueError, RecursionError, TypeError):
        text = json.dumps(repr(value)[:1000], ensure_ascii=False)
    return clean(text)


def loaded(text: str) -> Json:
    """The value of a JSON text that `dumped` wrote."""
    return cast("Json", json.loads(text))


def arguments_of(call: Call) -> dict[str, Json]:
    """The arguments of a call."""
    return cast("dict[str, Json]", loaded(call.get("arguments", "{}")))


def citation_of(kept: Mapping[str, Any]) -> Citation:
    """A citation as it is kept in the state."""
    return Citation(**kept)


def message_of(role: str, text: str) -> Message:
    """A message as it is kept in the state."""
    return Message(role=cast("Role", role), content=text)


def limits_to_keep(amount: Amount) -> dict[str, float]:
    """An amount as it is kept in the state: only what is limited."""
    given = {field.name: float(getattr(amount, field.name)) for field in fields(amount)}
    return {name: value for name, value in given.items() if value != float("inf")}


class Draft:
    """The update that a node prepares: trace, texts and ledger, copied from the state."""

    def __init__(self, state: AgentState) -> None:
        """Copy what changes."""
        self.texts = dict(state.get("texts", {}))
        self.trace = list(state.get("trace", []))
        self.spent: Spent = state.get("spent") or nothing_spent()
        self.path = state.get("path", "")
        self.fence = state.get("fence", "")
        self.run = state.get("run", "")
        self._known = frozenset(self.texts)
        self._recorded = len(self.trace)

    def keep(self, text: str) -> str:
        """Keep a text; its name."""
        text = clean(text)
        name = digest(text)
        self.texts[name] = text
        return name

    def keep_messages(self, messages: Iterable[Message]) -> list[list[str]]:
        """Keep the texts of messages."""
        return [[message.role, self.keep(message.content)] for message in messages]

    def next_step(self) -> str:
        """The id of the next step of this agent: 1, 2, ..., after the path of its parent."""
        start = len(self.path)
        own = (r["id"][start:] for r in self.trace if r["id"].startswith(self.path))
        return f"{self.path}{sum('.' not in part and '/' not in part for part in own) + 1}"

    def add(self, record: Record) -> None:
        """Append a step."""
        self.trace.append(record)

    def take(self, other: AgentOutput) -> None:
        """Append the steps and texts of an agent that worked for this one."""
        self.trace.extend(other.get("trace", []))
        self.texts.update(other.get("texts", {}))

    def update(self, **changes: Any) -> Update:
        """The node's update."""
        mine: Update = {
            "texts": {name: text for name, text in self.texts.items() if name not in self._known},
            "trace": self.trace[self._recorded :],
            "spent": self.spent,
        }
        return {**mine, **changes}

    def first(self, **changes: Any) -> Update:
        """The update of the node that begins a run: nothing of an earlier one stays."""
        fresh = {"texts": Overwrite(self.texts), "trace": Overwrite(self.trace)}
        return {**self.update(**changes), **fresh}
