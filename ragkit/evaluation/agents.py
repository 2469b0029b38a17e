"""Measuring agents on tasks: success, tokens, steps and seconds."""

import functools
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from ragkit.core.errors import ConfigError, InputError, RagkitError
from ragkit.core.json_lines import json_lines
from ragkit.core.progress import OnProgress, Progress
from ragkit.core.types import DocumentRecord, Usage
from ragkit.evaluation.answer_metrics import f1, holds
from ragkit.evaluation.checkpoint import Checkpoint
from ragkit.evaluation.failures import counted
from ragkit.evaluation.fingerprint import digest
from ragkit.evaluation.folder import EvaluationFolder
from ragkit.evaluation.runs import Evaluation, Example, StageResult, stage_result

NOT_SOLVED = "not solved"


class MeasuredRun(Protocol):
    """The result of a run, such as a `ragkit.agents.AgentResult`."""

    @property
    def answer(self) -> str:
        """The agent's answer."""
        ...

    @property
    def usage(self) -> Usage:
        """Tokens of all calls of the model."""
        ...

    @property
    def steps(self) -> Sequence[object]:
        """The steps that were taken."""
        ...

    @property
    def stopped_by(self) -> str:
        """`"finished"`, or the limit that ended the run."""
        ...


RunAgent: TypeAlias = Callable[[str], Awaitable[MeasuredRun]]
"""Makes a new agent and asks it, such as `lambda question: run(react(llm, tools), question)`."""
Solved: TypeAlias = Callable[[MeasuredRun], bool]
"""Decides if a run solved its task."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentTask:
    """A question with its accepted answers, or a predicate.

    Attributes:
        id: The name of the task.
        question: The question for the agent.
        gold: Accepted answers; the agent's must contain one, word for word in SQuAD's normal form.
        solved: A predicate that is used instead of `gold`.
    """

    id: str
    question: str
    gold: tuple[str, ...] = ()
    solved: Solved | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _TaskRun:
    """A run as it is kept."""

    success: float
    f1: float | None
    tokens: int
    steps: int
    seconds: float
    answer: str
    stopped_by: str


_TASK_RUN = TypeAdapter(_TaskRun)


class _TaskLine(BaseModel):
    model_config = ConfigDict(extra="ignore")

    id: str | None = None
    question: str = Field(min_length=1)
    answers: tuple[str, ...] = Field(min_length=1)


def load_tasks(path: Path) -> list[AgentTask]:
    """Read tasks from JSON Lines, possibly with `.gz`.

    Each line is `{"question": ..., "answers": [...]}`, the accepted answers; without an `"id"` a
    task has its number.

    Raises:
        InputError: The file is missing or empty, or a line is not a task; names its number.
    """
    tasks = [
        AgentTask(id=line.id or str(number), question=line.question, gold=line.answers)
        for number, line in enumerate(json_lines(path, _TaskLine), start=1)
    ]
    _check(tasks)
    return tasks


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredAgent:
    """The agent that is measured.

    Attributes:
        run: Makes a new agent and asks it.
        stage: The name of its results, such as its pattern.
        identity: A digest of all that decides a run: model, code, tools, budget.
        records: The documents that it can search, if any.
    """

    run: RunAgent
    stage: str
    identity: str
    records: Sequence[DocumentRecord] = ()


async def measure_agent(
    tasks: Sequence[AgentTask],
    agent: MeasuredAgent,
    *,
    name: str,
    seed: int = 0,
    fresh: bool = False,
    on_progress: OnProgress | None = None,
) -> Evaluation:
    """Let an agent do each task once, and report it as a run over the data set `name`.

    Finished tasks are kept under `.ragkit/eval` by the agent's identity and the documents that
    it can search; `fresh` runs them again.

    Raises:
        ConfigError: A task has neither gold answers nor a predicate, or an id occurs twice.
    """
    known = digest(*sorted(f"{record.uri} {record.generation}" for record in agent.records))
    identity = digest(agent.identity, agent.stage, known)
    with EvaluationFolder().checkpoint(identity, fresh=fresh) as checkpoint:
        result = await evaluate_agent(
            tasks, agent.run, seed=seed, checkpoint=checkpoint, on_progress=on_progress
        )
    return Evaluation(
        kind="agents",
        dataset=name,
        documents=len(agent.records),
        chunks=sum(record.chunks for record in agent.records),
        queries=len(tasks),
        stages={agent.stage: result},
        questions={task.id: task.question for task in tasks},
        fingerprints={task.id: digest(task.question, *sorted(task.gold))[:16] for task in tasks},
        seed=seed,
    )


async def evaluate_agent(
    tasks: Sequence[AgentTask],
    run_agent: RunAgent,
    *,
    seed: int = 0,
    checkpoint: Checkpoint | None = None,
    on_progress: OnProgress | None = None,
) -> StageResult:
    """Let an agent do each task once, and measure success, tokens, steps and seconds.

    A run that ends in an error of ragkit has failed the task; it is listed with its reason and
    has no tokens or steps. Tasks that `checkpoint` holds, whose identity must name all that
    decides a run (model, tools, budget, judgement of tasks), are not run again.

    Raises:
        ConfigError: A task has neither gold answers nor a predicate, or an id occurs twice.
    """
    _check(tasks)
    kept = checkpoint or Checkpoint.in_memory()
    runs: dict[str, _TaskRun] = {}
    failed: dict[str, str] = {}
    for done, task in enumerate(tasks):
        if on_progress is not None:
            on_progress(Progress(phase="agent", done=done, total=len(tasks), item=task.id))
        do = functools.partial(_task_run, task, run_agent)
        try:
            runs[task.id] = await kept.once(_TASK_RUN, do, task.id, task.question, *task.gold)
        except RagkitError as error:
            failed[task.id] = str(error)
    not_solved = [
        Example(query=task.id, question=task.question, detail=f"{run.stopped_by}: {run.answer!r}")
        for task in tasks
        if (run := runs.get(task.id)) is not None and not run.success
    ]
    return stage_result(
        _values(tasks, runs),
        [run.seconds for run in runs.values()],
        failed=failed,
        failures=counted({NOT_SOLVED: not_solved}),
        outputs={task: [run.answer] for task, run in runs.items()},
        seed=seed,
    )


async def _task_run(task: AgentTask, run_agent: RunAgent) -> _TaskRun:
    started = time.perf_counter()
    result = await run_agent(task.question)
    seconds = time.perf_counter() - started
    solved = task.solved(result) if task.solved else holds(result.answer, task.gold)
    return _TaskRun(
        success=float(solved),
        f1=f1(result.answer, task.gold) if task.gold else None,
        tokens=result.usage.prompt + result.usage.completion,
        steps=len(result.steps),
        seconds=seconds,
        answer=result.answer,
        stopped_by=result.stopped_by,
    )


def _values(
    tasks: Sequence[AgentTask], runs: Mapping[str, _TaskRun]
) -> dict[str, dict[str, float]]:
    every: dict[str, dict[str, float]] = {
        "success": {task.id: runs[task.id].success if task.id in runs else 0.0 for task in tasks},
        "f1": {key: run.f1 for key, run in runs.items() if run.f1 is not None},
        "tokens": {key: float(run.tokens) for key, run in runs.items()},
        "steps": {key: float(run.steps) for key, run in runs.items()},
        "seconds": {key: run.seconds for key, run in runs.items()},
    }
    return {name: values for name, values in every.items() if values}


def _check(tasks: Sequence[AgentTask]) -> None:
    seen: set[str] = set()
    for task in tasks:
        if not task.gold and task.solved is None:
            raise ConfigError(
                f"Task {task.id!r} has neither gold nor solved. Fix: give one of them."
            )
        if task.id in seen:
            raise ConfigError(f"Two tasks have the id {task.id!r}. Fix: give each its own.")
        seen.add(task.id)
    if not tasks:
        raise InputError("The list of tasks is empty.")
