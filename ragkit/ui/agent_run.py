"""A run of an agent in the background: started, watched, decided about, stopped, kept."""

import functools
import threading
import time
import uuid
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field
from pydantic_core import to_jsonable_python

from ragkit.agents import plan_and_execute, react, rewoo, stream
from ragkit.agents.agent import Agent, stream_resumed
from ragkit.agents.approval import Decision
from ragkit.agents.events import Event, Finished
from ragkit.agents.tools import calculator, http_get, python, search_documents, sql, tool
from ragkit.answering.conversations import Owner
from ragkit.core.errors import ConfigError, InputError
from ragkit.core.protocols import Tool
from ragkit.core.sync import run_sync
from ragkit.core.types import Pattern
from ragkit.ui.background import Job
from ragkit.ui.run_events import KeptRun, RunEvent, run_view
from ragkit.ui.run_store import AgentChoices, WaitingRun
from ragkit.ui.workspace import Workspace

PATTERNS: Mapping[Pattern, Callable[..., Agent]] = {
    "react": react,
    "rewoo": rewoo,
    "plan": plan_and_execute,
}
PLAIN_TOOLS = ("search_documents", "calculator", "python", "save_note")
"""Tools that need no argument."""


class AgentRun:
    """One run. Its events can be read from any thread while it goes on."""

    def __init__(
        self,
        workspace: Workspace,
        choices: AgentChoices,
        question: str,
        *,
        owner: Owner,
        waiting: WaitingRun | None = None,
    ) -> None:
        """Start, or take up a run that waits.

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
        self._llm, self._owner = llm, owner
        self._events: list[RunEvent] = [*waiting.kept.events] if waiting else []
        self._before = self._events[-1].at if self._events else 0.0
        self._thread = waiting.thread if waiting else uuid.uuid4().hex
        notes = workspace.agent_store.folder(owner) / "notes.md"
        self._tools = [tool_of(workspace, name, notes) for name in choices.tools]
        self._deciding = threading.Lock()
        self._job: Job[None] | None = None if waiting else Job(self._ask)

    @classmethod
    def taken_up(cls, workspace: Workspace, owner: Owner) -> "AgentRun | None":
        """Return the owner's run that waited when the application ended, None without one.

        Raises:
            ConfigError: Its language model or a tool is no longer there.
            InputError: It cannot be read.
        """
        waiting = workspace.agent_store.waiting(owner)
        if waiting is None:
            return None
        question = waiting.kept.question
        return cls(workspace, waiting.choices, question, owner=owner, waiting=waiting)

    @property
    def running(self) -> bool:
        """True while it works; False while a person is waited for, and after its end."""
        return self._job is not None and self._job.running

    @property
    def stopped(self) -> bool:
        """True where a person stopped it."""
        return self._job is not None and self._job.state == "cancelled"

    @property
    def error(self) -> str:
        """The sentence of its failure, empty without one."""
        return self._job.error if self._job else ""

    @property
    def seconds(self) -> float:
        """Seconds of the work that goes on or ended last."""
        return self._job.seconds if self._job else 0.0

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
        return self._job is None or self._job.wait(seconds)

    def stop(self) -> None:
        """Stop it; its events stay."""
        if self._job is not None:
            self._job.cancel()

    def give_up(self) -> None:
        """Stop it and forget its state, before another run takes its place."""
        self.stop()
        if self._workspace.agent_store.release(self._owner, self._thread):
            run_sync(lambda: self._workspace.agent_checkpoints.forget(self._thread))

    def decide(self, decisions: Mapping[str, Decision]) -> None:
        """Continue with decisions by the ids of the calls that wait.

        Decisions about other calls change nothing: a second page may show what was decided before.
        """
        with self._deciding:
            if self.running:
                return
            waits = {call["id"] for call in run_view(self._events).pending}
            if waits == set(decisions):
                self._job = Job(functools.partial(self._resume, dict(decisions)))

    async def _ask(self) -> None:
        await self._follow(stream(await self._agent(), self._question, thread=self._thread))

    async def _resume(self, decisions: Mapping[str, Decision]) -> None:
        agent = await self._agent()
        if not self._workspace.agent_store.release(self._owner, self._thread):
            raise InputError("The run was continued or given up elsewhere. Fix: start it again.")
        await self._follow(stream_resumed(agent, self._thread, decisions))

    async def _agent(self) -> Agent:
        choices = self._choices
        return PATTERNS[choices.pattern](
            self._llm,
            self._tools,
            budget=choices.budget,
            approvals=choices.approvals,
            checkpointer=await self._workspace.agent_checkpoints.saver(),
        )

    async def _follow(self, events: AsyncGenerator[Event]) -> None:
        """Take in the events; the state is kept of a run that waits for a person, and no other."""
        started = time.monotonic() - self._before
        waits = False
        try:
            async with aclosing(events):
                async for event in events:
                    self._events.append(event_of(event, time.monotonic() - started))
                    if isinstance(event, Finished) and event.result.pending:
                        run = WaitingRun(
                            kept=self.kept(), thread=self._thread, choices=self._choices
                        )
                        self._workspace.agent_store.hold(self._owner, run)
                        waits = True
        finally:
            if not waits:
                await self._workspace.agent_checkpoints.forget(self._thread)
        self._before = self._events[-1].at


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
