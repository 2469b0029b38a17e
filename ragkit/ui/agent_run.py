"""A run of an agent in the background: started, watched, decided about, stopped, kept."""

import functools
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

from langgraph.checkpoint.memory import InMemorySaver
from pydantic import Field
from pydantic_core import to_jsonable_python

from ragkit.agents import Budget, plan_and_execute, react, rewoo, stream
from ragkit.agents.agent import Agent, stream_resumed
from ragkit.agents.approval import Approvals, Decision
from ragkit.agents.events import Event, Finished
from ragkit.agents.tools import calculator, http_get, python, search_documents, sql, tool
from ragkit.core.errors import ConfigError, InputError
from ragkit.core.protocols import LLM, Tool
from ragkit.core.types import Pattern
from ragkit.ui.background import Job
from ragkit.ui.run_events import KeptRun, RunEvent
from ragkit.ui.workspace import Workspace

PATTERNS: Mapping[Pattern, Callable[..., Agent]] = {
    "react": react,
    "rewoo": rewoo,
    "plan": plan_and_execute,
}
PLAIN_TOOLS = ("search_documents", "calculator", "python", "save_note")
"""Tools that need no argument."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentChoices:
    """Choices of an agent.

    Attributes:
        pattern: Its pattern.
        tools: Names of tools; `sql=FILE` and `http_get=HOST+HOST` take an argument.
        model: The language model; the setting's where empty.
        budget: Limits of a run.
        approvals: When a person is asked before a tool that writes.
    """

    pattern: Pattern = "react"
    tools: tuple[str, ...] = ("search_documents", "calculator")
    model: str = ""
    budget: Budget
    approvals: Approvals = "untrusted"


class AgentRun:
    """One run. Its events can be read from any thread while it goes on."""

    def __init__(
        self, workspace: Workspace, choices: AgentChoices, question: str, *, notes: Path
    ) -> None:
        """Start.

        Raises:
            ConfigError: No language model is set, or there is no such tool.
            InputError: The question is empty.
        """
        if not question.strip():
            raise InputError("The question is empty. Fix: write what the agent is to find out.")
        llm = workspace.llm(choices.model or workspace.settings.llm.model)
        if llm is None:
            raise ConfigError(
                "An agent needs a language model, and none is set. Fix: enter one, such as "
                "vllm:http://127.0.0.1:8000, or start with --llm."
            )
        self._workspace, self._choices, self._question = workspace, choices, question
        self._llm, self._notes = llm, notes
        self._events: list[RunEvent] = []
        self._started = time.monotonic()
        self._thread = ""
        self._agent: Agent | None = None
        tools = [tool_of(workspace, name, notes) for name in choices.tools]
        self._job = Job(functools.partial(self._ask, llm, tools))

    @property
    def running(self) -> bool:
        """True while it works; False while a person is waited for, and after its end."""
        return self._job.running

    @property
    def stopped(self) -> bool:
        """True where a person stopped it."""
        return self._job.state == "cancelled"

    @property
    def error(self) -> str:
        """The sentence of its failure, empty without one."""
        return self._job.error

    @property
    def seconds(self) -> float:
        """Seconds of the work that goes on or ended last."""
        return self._job.seconds

    def kept(self) -> KeptRun:
        """Return the run so far."""
        budget = self._choices.budget
        return KeptRun(
            question=self._question,
            pattern=self._choices.pattern,
            model=self._llm.model,
            tools=self._choices.tools,
            limits={"steps": budget.steps, "tokens": budget.tokens, "seconds": budget.seconds},
            events=tuple(self._events),
        )

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until it ends or asks a person, at most so long; returns True where it did."""
        return self._job.wait(seconds)

    def stop(self) -> None:
        """Stop it; its events stay."""
        self._job.cancel()

    def decide(self, decisions: Mapping[str, Decision]) -> None:
        """Continue with decisions by the ids of the calls that wait."""
        self._job = Job(functools.partial(self._resume, dict(decisions)))

    async def _ask(self, llm: LLM, tools: Sequence[Tool]) -> None:
        self._agent = PATTERNS[self._choices.pattern](
            llm,
            tools,
            budget=self._choices.budget,
            approvals=self._choices.approvals,
            checkpointer=InMemorySaver(),
        )
        await self._follow(stream(self._agent, self._question))

    async def _resume(self, decisions: Mapping[str, Decision]) -> None:
        if self._agent is None:
            raise InputError("The run had not begun. Fix: start it again.")
        await self._follow(stream_resumed(self._agent, self._thread, decisions))

    async def _follow(self, events: AsyncGenerator[Event]) -> None:
        async with aclosing(events):
            async for event in events:
                if isinstance(event, Finished):
                    self._thread = event.result.thread
                self._events.append(event_of(event, time.monotonic() - self._started))


def event_of(event: Event, at: float) -> RunEvent:
    """Return an event as it is kept."""
    data: dict[str, Any] = to_jsonable_python(asdict(event))  # Any: fields by the event's kind
    return RunEvent(kind=type(event).__name__, at=at, data=data)


def tool_of(workspace: Workspace, name: str, notes: Path) -> Tool:
    """Return the tool of this name.

    Raises:
        ConfigError: There is no such tool.
    """
    kind, _, argument = name.partition("=")
    made: dict[str, Callable[[], Tool]] = {
        "search_documents": functools.partial(search_documents, workspace.rag),
        "calculator": calculator,
        "python": python,
        "save_note": functools.partial(save_note, notes),
    }
    taking: dict[str, Callable[[], Tool]] = {
        "sql": functools.partial(sql, argument),
        "http_get": functools.partial(http_get, argument.split("+")),
    }
    chosen = taking.get(kind) if argument else made.get(kind)
    if chosen is None:
        known = ", ".join([*made, "sql=FILE", "http_get=HOST+HOST"])
        raise ConfigError(f"There is no tool {name!r}. Fix: use one of {known}.")
    return chosen()


def save_note(path: Path) -> Tool:
    """Return a tool that appends to a file of notes, once a person has agreed."""

    @tool(permission="approve")
    def save_note(text: Annotated[str, Field(min_length=1, max_length=2000)]) -> str:
        """Save a note for the user.

        Args:
            text: The note.

        Returns:
            Where it was saved.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{text}\n\n")
        return "The note was saved."

    return save_note
