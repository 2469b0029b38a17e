"""The tasks of a plan: what each needs, carrying them out as that is there, and new plans."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, Required, TypeAlias, TypedDict, cast

from ragkit.agents.agent import Agent, hand_over
from ragkit.agents.budget import Amount, minus, part, share, worked
from ragkit.agents.context import AgentTurn
from ragkit.agents.state import Inherited, RunRecord
from ragkit.agents.subtasks import Subtasks
from ragkit.agents.tool_call import FINISH

TaskStatus: TypeAlias = Literal["waiting", "running", "done", "failed", "blocked", "dropped"]

REPLAN, CONCLUDE = "replan", "conclude"

_STEPS_OF_A_TASK = 2


class PlannedTask(TypedDict, total=False):
    """A task: `step` is its id in the trace once it runs, `result` names a text of the state."""

    number: Required[int]
    text: Required[str]
    needs: Required[list[int]]
    status: Required[TaskStatus]
    step: str
    result: str


class TaskRound:
    """Tasks while they are carried out: each starts as soon as those that it needs are done."""

    def __init__(
        self,
        turn: AgentTurn[Any],
        executor: Agent,
        tasks: Iterable[PlannedTask],
        *,
        ready_only: bool,
    ) -> None:
        """Take up the tasks.

        Args:
            turn: The node's turn, in which steps and costs are recorded.
            executor: The agent that carries out a task.
            tasks: All tasks of the plan.
            ready_only: Whether no others start than those whose needs are done now.
        """
        self._turn = turn
        self._executor = executor
        self.tasks = [task.copy() for task in tasks]
        self.ended_by: dict[str, str] = {}
        self.stopped_by: Literal["", "steps", "seconds"] = ""
        block_tasks(self.tasks)
        open_tasks = ready_tasks(self.tasks) if ready_only else self.tasks
        self._open = {str(one["number"]): one for one in open_tasks if one["status"] == "waiting"}
        for task in self._open.values():  # in the order of the plan, whichever starts first
            task["step"] = turn.note("task", task["text"])
        self._held: dict[str, Amount] = {}
        self._ends: dict[int, float] = {}
        self._started = asyncio.get_running_loop().time()
        self._tasks: Subtasks[tuple[str, Inherited]] = Subtasks(
            list(self._open), self._execute, name="task", parallel=turn.context.parallel
        )

    async def run(self) -> None:
        """Run until nothing more can be done."""
        try:
            while True:
                self._start()
                if not self._tasks.running:
                    break
                for number, output in await self._tasks.done():
                    self._take(self._open[number], cast("RunRecord", output))
            await self._tasks.close()
        finally:
            self._tasks.stop()
        # Tasks from before an interrupt took their time then.
        seconds = max(self._elapsed(), *self._ends.values(), 0.0)
        self._turn.spent = worked(self._turn.spent, seconds)

    def _start(self) -> None:
        """Start every task that is ready, as far as the budget goes."""
        block_tasks(self.tasks)
        ready = [one for one in ready_tasks(self.tasks) if self._may_start(one)]
        if self.ended_by or not ready:
            return
        left = self._left()
        later = any(one["status"] == "waiting" and one not in ready for one in self.tasks)
        parts = int(min(len(ready) + later, part(left, 1 / _STEPS_OF_A_TASK).steps))
        if parts < 1 or left.seconds <= 0:
            if not self._tasks.running:
                self.stopped_by = "steps" if left.seconds > 0 else "seconds"
            return
        limits = share(left, parts)
        for task in ready[:parts]:
            if self._may_start(task):
                self._launch(task, limits)

    def _may_start(self, task: PlannedTask) -> bool:
        number = str(task["number"])
        return number in self._open and self._tasks.may_start(number)

    def _launch(self, task: PlannedTask, limits: Amount) -> None:
        turn, number = self._turn, str(task["number"])
        known = results_of(turn, self.tasks)
        question = turn.context.prompts.fill("task", task=task["text"], question=turn.question)
        inherited = turn.inherited(
            task.get("step", ""),
            limits,
            tainted=turn.tainted or bool(known),
            background=[*turn.background, *known],
        )
        task["status"] = "running"
        self._held[number] = replace(limits, seconds=0.0)
        self._tasks.start(number, (question, inherited))

    async def _execute(self, given: tuple[str, Inherited]) -> dict[str, Any]:
        question, inherited = given
        return dict(await hand_over(self._executor, question, inherited))

    def _take(self, task: PlannedTask, output: RunRecord) -> None:
        turn = self._turn
        del self._held[str(task["number"])]
        took = turn.take(output)["seconds"]
        turn.spent = worked(turn.spent, -took)  # tasks overlap: the round counts as a whole
        begun = max((self._ends.get(number, 0.0) for number in task["needs"]), default=0.0)
        self._ends[task["number"]] = begun + took
        by = (output.get("ended_by") or {}).get("name")
        task["status"] = "done" if by in {FINISH, CONCLUDE} else "failed"
        task["result"] = turn.keep(_result(output))
        if by == CONCLUDE and not self.ended_by:
            self.ended_by = {"name": CONCLUDE, "text": output.get("answer", "")}

    def _left(self) -> Amount:
        """Return the rest of the budget beside what running tasks may use."""
        left = minus(self._turn.spare, Amount(steps=0, tokens=0, seconds=self._elapsed(), cost=0))
        for held in self._held.values():
            left = minus(left, held)
        return left

    def _elapsed(self) -> float:
        return asyncio.get_running_loop().time() - self._started


def extended_tasks(before: Iterable[PlannedTask], plan: Mapping[str, Any]) -> list[PlannedTask]:
    """Return the tasks so far with those of a new plan; tasks without success are dropped."""
    tasks = [one.copy() for one in before]
    for one in tasks:
        if one["status"] != "done":
            one["status"] = "dropped"
    for number, new in enumerate(plan["steps"], len(tasks) + 1):
        needs = list(new["needs"])
        tasks.append(PlannedTask(number=number, text=new["task"], needs=needs, status="waiting"))
    return tasks


def block_tasks(tasks: Sequence[PlannedTask]) -> None:
    """Mark the tasks that need one that failed, and those that need them."""
    lost = {one["number"] for one in tasks if one["status"] in {"failed", "blocked", "dropped"}}
    for one in tasks:
        if one["status"] == "waiting" and lost.intersection(one["needs"]):
            one["status"] = "blocked"
            lost.add(one["number"])


def ready_tasks(tasks: Sequence[PlannedTask]) -> list[PlannedTask]:
    """Return the tasks whose needs are done."""
    done = {one["number"] for one in tasks if one["status"] == "done"}
    return [one for one in tasks if one["status"] == "waiting" and done.issuperset(one["needs"])]


def results_of(turn: AgentTurn, tasks: Sequence[PlannedTask]) -> list[tuple[str, str]]:
    """Return the results of the tasks that are done, labelled."""
    return [
        (f"task {one['number']}", f"{one['text']}\n{turn.texts[one.get('result', '')]}")
        for one in tasks
        if one["status"] == "done"
    ]


def _result(output: RunRecord) -> str:
    text = output.get("answer", "")
    if (output.get("ended_by") or {}).get("name") == REPLAN:
        return f"A new plan is asked for: {text}"
    stopped = output.get("stopped_by", "finished")
    return text if stopped == "finished" else f"Not done, stopped by {stopped}: {text}"
