"""Measuring agents on tasks: how often they succeed, and what that takes."""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from ragkit.core.errors import ConfigError, InputError, RagkitError
from ragkit.core.protocols import OnProgress, Progress
from ragkit.core.types import Usage
from ragkit.evaluation.answers import f1, holds
from ragkit.evaluation.checkpoint import Finished, nothing_finished
from ragkit.evaluation.datasets import json_lines
from ragkit.evaluation.failures import counted
from ragkit.evaluation.runs import Example, StageResult, stage_result

NOT_SOLVED = "not solved"


class AgentRun(Protocol):
    """What is read of a run; `ragkit.agents.AgentResult` has it."""

    @property
    def answer(self) -> str:
        """What the agent said in the end."""
        ...

    @property
    def usage(self) -> Usage:
        """Tokens of all calls of the model."""
        ...

    @property
    def steps(self) -> Sequence[object]:
        """What was done."""
        ...

    @property
    def stopped_by(self) -> str:
        """`"finished"`, or what ended the run before."""
        ...


RunAgent: TypeAlias = Callable[[str], Awaitable[AgentRun]]
"""Makes a fresh agent and asks it, such as `lambda question: run(react(llm, tools), question)`."""
Solved: TypeAlias = Callable[[AgentRun], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentTask:
    """A question, and when it is solved.

    Attributes:
        id: Names the task.
        question: What the agent is asked.
        gold: Accepted answers; the agent's must contain one, word for word in SQuAD's normal form.
        solved: Decides instead of `gold`.
    """

    id: str
    question: str
    gold: tuple[str, ...] = ()
    solved: Solved | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ran:
    """A run as it is kept."""

    success: float
    f1: float | None
    tokens: int
    steps: int
    seconds: float
    answer: str
    stopped_by: str


_RAN = TypeAdapter(_Ran)


class _Line(BaseModel):
    model_config = ConfigDict(extra="ignore")

    id: str | None = None
    question: str = Field(min_length=1)
    answers: tuple[str, ...] = Field(min_length=1)


def load_tasks(path: Path) -> list[AgentTask]:
    """Read tasks from JSON Lines, possibly with `.gz`.

    Each line is `{"question": ..., "answers": [...]}`, the accepted answers; without an `"id"` a
    task is called by its number.

    Raises:
        InputError: The file is missing or empty, or a line, named by its number, is no task.
    """
    tasks = [
        AgentTask(id=line.id or str(number), question=line.question, gold=line.answers)
        for number, line in enumerate(json_lines(path, _Line), start=1)
    ]
    _check(tasks)
    return tasks


async def evaluate_agent(
    tasks: Sequence[AgentTask],
    run_agent: RunAgent,
    *,
    seed: int = 0,
    finished: Finished | None = None,
    on_progress: OnProgress | None = None,
) -> StageResult:
    """Have an agent do each task once, and measure success, tokens, steps and seconds.

    A run that ends in an error of ragkit has failed the task; it is listed with its reason and
    has no tokens or steps. Tasks that `finished` holds, whose identity must name all that decides
    a run (model, tools, budget, how tasks are judged), are not run again.

    Raises:
        ConfigError: A task has neither gold answers nor a predicate, or an id is there twice.
    """
    _check(tasks)
    doing = _Doing(run_agent=run_agent, finished=finished or nothing_finished())
    for done, task in enumerate(tasks):
        if on_progress is not None:
            on_progress(Progress(phase="agent", done=done, total=len(tasks), item=task.id))
        await doing.note(task)
    values = _values(tasks, doing.ran)
    return stage_result(
        values,
        [run.seconds for run in doing.ran.values()],
        failed=doing.failed,
        failures=counted({NOT_SOLVED: _failures(tasks, doing.ran)}),
        outputs={task: [run.answer] for task, run in doing.ran.items()},
        seed=seed,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Doing:
    run_agent: RunAgent
    finished: Finished
    ran: dict[str, _Ran] = field(default_factory=dict[str, _Ran])
    failed: dict[str, str] = field(default_factory=dict[str, str])

    async def note(self, task: AgentTask) -> None:
        try:
            self.ran[task.id] = await self.one(task)
        except RagkitError as error:
            self.failed[task.id] = str(error)

    async def one(self, task: AgentTask) -> _Ran:
        async def ran() -> _Ran:
            started = time.perf_counter()
            result = await self.run_agent(task.question)
            return _Ran(
                success=float(_is_solved(task, result)),
                f1=f1(result.answer, task.gold) if task.gold else None,
                tokens=result.usage.prompt + result.usage.completion,
                steps=len(result.steps),
                seconds=time.perf_counter() - started,
                answer=result.answer,
                stopped_by=result.stopped_by,
            )

        return await self.finished.once(_RAN, ran, task.id, task.question, *task.gold)


def _check(tasks: Sequence[AgentTask]) -> None:
    seen: set[str] = set()
    for task in tasks:
        if not task.gold and task.solved is None:
            raise ConfigError(f"Task {task.id!r} says not when it is solved: give gold or solved.")
        if task.id in seen:
            raise ConfigError(f"Two tasks are called {task.id!r}; give each an id of its own.")
        seen.add(task.id)
    if not tasks:
        raise InputError("There is no task to measure an agent on.")


def _is_solved(task: AgentTask, result: AgentRun) -> bool:
    return task.solved(result) if task.solved else bool(holds(result.answer, task.gold))


def _values(tasks: Sequence[AgentTask], ran: Mapping[str, _Ran]) -> dict[str, dict[str, float]]:
    every: dict[str, dict[str, float]] = {
        "success": {task.id: ran[task.id].success if task.id in ran else 0.0 for task in tasks},
        "f1": {key: run.f1 for key, run in ran.items() if run.f1 is not None},
        "tokens": {key: float(run.tokens) for key, run in ran.items()},
        "steps": {key: float(run.steps) for key, run in ran.items()},
        "seconds": {key: run.seconds for key, run in ran.items()},
    }
    return {name: values for name, values in every.items() if values}


def _failures(tasks: Sequence[AgentTask], ran: Mapping[str, _Ran]) -> list[Example]:
    return [
        Example(query=task.id, question=task.question, detail=f"{run.stopped_by}: {run.answer!r}")
        for task in tasks
        if (run := ran.get(task.id)) is not None and not run.success
    ]
