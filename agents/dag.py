"""ReWOO: one plan with references between its steps, run without the model, then one answer.

After Xu et al., ReWOO: Decoupling Reasoning from Observations for Efficient Augmented Language
Models (2023); with plans that cannot be cyclic, steps in parallel, and a new plan for what failed.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Unpack, cast

from langgraph.constants import END, START

from ragkit.agents import answering
from ragkit.agents.answering import (
    answer,
    background_of,
    earlier,
    evidence_room,
    first_question,
    fit_evidence,
)
from ragkit.agents.approval import approval_node, waits
from ragkit.agents.asking import Question, Said, ask
from ragkit.agents.budget import described, left_of, minus
from ragkit.agents.calling import repeated_too_often
from ragkit.agents.events import Planned as PlanShown
from ragkit.agents.events import emit
from ragkit.agents.loop import FINISH, Control
from ragkit.agents.parts import Agent, AgentOptions, Graph, Parts, agent_graph, finished, specs_of
from ragkit.agents.prompting import tool_list
from ragkit.agents.references import shown_arguments
from ragkit.agents.rewoo_plan import EVIDENCE, Planned, RewooState, extended, lost
from ragkit.agents.schedule import Schedule
from ragkit.agents.starting import choose_tools, start, tools_of
from ragkit.agents.state import Draft, Update
from ragkit.core.errors import InputError
from ragkit.core.protocols import LLM, Tool
from ragkit.core.types import Message
from ragkit.grammar import Grammar, Plan, plan_grammar

PROMPTS = ("rewoo", "question", "replan", *answering.PROMPTS)

_ROUNDED = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Planning:
    """What planning needs beside the parts. `grammars` are kept by tools, steps and size."""

    parts: Parts
    max_steps: int
    max_replans: int
    grammars: dict[tuple[tuple[str, ...], int, int], Grammar[Plan] | None] = field(
        default_factory=dict[tuple[tuple[str, ...], int, int], Grammar[Plan] | None]
    )


def rewoo(
    llm: LLM,
    tools: Iterable[Tool],
    *,
    max_steps: int = 8,
    max_replans: int = 2,
    **options: Unpack[AgentOptions],
) -> Agent:
    """An agent that plans all calls at once, makes them, and answers from the results.

    Two calls of the model where nothing fails, however many tools are called.

    Args:
        llm: The model.
        tools: What it can do, at least one.
        max_steps: Steps of a plan; fewer where the longest reply would not fit.
        max_replans: Plans after the first, for steps that failed and those that need them.
        options: See `AgentOptions`.

    Raises:
        ConfigError: A prompt is given that the agent does not use.
        InputError: There is no tool, two have one name, or a schema cannot be honoured.
    """
    parts = Parts.of(llm, [t for t in tools if t.name != FINISH], PROMPTS, options)
    planning = Planning(parts=parts, max_steps=max_steps, max_replans=max_replans)
    plan_grammar(specs_of(parts.tools.values()), 1)
    return finished(_graph(planning), parts, pattern="rewoo", options=options)


def _graph(planning: Planning) -> Graph:
    parts = planning.parts

    async def begin(state: RewooState) -> Update:
        update: Update = {**start(state), "plan": [], "replans": 0, "problem": ""}
        draft = Draft(cast("RewooState", {**state, **update}))
        chosen = await choose_tools(parts, draft, state)
        return {**update, **draft.first(chosen=chosen)}

    async def plan(state: RewooState) -> Update:
        return await _plan(planning, state)

    async def work(state: RewooState) -> Update:
        return await _work(parts, state)

    async def approve(state: RewooState) -> Update:
        return approval_node(parts, state)

    async def solve(state: RewooState) -> Update:
        return await _solve(parts, state)

    async def after_work(state: RewooState) -> str:
        return _after_work(planning, state)

    graph = agent_graph(RewooState)
    for name, node in {"start": begin, "plan": plan, "work": work, "solve": solve}.items():
        graph.add_node(name, node)
    graph.add_node("approve", approve)
    graph.add_edge(START, "start")
    graph.add_edge("start", "plan")
    graph.add_conditional_edges("plan", _after_plan, ["work", "plan", "solve"])
    graph.add_conditional_edges("work", after_work, ["approve", "plan", "solve"])
    graph.add_conditional_edges("approve", _after_approval, ["approve", "work"])
    graph.add_edge("solve", END)
    return graph


async def _after_plan(state: RewooState) -> str:
    if state.get("stopped_by", "finished") != "finished":
        return "solve"
    return "plan" if state.get("problem") else "work"


def _after_work(planning: Planning, state: RewooState) -> str:
    if waits(state):
        return "approve"
    if state.get("stopped_by", "finished") != "finished":
        return "solve"
    again = state.get("replans", 0) < planning.max_replans
    return "plan" if lost(state.get("plan", [])) and again else "solve"


async def _after_approval(state: RewooState) -> str:
    return "approve" if waits(state) else "work"


async def _plan(planning: Planning, state: RewooState) -> Update:
    """Ask for a plan, or for what to do instead of the steps that failed."""
    parts, draft = planning.parts, Draft(state)
    before = list(state.get("plan", []))
    again = bool(before or state.get("problem"))
    tools = list(tools_of(parts, state))
    labels = [step["id"] for step in before if step["status"] == "done"]
    if labels:
        tools.append(_evidence_control(labels))
    left = minus(left_of(parts.limits(state), draft.spent), parts.held(state))
    messages = await _messages(parts, draft, state)
    room = min(parts.reply_tokens, left.tokens - parts.count_tokens(messages))
    room = min(room, await parts.llm.context_tokens() - parts.count_tokens(messages))
    said = await ask(
        parts,
        draft,
        Question(
            name="rewoo",
            messages=messages,
            grammar=_grammar(planning, tools, int(room)),
            left=left,
            reply=parts.reply_tokens,
        ),
    )
    replans = state.get("replans", 0) + again
    if said.stopped_by:
        return draft.update(stopped_by=said.stopped_by, replans=replans, problem="")
    changes = _planned(state, draft, said, before=before)
    if changes["problem"] and replans >= planning.max_replans:
        changes = {**changes, "problem": ""}
    return draft.update(**changes, replans=replans, calls=[])


def _planned(
    state: RewooState, draft: Draft, said: Said[Plan], *, before: Sequence[Planned]
) -> Update:
    if said.value is None:
        return {"plan": list(before), "problem": said.problem}
    tainted = state.get("tainted", False) or bool(before)
    try:
        plan = extended(before, said.value, step=said.step, tainted=tainted)
    except InputError as error:
        return {"plan": list(before), "problem": str(error)}
    shown = [
        (step["id"], f"{step['tool']}({shown_arguments(step['arguments'])})")
        for step in plan[len(before) :]
    ]
    emit(PlanShown(step=said.step, steps=tuple(shown)))
    return {"plan": plan, "problem": ""}


def _evidence_control(labels: Sequence[str]) -> Control:
    return Control(
        name=EVIDENCE,
        description="Takes a result from above, by its label.",
        parameters={
            "type": "object",
            "properties": {"label": {"enum": list(labels)}},
            "required": ["label"],
            "additionalProperties": False,
        },
    )


def _grammar(planning: Planning, tools: Sequence[Tool], room: int) -> Grammar[Plan]:
    """The grammar of a plan with as many steps as allowed, or as fit the room."""
    names = (*(t.name for t in tools), str(tools[-1].parameters) if tools else "")
    rounded = room // _ROUNDED * _ROUNDED
    specs = specs_of(tools)
    for steps in range(planning.max_steps, 1, -1):
        key = (names, steps, rounded)
        if key not in planning.grammars:
            planning.grammars[key] = _fitted(plan_grammar(specs, steps), rounded)
        found = planning.grammars[key]
        if found is not None:
            return found
    return plan_grammar(specs, 1)


def _fitted(grammar: Grammar[Plan], room: int) -> Grammar[Plan] | None:
    try:
        return grammar.fit(room)
    except InputError:
        return None


async def _messages(parts: Parts, draft: Draft, state: RewooState) -> list[Message]:
    system = parts.prompts.system("rewoo", tools=tool_list(tools_of(parts, state)))
    again = state.get("plan") or state.get("problem")
    return [system, await (_replan if again else first_question)(parts, draft, state)]


async def _replan(parts: Parts, draft: Draft, state: RewooState) -> Message:
    """What was planned, what came of it and what failed."""
    evidence, failures = _evidence(draft, state), _failures(draft, state)
    tokens, fence = await evidence_room(parts), draft.fence
    return parts.prompts.user(
        "replan",
        turns=earlier(state),
        fence=fence,
        question=state["question"],
        evidence=fit_evidence(parts, evidence, tokens=tokens * 3 // 4, fence=fence) or "None.",
        failures=fit_evidence(parts, failures, tokens=tokens // 4, fence=fence),
        left=described(left_of(parts.limits(state), draft.spent)),
    )


def _evidence(draft: Draft, state: RewooState) -> list[tuple[str, str]]:
    """Background and results, by the labels of the plan."""
    found = [(label, text) for label, text in background_of(state)]
    for step in state.get("plan", []):
        if step["status"] == "done":
            label = f"{step['id']} {step['tool']}"
            found.append((label, draft.texts[step.get("result", "")]))
    return found


def _failures(draft: Draft, state: RewooState) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for step in lost(state.get("plan", [])):
        reason = draft.texts.get(step.get("result", ""), "It needs a step that failed.")
        call = f"{step['tool']}({shown_arguments(step['arguments'])})"
        found.append((f"{step['id']} {step['status']}", f"{call}\n{reason}"))
    problem = state.get("problem")
    return [*found, ("plan", f"The plan could not be read: {problem}")] if problem else found


async def _work(parts: Parts, state: RewooState) -> Update:
    draft = Draft(state)
    left = minus(left_of(parts.limits(state), draft.spent), parts.held(state))
    plan = [step.copy() for step in state.get("plan", [])]
    schedule = Schedule(parts, draft, plan, list(state.get("calls", [])), left)
    await schedule.run()
    changes: Update = {"plan": plan, "calls": schedule.asking}
    if schedule.out_of_time:
        changes["stopped_by"] = "seconds"
    elif _repeats(draft, plan):
        changes["stopped_by"] = "repeats"
    return draft.update(**changes)


def _repeats(draft: Draft, plan: Sequence[Planned]) -> bool:
    """Whether a step that failed had failed in the same way twice before."""
    return repeated_too_often(draft.trace, [step["call"] for step in lost(plan)])


async def _solve(parts: Parts, state: RewooState) -> Update:
    draft = Draft(state)
    evidence = [*_evidence(draft, state), *_failures(draft, state)]
    stopped = state.get("stopped_by", "finished")
    return await answer(parts, draft, state, evidence=evidence, stopped_by=stopped)
