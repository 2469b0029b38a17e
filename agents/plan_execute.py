"""Plan-and-execute: a plan of tasks, each carried out by an agent of its own, and revised.

After Wang et al., Plan-and-Solve Prompting (2023), and LangGraph's pattern of the same name; with
tasks in parallel where they don't need each other.
"""

import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Required, TypeAlias, TypedDict, Unpack

from langgraph.constants import END, START
from langgraph.types import Overwrite, Send

from ragkit.agents import conversation, final_answer
from ragkit.agents.agent import Agent, AgentGraph, hand_over
from ragkit.agents.budget import described, part, share, worked
from ragkit.agents.context import AgentContext, AgentTurn
from ragkit.agents.events import Planned
from ragkit.agents.final_answer import answer, conclude
from ragkit.agents.model_call import (
    ModelRequest,
    earlier,
    evidence_room,
    first_question,
    fit_evidence,
    object_schema,
    told_tools,
    tool_list,
)
from ragkit.agents.options import AgentOptions, agent_context, at_least
from ragkit.agents.react import ReAct
from ragkit.agents.reply_size import ask
from ragkit.agents.state import AgentState, RunRecord, Update
from ragkit.agents.tool_call import FINISH, Control
from ragkit.agents.tools.langchain import AnyTool, as_tools
from ragkit.core.protocols import LLM
from ragkit.core.types import Json, Message
from ragkit.grammar import Grammar, Limits, json_grammar

TaskStatus: TypeAlias = Literal["waiting", "running", "done", "failed", "blocked", "dropped"]

REPLAN, CONCLUDE = "replan", "conclude"
PROMPTS = (
    "planner", "planner_again", "question", "task", "executor", "observations",
    *final_answer.PROMPTS, *conversation.PROMPTS,
)  # fmt: skip

_CONTROLS = {
    FINISH: Control.of_text(
        FINISH, "Ends the task with its result.", answer="The result, in full."
    ),
    REPLAN: Control.of_text(
        REPLAN,
        "Ends the task without a result, so that the plan is revised.",
        reason="The mistake in the task or the plan.",
    ),
    CONCLUDE: Control.of_text(
        CONCLUDE,
        "Ends all work, since the larger question can be answered now.",
        answer="The answer to the larger question.",
    ),
}
_MOST_NEEDS = 6
_STEPS_OF_A_TASK = 2


class PlannedTask(TypedDict, total=False):
    """A task: `step` is its id in the trace once it runs, `result` names a text of the state."""

    number: Required[int]
    text: Required[str]
    needs: Required[list[int]]
    status: Required[TaskStatus]
    step: str
    result: str


class TaskOutput(TypedDict):
    """The output of the agent that carried out a task."""

    number: int
    output: RunRecord


class PlanState(AgentState, total=False):
    """`wave` are the tasks that ran together; `replans` counts the plans after the first."""

    tasks: list[PlannedTask]
    replans: int
    problem: str
    wave: Annotated[list[TaskOutput], operator.add]


