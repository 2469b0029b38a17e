"""Plan-and-execute: a plan of tasks, each carried out by an agent of its own, and revised.

After Wang et al., Plan-and-Solve Prompting (2023), and LangGraph's pattern of the same name; with
tasks in parallel where they don't need each other.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Unpack, cast

from langgraph.constants import END, START
from langgraph.types import Overwrite, Send

from ragkit.agents import answering, window
from ragkit.agents.answering import answer, ended, evidence_room, first_question, fit_evidence
from ragkit.agents.asking import Question, ask
from ragkit.agents.budget import added, described, left_of, minus, nothing_spent, share, worked
from ragkit.agents.events import Planned, emit
from ragkit.agents.loop import FINISH, Control, Loop, loop_graph, text_arguments
from ragkit.agents.parts import Agent, AgentOptions, Graph, Parts, agent_graph, finished
from ragkit.agents.prompting import tool_list
from ragkit.agents.starting import choose_tools, start, tools_of
from ragkit.agents.state import (
    AgentOutput,
    AgentState,
    Draft,
    Inherited,
    Record,
    Update,
    limits_to_keep,
)
from ragkit.agents.tasks import (
    PlanState,
    Task,
    Worked,
    block_tasks,
    extended_tasks,
    failures_of,
    ready_tasks,
    results_of,
    task_grammar,
)
from ragkit.core.protocols import LLM, Tool
from ragkit.core.types import Message

PROMPTS = (
    "planner", "planner_again", "question", "task", "executor", "observations",
    *answering.PROMPTS, *window.PROMPTS,
)  # fmt: skip
REPLAN, CONCLUDE = "replan", "conclude"
_CONTROLS = {
    FINISH: Control(
        name=FINISH,
        description="Ends the task with its result.",
        parameters=text_arguments("answer", "The result, in full."),
    ),
    REPLAN: Control(
        name=REPLAN,
        description="Ends the task without a result, so that the plan is made anew.",
        parameters=text_arguments("reason", "What is wrong with the task or the plan."),
    ),
    CONCLUDE: Control(
        name=CONCLUDE,
        description="Ends all work, since the larger question can be answered now.",
        parameters=text_arguments("answer", "The answer to the larger question."),
    ),
}
_STEPS_OF_A_TASK = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Planner:
    """What planning needs: the planner's parts, the executor's graph, and the bounds."""

    parts: Parts
    executor: Agent
    max_steps: int
    max_replans: int


def plan_and_execute(
    planner: LLM,
    tools: Iterable[Tool],
    *,
    executor: LLM | None = None,
    max_steps: int = 6,
    max_replans: int = 2,
    max_calls: int = 4,
    **options: Unpack[AgentOptions],
) -> Agent:
    """An agent that plans tasks, has each carried out with tools, and plans anew where one fails.

    Args:
        planner: The model that plans and writes the answer.
        tools: What can be done.
        executor: The model that carries out tasks; the planner where left out.
        max_steps: Tasks of a plan.
        max_replans: Plans after the first.
        max_calls: Calls of one turn of a task.
        options: See `AgentOptions`.

    Raises:
        ConfigError: A prompt is given that the agent does not use.
        InputError: Two tools have one name, or a schema cannot be honoured.
    """
    offered = [tool for tool in tools if tool.name not in _CONTROLS]
    parts = Parts.of(planner, offered, PROMPTS, options)
    loop = Loop(
        parts=Parts.of(executor or planner, offered, PROMPTS, options),
        system="executor",
        controls=_CONTROLS,
        max_calls=max_calls,
        window_tokens=None,
        summarise=False,
        write=False,
    )
    inner: AgentOptions = {**options, "checkpointer": None, "name": "executor"}
    working = finished(loop_graph(loop), loop.parts, pattern="executor", options=inner)
    planning = Planner(parts=parts, executor=working, max_steps=max_steps, max_replans=max_replans)
    return finished(_graph(planning), parts, pattern="plan_and_execute", options=options)


def _graph(planning: Planner) -> Graph:
    parts = planning.parts

    async def begin(state: PlanState) -> Update:
        update: Update = {**start(state), "tasks": [], "replans": 0, "problem": ""}
        draft = Draft(cast("PlanState", {**state, **update}))
        update["wave"] = Overwrite([])
        chosen = await choose_tools(parts, draft, state)
        return {**update, **draft.first(chosen=chosen)}

    async def plan(state: PlanState) -> Update:
        return await _plan(planning, state)

    async def dispatch(state: PlanState) -> Update:
        return _dispatch(planning, state)

    async def execute(state: AgentState) -> Update:
        return await _execute(planning, state)

    async def collect(state: PlanState) -> Update:
        return _collect(state)

    async def solve(state: PlanState) -> Update:
        return await _solve(parts, state)

    async def send(state: PlanState) -> list[Send] | str:
        return _sends(planning, state)

    async def after_collect(state: PlanState) -> str:
        return _after_collect(planning, state)

    graph = agent_graph(PlanState)
    for name, node in {"start": begin, "plan": plan, "execute": execute, "solve": solve}.items():
        graph.add_node(name, node)
    graph.add_node("dispatch", dispatch)
    graph.add_node("collect", collect)
    graph.add_edge(START, "start")
    graph.add_edge("start", "plan")
    graph.add_conditional_edges("plan", _after_plan, ["dispatch", "plan", "solve"])
    graph.add_conditional_edges("dispatch", send, ["execute", "solve"])
    graph.add_edge("execute", "collect")
    graph.add_conditional_edges("collect", after_collect, ["plan", "dispatch", "solve"])
    graph.add_edge("solve", END)
    return graph


async def _after_plan(state: PlanState) -> str:
    if state.get("stopped_by", "finished") != "finished":
        return "solve"
    return "plan" if state.get("problem") else "dispatch"


def _after_collect(planning: Planner, state: PlanState) -> str:
    if state.get("ended_by"):
        return "solve"
    tasks = state.get("tasks", [])
    if ready_tasks(tasks):
        return "dispatch"
    lost = any(task["status"] in {"failed", "blocked"} for task in tasks)
    return "plan" if lost and state.get("replans", 0) < planning.max_replans else "solve"


async def _plan(planning: Planner, state: PlanState) -> Update:
    parts, draft = planning.parts, Draft(state)
    before = list(state.get("tasks", []))
    again = bool(before or state.get("problem"))
    done = [task["number"] for task in before if task["status"] == "done"]
    said = await ask(
        parts,
        draft,
        Question(
            name="planner",
            messages=await _messages(parts, draft, state),
            grammar=task_grammar(planning.max_steps, done, len(before) + 1),
            left=minus(left_of(parts.limits(state), draft.spent), parts.held(state)),
            reply=parts.reply_tokens,
        ),
    )
    replans = state.get("replans", 0) + again
    if said.stopped_by:
        return draft.update(stopped_by=said.stopped_by, replans=replans, problem="")
    if said.value is None:
        problem = said.problem if replans < planning.max_replans else ""
        return draft.update(problem=problem, replans=replans)
    tasks = extended_tasks(before, said.value)
    shown = tuple((f"task {one['number']}", one["text"]) for one in tasks[len(before) :])
    emit(Planned(step=said.step, steps=shown))
    tainted = state.get("tainted", False) or bool(before)
    return draft.update(tasks=tasks, problem="", replans=replans, tainted=tainted)


async def _messages(parts: Parts, draft: Draft, state: PlanState) -> list[Message]:
    system = parts.prompts.system("planner", tools=tool_list(tools_of(parts, state)))
    tasks, problem = state.get("tasks", []), state.get("problem", "")
    if not tasks and not problem:
        return [system, await first_question(parts, draft, state)]
    tokens, fence = await evidence_room(parts), draft.fence
    results, failures = results_of(draft, tasks), failures_of(draft, tasks, problem)
    again = parts.prompts.user(
        "planner_again",
        turns=answering.earlier(state),
        fence=fence,
        question=state["question"],
        evidence=fit_evidence(parts, results, tokens=tokens * 3 // 4, fence=fence) or "None.",
        failures=fit_evidence(parts, failures, tokens=tokens // 4, fence=fence),
        first=str(len(tasks) + 1),
        left=described(left_of(parts.limits(state), draft.spent)),
    )
    return [system, again]


def _dispatch(planning: Planner, state: PlanState) -> Update:
    """Choose the tasks that run now: those that are ready, as far as the steps go."""
    draft = Draft(state)
    left = minus(left_of(planning.parts.limits(state), draft.spent), planning.parts.held(state))
    tasks = [task.copy() for task in state.get("tasks", [])]
    block_tasks(tasks)
    count = min(planning.parts.parallel, left.steps // _STEPS_OF_A_TASK)
    chosen = ready_tasks(tasks)[: int(count)]
    if ready_tasks(tasks) and (not chosen or left.seconds <= 0):
        stopped = "steps" if left.seconds > 0 else "seconds"
        return draft.update(tasks=tasks, stopped_by=stopped)
    for task in chosen:
        step = draft.next_step()
        task["status"], task["step"] = "running", step
        draft.add(Record(id=step, kind="note", name="task", result=draft.keep(task["text"])))
    return draft.update(tasks=tasks)


def _sends(planning: Planner, state: PlanState) -> list[Send] | str:
    tasks = state.get("tasks", [])
    chosen = [task for task in tasks if task["status"] == "running"]
    if not chosen:
        return "solve"
    return [Send("execute", _given(planning, state, task, len(chosen))) for task in chosen]


def _given(planning: Planner, state: PlanState, task: Task, parts: int) -> AgentState:
    """What the agent gets that carries out a task: its question, and what is known so far."""
    draft = Draft(state)
    limits = minus(left_of(planning.parts.limits(state), draft.spent), planning.parts.held(state))
    known = results_of(draft, state.get("tasks", []))
    inherited = Inherited(
        run=draft.run,
        path=f"{task.get('step', '')}/",
        fence=draft.fence,
        tainted=state.get("tainted", False) or bool(known),
        limits=limits_to_keep(share(limits, parts)),
        background=[*answering.background_of(state), *([label, text] for label, text in known)],
    )
    question = planning.parts.prompts.fill("task", task=task["text"], question=state["question"])
    return {"question": question, "inherited": inherited, "ordinal": task["number"]}


async def _execute(planning: Planner, state: AgentState) -> Update:
    # `Any`: what a graph is given and gives is open in LangGraph's types.
    agent: Any = planning.executor
    given = {key: value for key, value in state.items() if key in {"question", "inherited"}}
    output: AgentOutput = await agent.ainvoke(given)
    return {"wave": [Worked(number=state.get("ordinal", 0), output=output)]}


def _collect(state: PlanState) -> Update:
    """Take in what came of the tasks that ran together."""
    draft = Draft(state)
    tasks = [task.copy() for task in state.get("tasks", [])]
    ended_by: dict[str, str] = {}
    seconds = 0.0
    for done in sorted(state.get("wave", []), key=lambda one: one["number"]):
        output, task = done["output"], tasks[done["number"] - 1]
        draft.take(output)
        spent = output.get("spent") or nothing_spent()
        seconds = max(seconds, spent["seconds"])
        draft.spent = added(draft.spent, worked(spent, -spent["seconds"]))
        by = output.get("ended_by") or {}
        task["status"] = "done" if by.get("name") in {FINISH, CONCLUDE} else "failed"
        task["result"] = draft.keep(_said(output))
        if by.get("name") == CONCLUDE and not ended_by:
            ended_by = {"name": CONCLUDE, "text": output.get("answer", "")}
    draft.spent = worked(draft.spent, seconds)
    block_tasks(tasks)
    return draft.update(tasks=tasks, wave=Overwrite([]), ended_by=ended_by)


def _said(output: AgentOutput) -> str:
    text = output.get("answer", "")
    if (output.get("ended_by") or {}).get("name") == REPLAN:
        return f"A new plan is asked for: {text}"
    stopped = output.get("stopped_by", "finished")
    return text if stopped == "finished" else f"Not done, stopped by {stopped}: {text}"


async def _solve(parts: Parts, state: PlanState) -> Update:
    draft = Draft(state)
    stopped = state.get("stopped_by", "finished")
    concluded = (state.get("ended_by") or {}).get("text", "").strip()
    if concluded:
        return ended(draft, state, text=concluded, stopped_by="finished")
    tasks = state.get("tasks", [])
    evidence = [*results_of(draft, tasks), *failures_of(draft, tasks, state.get("problem", ""))]
    return await answer(parts, draft, state, evidence=evidence, stopped_by=stopped)
