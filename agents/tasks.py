"""The tasks of a plan-and-execute run, and the grammar that keeps their needs acyclic."""

import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, Required, TypeAlias, TypedDict

from ragkit.agents.state import AgentOutput, AgentState, Draft
from ragkit.core.types import Json
from ragkit.grammar import Grammar, json_grammar

TaskStatus: TypeAlias = Literal["waiting", "running", "done", "failed", "blocked", "dropped"]

_MOST_NEEDS = 6


class Task(TypedDict, total=False):
    """A task: `step` is its id in the trace once it runs, `result` names a text of the state."""

    number: Required[int]
    text: Required[str]
    needs: Required[list[int]]
    status: Required[TaskStatus]
    step: str
    result: str


class Worked(TypedDict):
    """What came of a task."""

    number: int
    output: AgentOutput


class PlanState(AgentState, total=False):
    """`wave` are the tasks that ran together; `replans` counts the plans after the first."""

    tasks: list[Task]
    replans: int
    problem: str
    wave: Annotated[list[Worked], operator.add]


def task_grammar(max_steps: int, known: Sequence[int], first: int) -> Grammar[Any]:
    """The grammar of `{"thought": ..., "steps": [{"task": ..., "needs": [...]}, ...]}`.

    A task can only need one that is `known` or comes before it; numbers go on from `first`.
    """
    steps = [_task([*known, *range(first, first + k)]) for k in range(max_steps)]
    listed: list[Json] = [*steps]
    return json_grammar(
        {
            "type": "object",
            "properties": {
                "thought": {"type": "string"},
                "steps": {
                    "type": "array",
                    "prefixItems": listed,
                    "items": False,
                    "minItems": 1,
                    "maxItems": max_steps,
                },
            },
            "required": ["thought", "steps"],
            "additionalProperties": False,
        }
    )


def _task(before: Sequence[int]) -> dict[str, Json]:
    needs: dict[str, Json] = {"type": "array", "maxItems": 0}
    if before:
        latest = list(before)[-_MOST_NEEDS:]
        needs = {
            "type": "array",
            "items": {"enum": [*latest]},
            "uniqueItems": True,
            "maxItems": len(latest),
        }
    return {
        "type": "object",
        "properties": {"task": {"type": "string", "minLength": 1}, "needs": needs},
        "required": ["task", "needs"],
        "additionalProperties": False,
    }


def extended_tasks(before: Iterable[Task], plan: Mapping[str, Any]) -> list[Task]:
    """The tasks so far with those of a new plan; what did not succeed is dropped."""
    tasks = [one.copy() for one in before]
    for one in tasks:
        if one["status"] != "done":
            one["status"] = "dropped"
    first = len(tasks) + 1
    for number, new in enumerate(plan["steps"], first):
        tasks.append(
            Task(number=number, text=new["task"], needs=list(new["needs"]), status="waiting")
        )
    return tasks


def block_tasks(tasks: Sequence[Task]) -> None:
    """Mark the tasks that need one that failed, and those that need them."""
    lost = {one["number"] for one in tasks if one["status"] in {"failed", "blocked", "dropped"}}
    for one in tasks:
        if one["status"] == "waiting" and lost.intersection(one["needs"]):
            one["status"] = "blocked"
            lost.add(one["number"])


def ready_tasks(tasks: Sequence[Task]) -> list[Task]:
    """The tasks whose needs are done."""
    done = {one["number"] for one in tasks if one["status"] == "done"}
    return [one for one in tasks if one["status"] == "waiting" and done.issuperset(one["needs"])]


def results_of(draft: Draft, tasks: Sequence[Task]) -> list[tuple[str, str]]:
    """What the tasks that are done gave, labelled."""
    return [
        (f"task {one['number']}", f"{one['text']}\n{draft.texts[one.get('result', '')]}")
        for one in tasks
        if one["status"] == "done"
    ]


def failures_of(draft: Draft, tasks: Sequence[Task], problem: str) -> list[tuple[str, str]]:
    """The tasks that failed and those that wait for them, with the reasons."""
    found: list[tuple[str, str]] = []
    for one in tasks:
        if one["status"] in {"failed", "blocked"}:
            reason = draft.texts.get(one.get("result", ""), "It needs a task that failed.")
            found.append((f"task {one['number']} {one['status']}", f"{one['text']}\n{reason}"))
    return [*found, ("plan", f"The plan could not be read: {problem}")] if problem else found