def plan_and_execute(
    planner: LLM,
    tools: Iterable[AnyTool],
    *,
    executor: LLM | None = None,
    max_steps: int = 6,
    max_replans: int = 2,
    max_calls: int = 4,
    **options: Unpack[AgentOptions],
) -> Agent:
    """Make an agent that plans tasks, has each carried out with tools, and replans failed ones.

    Args:
        planner: The model that plans and writes the answer.
        tools: The tools of the tasks.
        executor: The model that carries out tasks; the planner where left out.
        max_steps: Tasks of a plan.
        max_replans: Plans after the first.
        max_calls: Calls of one turn of a task.
        options: See `AgentOptions`.

    Raises:
        ConfigError: A prompt is given that the agent does not use.
        InputError: Two tools have one name, or a schema cannot be honoured.
    """
    at_least(1, max_steps=max_steps, max_calls=max_calls)
    at_least(0, max_replans=max_replans)
    offered = as_tools(tools)
    context = agent_context(
        "plan_and_execute",
        planner,
        tools=offered,
        prompts=PROMPTS,
        options=options,
        reserved=_CONTROLS,
    )
    inner: AgentOptions = {**options, "checkpointer": None, "output": None, "name": "executor"}
    working = ReAct(
        context=agent_context(
            "executor", executor or planner, tools=offered, prompts=PROMPTS, options=inner
        ),
        system="executor",
        controls=_CONTROLS,
        max_calls=max_calls,
    )
    pattern = PlanAndExecute(
        context=context,
        executor=working.graph().finish(inner),
        max_steps=max_steps,
        max_replans=max_replans,
    )
    return pattern.graph().finish(options)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanAndExecute:
    """The nodes of an agent that plans tasks and has another agent carry them out."""

    context: AgentContext
    executor: Agent
    max_steps: int
    max_replans: int

    def graph(self) -> AgentGraph:
        """Return the graph: a plan, its tasks in waves, new plans, then the answer."""
        graph = AgentGraph(self.context, PlanState)
        graph.node("start", self.start)
        graph.node("plan", self.plan)
        graph.node("dispatch", self.dispatch)
        graph.node("execute", self.execute, runs=[self.executor])
        graph.node("collect", self.collect)
        graph.node("solve", self.solve)
        graph.add_edge(START, "start")
        graph.add_edge("start", "plan")
        graph.branch("plan", self.after_plan, ["dispatch", "plan", "solve"])
        graph.branch("dispatch", self.sends, ["execute", "solve"])
        graph.add_edge("execute", "collect")
        graph.branch("collect", self.after_collect, ["plan", "dispatch", "solve"])
        graph.add_edge("solve", END)
        return graph

    async def start(self, state: PlanState) -> Update:
        """Choose the tools."""
        turn = self.context.begin(state)
        chosen = await turn.choose_tools()
        return turn.update(chosen=chosen, tasks=[], replans=0, problem="", wave=Overwrite([]))

    async def plan(self, state: PlanState) -> Update:
        """Ask for tasks, or for tasks instead of those that failed."""
        turn = self.context.turn(state)
        before = list(state.get("tasks", []))
        again = bool(before or state.get("problem"))
        done = [task["number"] for task in before if task["status"] == "done"]
        request = ModelRequest(
            name="planner",
            messages=await self._messages(turn),
            grammar=task_grammar(self.max_steps, done, len(before) + 1, limits=self.context.limits),
            max_tokens=self.context.reply_tokens,
        )
        said = await ask(turn, request)
        replans = state.get("replans", 0) + again
        if said.stopped_by:
            return turn.update(stopped_by=said.stopped_by, replans=replans, problem="")
        if said.value is None:
            problem = said.problem if replans < self.max_replans else ""
            return turn.update(problem=problem, replans=replans)
        tasks = extended_tasks(before, said.value)
        shown = tuple((f"task {one['number']}", one["text"]) for one in tasks[len(before) :])
        turn.emit(Planned(step=said.step, steps=shown))
        tainted = turn.tainted or bool(before)
        return turn.update(tasks=tasks, problem="", replans=replans, tainted=tainted)

    async def dispatch(self, state: PlanState) -> Update:
        """Choose the tasks that run now: those that are ready, as far as the steps go."""
        turn = self.context.turn(state)
        left = turn.spare
        tasks = [task.copy() for task in state.get("tasks", [])]
        block_tasks(tasks)
        count = min(self.context.parallel, part(left, 1 / _STEPS_OF_A_TASK).steps)
        chosen = ready_tasks(tasks)[: int(count)]
        if ready_tasks(tasks) and (not chosen or left.seconds <= 0):
            stopped = "steps" if left.seconds > 0 else "seconds"
            return turn.update(tasks=tasks, stopped_by=stopped)
        for task in chosen:
            task["status"], task["step"] = "running", turn.note("task", task["text"])
        return turn.update(tasks=tasks)

    async def sends(self, state: PlanState) -> list[Send] | str:
        """Send each chosen task to a node of its own, with its share of the budget."""
        turn = self.context.turn(state)
        tasks = state.get("tasks", [])
        chosen = [task for task in tasks if task["status"] == "running"]
        if not chosen:
            return "solve"
        limits = share(turn.spare, len(chosen))
        known = results_of(turn, tasks)
        tainted = turn.tainted or bool(known)
        background = [*turn.background, *known]
        given: list[Send] = []
        for task in chosen:
            question = self.context.prompts.fill("task", task=task["text"], question=turn.question)
            inherited = turn.inherited(
                task.get("step", ""), limits, tainted=tainted, background=background
            )
            task_state = AgentState(question=question, inherited=inherited, ordinal=task["number"])
            given.append(Send("execute", task_state))
        return given

    async def execute(self, state: AgentState) -> Update:
        """Have a task carried out."""
        inherited = state.get("inherited")
        if inherited is None:
            raise AssertionError("a task is sent with the values that it inherits")
        output = await hand_over(self.executor, state.get("question", ""), inherited)
        return {"wave": [TaskOutput(number=state.get("ordinal", 0), output=output)]}

    async def collect(self, state: PlanState) -> Update:
        """Take in the results of the tasks that ran together; their seconds overlap."""
        turn = self.context.turn(state)
        tasks = [task.copy() for task in state.get("tasks", [])]
        ended_by: dict[str, str] = {}
        seconds = 0.0
        for done in sorted(state.get("wave", []), key=lambda one: one["number"]):
            output, task = done["output"], tasks[done["number"] - 1]
            took = turn.take(output)["seconds"]
            turn.spent = worked(turn.spent, -took)
            seconds = max(seconds, took)
            by = (output.get("ended_by") or {}).get("name")
            task["status"] = "done" if by in {FINISH, CONCLUDE} else "failed"
            task["result"] = turn.keep(_result(output))
            if by == CONCLUDE and not ended_by:
                ended_by = {"name": CONCLUDE, "text": output.get("answer", "")}
        turn.spent = worked(turn.spent, seconds)
        block_tasks(tasks)
        return turn.update(tasks=tasks, wave=Overwrite([]), ended_by=ended_by)

    async def solve(self, state: PlanState) -> Update:
        """Give the answer that a task concluded with, or write one from the results."""
        turn = self.context.turn(state)
        concluded = (state.get("ended_by") or {}).get("text", "").strip()
        if concluded:
            return await conclude(turn, concluded, "finished", step="")
        tasks = state.get("tasks", [])
        failures = failures_of(turn, tasks, state.get("problem", ""))
        return await answer(turn, [*results_of(turn, tasks), *failures])

    async def after_plan(self, state: PlanState) -> str:
        """Return the node after `plan`."""
        if state.get("stopped_by", "finished") != "finished":
            return "solve"
        return "plan" if state.get("problem") else "dispatch"

    async def after_collect(self, state: PlanState) -> str:
        """Return the node after `collect`."""
        tasks = state.get("tasks", [])
        if state.get("ended_by"):
            return "solve"
        if ready_tasks(tasks):
            return "dispatch"
        lost = any(task["status"] in {"failed", "blocked"} for task in tasks)
        return "plan" if lost and state.get("replans", 0) < self.max_replans else "solve"

    async def _messages(self, turn: AgentTurn[PlanState]) -> list[Message]:
        prompts, state = self.context.prompts, turn.state
        system = prompts.system("planner", tools=tool_list(self.context, turn.tools))
        tasks, problem = state.get("tasks", []), state.get("problem", "")
        if not tasks and not problem:
            return [system, await first_question(turn, turn.tools)]
        tokens = await evidence_room(self.context)
        results, failures = results_of(turn, tasks), failures_of(turn, tasks, problem)
        again = prompts.user(
            "planner_again",
            turns=told_tools(turn, turn.tools) + earlier(turn),
            fence=turn.fence,
            question=turn.question,
            evidence=fit_evidence(turn, results, tokens=tokens * 3 // 4) or "None.",
            failures=fit_evidence(turn, failures, tokens=tokens // 4),
            first=str(len(tasks) + 1),
            left=described(turn.left),
        )
        return [system, again]


def task_grammar(
    max_steps: int, known: Sequence[int], first: int, *, limits: Limits | None = None
) -> Grammar[Any]:
    """Return the grammar of `{"thought": ..., "steps": [{"task": ..., "needs": [...]}, ...]}`.

    A task can only need one that is `known` or comes before it; numbers go on from `first`.
    """
    steps: list[Json] = []
    for count in range(max_steps):
        before = [*known, *range(first, first + count)][-_MOST_NEEDS:]
        needs: dict[str, Json] = {"type": "array", "maxItems": len(before)}
        if before:
            needs |= {"items": {"enum": [*before]}, "uniqueItems": True}
        steps.append(object_schema(task={"type": "string", "minLength": 1}, needs=needs))
    listed: dict[str, Json] = {
        "type": "array",
        "prefixItems": steps,
        "items": False,
        "minItems": 1,
        "maxItems": max_steps,
    }
    return json_grammar(object_schema(thought={"type": "string"}, steps=listed), limits=limits)


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


def failures_of(
    turn: AgentTurn, tasks: Sequence[PlannedTask], problem: str
) -> list[tuple[str, str]]:
    """Return the tasks that failed and those that wait for them, with the reasons."""
    found: list[tuple[str, str]] = []
    for one in tasks:
        if one["status"] in {"failed", "blocked"}:
            reason = turn.texts.get(one.get("result", ""), "It needs a task that failed.")
            found.append((f"task {one['number']} {one['status']}", f"{one['text']}\n{reason}"))
    return [*found, ("plan", f"The plan could not be read: {problem}")] if problem else found


def _result(output: RunRecord) -> str:
    text = output.get("answer", "")
    if (output.get("ended_by") or {}).get("name") == REPLAN:
        return f"A new plan is asked for: {text}"
    stopped = output.get("stopped_by", "finished")
    return text if stopped == "finished" else f"Not done, stopped by {stopped}: {text}"
