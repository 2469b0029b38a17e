"""The events of a run, which a user interface shows while an agent works.

In LangGraph's stream mode `custom` over a network, `kind` says which event an object is.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

from ragkit.core.types import Json

if TYPE_CHECKING:
    from ragkit.agents.result import AgentResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Thought:
    """A piece of the model's thought before it acts, as it is decoded."""

    kind: Literal["thought"] = field(default="thought", init=False)
    step: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A plan: the label and the text of each step."""

    kind: Literal["plan"] = field(default="plan", init=False)
    step: str
    steps: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Called:
    """A tool is called."""

    kind: Literal["call"] = field(default="call", init=False)
    step: str
    tool: str
    arguments: Mapping[str, Json]


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """A tool's call is over; `text` is the part of the result that the model is shown."""

    kind: Literal["observation"] = field(default="observation", init=False)
    step: str
    tool: str
    text: str
    failed: bool
    trimmed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A call waits for a person; `reason` says why."""

    kind: Literal["approval"] = field(default="approval", init=False)
    step: str
    tool: str
    arguments: Mapping[str, Json]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Noticed:
    """A step that the run took by itself: tools chosen, text trimmed."""

    kind: Literal["note"] = field(default="note", init=False)
    step: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerText:
    """A piece of the run's answer, as it is decoded; answers of agents below are left out.

    An answer that is chosen among drafts (`reflect`, `self_consistency`) is one piece, once it is.
    """

    kind: Literal["answer"] = field(default="answer", init=False)
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """The usage of the run so far, after a call of the model."""

    kind: Literal["usage"] = field(default="usage", init=False)
    steps: int
    tokens: int
    seconds: float
    cost: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The last event: the run's result."""

    kind: Literal["finished"] = field(default="finished", init=False)
    result: "AgentResult"


Event: TypeAlias = (
    Thought | Planned | Called | Observed | Asked | Noticed | AnswerText | Used | Finished
)
