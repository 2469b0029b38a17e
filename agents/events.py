"""The events of a run, which a user interface shows while an agent works."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from ragkit.core.types import Json

if TYPE_CHECKING:
    from ragkit.agents.result import AgentResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Thought:
    """A piece of the model's thought before it acts, as it is decoded."""

    step: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A plan: the label and the text of each step."""

    step: str
    steps: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Called:
    """A tool is called."""

    step: str
    tool: str
    arguments: Mapping[str, Json]


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """A tool's call is over; `text` is the part of the result that the model is shown."""

    step: str
    tool: str
    text: str
    failed: bool
    trimmed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A call waits for a person; `reason` says why."""

    step: str
    tool: str
    arguments: Mapping[str, Json]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Noticed:
    """A step that the run took by itself: tools chosen, text trimmed."""

    step: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerText:
    """A piece of the answer, as it is decoded."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """The usage of the run so far, after a call of the model."""

    steps: int
    tokens: int
    seconds: float
    cost: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The last event: the run's result."""

    result: "AgentResult"


Event: TypeAlias = (
    Thought | Planned | Called | Observed | Asked | Noticed | AnswerText | Used | Finished
)
