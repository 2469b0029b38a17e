"""Plan-and-execute: a plan of tasks, each carried out by an agent of its own, and revised.

After Wang et al., Plan-and-Solve Prompting (2023), and LangGraph's pattern of the same name; with
tasks that start as soon as those that they need are done.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Unpack

from langgraph.constants import END, START

from ragkit.agents import conversation, final_answer
from ragkit.agents.agent import Agent, AgentGraph
from ragkit.agents.budget import described
from ragkit.agents.context import AgentContext, AgentTurn
from ragkit.agents.events import Planned
from ragkit.agents.evidence import (
    earlier,
    evidence_room,
    first_question,
    fit_evidence,
    tool_list,
    untrusted_descriptions,
)
from ragkit.agents.final_answer import answer, conclude
from ragkit.agents.model_call import ModelRequest, ask
from ragkit.agents.options import AgentOptions, agent_context, at_least
from ragkit.agents.plan_tasks import (
    CONCLUDE,
    REPLAN,
    PlannedTask,
    TaskRound,
    extended_tasks,
    ready_tasks,
    results_of,
)
from ragkit.agents.react import ReAct
from ragkit.agents.state import AgentState, Update
from ragkit.agents.tool_call import FINISH, Control
from ragkit.agents.tools.langchain import AnyTools, as_tools
from ragkit.core.protocols import LLM
from ragkit.core.types import Json, Message
from ragkit.grammar import Grammar, Limits, json_grammar
from ragkit.grammar.schema.composition import object_schema

PROMPTS = (
    "planner", "planner_again", "planner_review", "question", "task", "executor", "observations",
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


class PlanState(AgentState, total=False):
    """`replans` counts the plans after the first; `problem` is why the last could not be read."""

    tasks: list[PlannedTask]
    replans: int
    problem: str


def plan_and_execute(  # noqa: PLR0913  # one for each choice of the pattern
    planner: LLM,
    tools: AnyTools,
    *,
    executor: LLM | None = None,
    max_steps: int = 6,
    max_replans: int = 2,
    max_calls: int = 4,
    review: bool = False,
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
        review: Whether the planner looks at the rest of the plan, as one of these plans, each time
            the tasks that could start are done; else it only replans what failed.
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
        review=review,
    )
    return pattern.graph().finish(options)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanAndExecute:
    """The nodes of an agent that plans tasks and has another agent carry them out."""

    context: AgentContext
    executor: Agent
    max_steps: int
    max_replans: int
    review: bool = False

    def graph(self) -> AgentGraph:
        """Return the graph: a plan, its tasks, new plans, then the answer."""
        graph = AgentGraph(self.context, PlanState, gated=True)
        graph.node("start", self.start)
        graph.node("plan", self.plan)
        graph.node("execute", self.execute, runs=[self.executor])
        graph.node("solve", self.solve)
        graph.add_edge(START, "start")
        graph.add_edge("start", "plan")
        graph.branch("plan", self.after_plan, ["execute", "plan", "solve"])
        graph.branch("execute", self.after_execution, ["plan", "execute", "solve"])
        graph.add_edge("solve", END)
        return graph

    async def start(self, state: PlanState) -> Update:
        """Choose the tools."""
        turn = self.context.begin(state)
        chosen = await turn.choose_tools()
        return turn.update(chosen=chosen, tasks=[], replans=0, problem="")

    async def plan(self, state: PlanState) -> Update:
        """Ask for tasks, or for tasks instead of those that failed."""
        turn = self.context.turn(state)
        before = list(state.get("tasks", []))
        again = bool(before or state.get("problem"))
        about = "\n".join(task["text"] for task in before if task["status"] != "done")
        chosen = await turn.choose_tools(about) if again else turn.chosen
        least = 0 if any(task["status"] == "waiting" for task in before) else 1
        done = [task["number"] for task in before if task["status"] == "done"]
        request = ModelRequest(
            name="planner",
            messages=await self._messages(turn),
            grammar=task_grammar(
                (least, self.max_steps), done, len(before) + 1, limits=self.context.limits
            ),
            max_tokens=self.context.reply_tokens,
        )
        said = await ask(turn, request)
        replans = state.get("replans", 0) + again
        if said.stopped_by:
            return turn.update(stopped_by=said.stopped_by, replans=replans, problem="")
        if said.value is None:
            problem = said.problem if replans < self.max_replans else ""
            return turn.update(problem=problem, replans=replans, chosen=chosen)
        tasks = extended_tasks(before, said.value)
        shown = tuple((f"task {one['number']}", one["text"]) for one in tasks[len(before) :])
        turn.emit(Planned(step=said.step, steps=shown))
        tainted = turn.tainted or bool(before)
        return turn.update(tasks=tasks, problem="", replans=replans, tainted=tainted, chosen=chosen)

    async def execute(self, state: PlanState) -> Update:
        """Have tasks carried out until nothing more can be done, or the plan is looked at again."""
        turn = self.context.turn(state)
        tasks = TaskRound(
            turn, self.executor, state.get("tasks", []), ready_only=self._reviews(state)
        )
        await tasks.run()
        changes: Update = {"tasks": tasks.tasks, "ended_by": tasks.ended_by}
        if tasks.stopped_by:
            changes["stopped_by"] = tasks.stopped_by
        return turn.update(**changes)

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
        return "plan" if state.get("problem") else "execute"

    async def after_execution(self, state: PlanState) -> str:
        """Return the node after `execute`."""
        tasks = state.get("tasks", [])
        if state.get("ended_by") or state.get("stopped_by", "finished") != "finished":
            return "solve"
        lost = any(task["status"] in {"failed", "blocked"} for task in tasks)
        waiting = any(task["status"] == "waiting" for task in tasks)
        if ready_tasks(tasks) and not self._reviews(state):
            return "execute"
        return "plan" if (lost or waiting) and self._may_plan(state) else "solve"

    def _may_plan(self, state: PlanState) -> bool:
        return state.get("replans", 0) < self.max_replans

    def _reviews(self, state: PlanState) -> bool:
        """Return whether the planner looks at the plan again once the first tasks are done."""
        return self.review and self._may_plan(state)

    async def _messages(self, turn: AgentTurn[PlanState]) -> list[Message]:
        prompts, state = self.context.prompts, turn.state
        system = prompts.system("planner", tools=tool_list(self.context, turn.tools))
        tasks, problem = state.get("tasks", []), state.get("problem", "")
        if not tasks and not problem:
            return [system, await first_question(turn, turn.tools)]
        tokens = await evidence_room(self.context)
        results, failures = results_of(turn, tasks), failures_of(turn, tasks, problem)
        places = {
            "turns": untrusted_descriptions(turn, turn.tools) + earlier(turn),
            "fence": turn.fence,
            "question": turn.question,
            "evidence": fit_evidence(turn, results, tokens=tokens * 3 // 4) or "None.",
            "first": str(len(tasks) + 1),
            "left": described(turn.left),
        }
        planned = [
            (f"task {one['number']}", one["text"]) for one in tasks if one["status"] == "waiting"
        ]
        if planned and not failures:
            shown = fit_evidence(turn, planned, tokens=tokens // 4)
            return [system, prompts.user("planner_review", **places, planned=shown)]
        shown = fit_evidence(turn, failures, tokens=tokens // 4)
        return [system, prompts.user("planner_again", **places, failures=shown)]


def task_grammar(
    steps: tuple[int, int], known: Sequence[int], first: int, *, limits: Limits | None = None
) -> Grammar[Any]:
    """Return the grammar of `{"thought": ..., "steps": [{"task": ..., "needs": [...]}, ...]}`.

    A task can only need one that is `known` or comes before it; numbers go on from `first`. There
    are `steps` of them, at least and at most.
    """
    least, most = steps
    each: list[Json] = []
    for count in range(most):
        before = [*known, *range(first, first + count)][-_MOST_NEEDS:]
        needs: dict[str, Json] = {"type": "array", "maxItems": len(before)}
        if before:
            needs |= {"items": {"enum": [*before]}, "uniqueItems": True}
        each.append(object_schema(task={"type": "string", "minLength": 1}, needs=needs))
    listed: dict[str, Json] = {
        "type": "array",
        "prefixItems": each,
        "items": False,
        "minItems": least,
        "maxItems": most,
    }
    return json_grammar(object_schema(thought={"type": "string"}, steps=listed), limits=limits)


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
