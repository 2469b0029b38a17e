"""ReWOO: one plan with references between its steps, run without the model, then one answer.

After Xu et al., ReWOO: Decoupling Reasoning from Observations for Efficient Augmented Language
Models (2023); with plans that cannot be cyclic, steps in parallel, and a new plan for failed ones.
"""

import asyncio
import functools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Unpack

from langgraph.constants import END, START

from ragkit.agents import final_answer
from ragkit.agents.agent import Agent, AgentGraph
from ragkit.agents.approval import approval_node
from ragkit.agents.budget import described, worked
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
from ragkit.agents.final_answer import answer, edits_of
from ragkit.agents.model_call import ModelReply, ModelRequest, ask
from ragkit.agents.options import AgentOptions, agent_context, at_least
from ragkit.agents.rewoo_plan import (
    EVIDENCE,
    RewooStep,
    block_dependants,
    extended,
    lost_steps,
    needs_of,
    ready_steps,
    resolved,
    shown_arguments,
    untrusted_steps,
)
from ragkit.agents.state import AgentCall, AgentState, Update, waits
from ragkit.agents.subtasks import Subtasks
from ragkit.agents.tool_call import (
    Control,
    ToolOutcome,
    full_arguments,
    observed,
    perform,
    planned_call,
    recorded,
    repeated_too_often,
    specs_of,
)
from ragkit.agents.tools.langchain import AnyTools, as_tools
from ragkit.core.errors import InputError, ToolError
from ragkit.core.protocols import LLM, Tool
from ragkit.core.types import Message
from ragkit.grammar import Grammar, Plan, plan_grammar
from ragkit.grammar.schema.composition import object_schema

PROMPTS = ("rewoo", "question", "replan", *final_answer.PROMPTS)

_CACHED = 16


class RewooState(AgentState, total=False):
    """`replans` counts the plans after the first; `problem` is why the last could not be read."""

    plan: list[RewooStep]
    replans: int
    problem: str


def rewoo(
    llm: LLM,
    tools: AnyTools,
    *,
    max_steps: int = 8,
    max_replans: int = 2,
    **options: Unpack[AgentOptions],
) -> Agent:
    """Make an agent that plans all calls at once, makes them, and answers from the results.

    It calls the model twice where nothing fails, however many tools are called.

    Args:
        llm: The model.
        tools: The tools that it can call, at least one.
        max_steps: Steps of a plan.
        max_replans: Plans after the first, for steps that failed and those that need them.
        options: See `AgentOptions`.

    Raises:
        ConfigError: A prompt is given that the agent does not use.
        InputError: No tool is given, two have one name, or a schema cannot be honoured.
    """
    at_least(1, max_steps=max_steps)
    at_least(0, max_replans=max_replans)
    offered = as_tools(tools)
    context = agent_context(
        "rewoo", llm, tools=offered, prompts=PROMPTS, options=options, reserved=(EVIDENCE,)
    )
    pattern = ReWOO(context=context, max_steps=max_steps, max_replans=max_replans)
    plan_grammar(specs_of(offered), 1)
    return pattern.graph().finish(options)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReWOO:
    """The nodes of a ReWOO agent. `grammars` are kept by the names of tools and results."""

    context: AgentContext
    max_steps: int
    max_replans: int
    grammars: dict[tuple[str, ...], Grammar[Plan]] = field(
        default_factory=dict[tuple[str, ...], Grammar[Plan]]
    )

    def graph(self) -> AgentGraph:
        """Return the graph: a plan, its steps, new plans for what failed, then the answer."""
        graph = AgentGraph(self.context, RewooState, gated=True)
        graph.node("start", self.start)
        graph.node("plan", self.plan)
        graph.node("work", self.work)
        graph.node("approve", functools.partial(approval_node, self.context))
        graph.node("solve", self.solve)
        graph.add_edge(START, "start")
        graph.add_edge("start", "plan")
        graph.branch("plan", self.after_plan, ["work", "plan", "solve"])
        graph.branch("work", self.after_work, ["approve", "work", "plan", "solve"])
        graph.branch("approve", self.after_approval, ["approve", "work"])
        graph.add_edge("solve", END)
        return graph

    async def start(self, state: RewooState) -> Update:
        """Choose the tools."""
        turn = self.context.begin(state)
        chosen = await turn.choose_tools()
        return turn.update(chosen=chosen, plan=[], replans=0, problem="")

    async def plan(self, state: RewooState) -> Update:
        """Ask for a plan, or for steps instead of those that failed."""
        context, turn = self.context, self.context.turn(state)
        before = list(state.get("plan", []))
        again = bool(before or state.get("problem"))
        chosen = await turn.choose_tools(_lost_work(turn)) if again else turn.chosen
        messages = await self._messages(turn, again=again)
        request = ModelRequest(
            name="rewoo",
            messages=messages,
            grammar=self._grammar(turn),
            max_tokens=context.reply_tokens,
        )
        said = await ask(turn, request)
        replans = state.get("replans", 0) + again
        if said.stopped_by:
            return turn.update(stopped_by=said.stopped_by, replans=replans, problem="")
        plan, problem = self._extended(turn, said)
        if replans >= self.max_replans:
            problem = ""
        return turn.update(plan=plan, problem=problem, replans=replans, calls=[], chosen=chosen)

    async def work(self, state: RewooState) -> Update:
        """Run the steps until nothing more can be done without a person."""
        turn = self.context.turn(state)
        schedule = Schedule(turn)
        await schedule.run()
        if schedule.ended:
            first = schedule.ended[0]["id"]
            turn.messages.insert(0, turn.calls(first, "", schedule.ended))
        trusted = self.context.trusted_tools
        changes: Update = {
            "plan": schedule.plan,
            "calls": schedule.asking,
            "tainted": turn.tainted or any(one["tool"] not in trusted for one in schedule.ended),
        }
        if schedule.out_of_time:
            changes["stopped_by"] = "seconds"
        elif repeated_too_often(turn, [step["call"] for step in lost_steps(schedule.plan)]):
            changes["stopped_by"] = "repeats"
        return turn.update(**changes)

    async def solve(self, state: RewooState) -> Update:
        """Write the answer from the results and the failures."""
        turn = self.context.turn(state)
        return await answer(turn, [*_results(turn), *_failures(turn)])

    async def after_plan(self, state: RewooState) -> str:
        """Return the node after `plan`."""
        if state.get("stopped_by", "finished") != "finished":
            return "solve"
        return "plan" if state.get("problem") else "work"

    async def after_work(self, state: RewooState) -> str:
        """Return the node after `work`."""
        if waits(state):
            return "approve"
        if state.get("stopped_by", "finished") != "finished":
            return "solve"
        plan = state.get("plan", [])
        if ready_steps(plan) or any(step["status"] == "asking" for step in plan):
            return "work"
        again = state.get("replans", 0) < self.max_replans
        return "plan" if lost_steps(plan) and again else "solve"

    async def after_approval(self, state: RewooState) -> str:
        """Return the node after `approve`."""
        return "approve" if waits(state) else "work"

    def _extended(
        self, turn: AgentTurn[RewooState], said: ModelReply[Plan]
    ) -> tuple[list[RewooStep], str]:
        """Return the plan with the new steps, and why they could not be read, if so."""
        before = list(turn.state.get("plan", []))
        if said.value is None:
            return before, said.problem
        for step in said.value.steps:
            tool = self.context.tools.get(step.tool)
            if tool and (cut := full_arguments(step.arguments, tool, said.limits)):
                return before, f"{' and '.join(cut)} of {step.id} may be cut: write less."
        try:
            tainted = turn.tainted or bool(before)
            plan = extended(before, said.value, step=said.step, tainted=tainted)
        except InputError as error:
            return before, str(error)
        shown = tuple(
            (step["id"], f"{step['tool']}({shown_arguments(step['arguments'])})")
            for step in plan[len(before) :]
        )
        turn.emit(Planned(step=said.step, steps=shown))
        return plan, ""

    def _grammar(self, turn: AgentTurn[RewooState]) -> Grammar[Plan]:
        """Return the grammar of a plan; results so far can be taken as evidence."""
        tools: list[Tool] = turn.tools
        done = [step["id"] for step in turn.state.get("plan", []) if step["status"] == "done"]
        if done:
            tools = [*tools, _evidence_control(done)]
        key = (*(tool.name for tool in tools), *done)
        if key not in self.grammars:
            while len(self.grammars) >= _CACHED:
                self.grammars.pop(next(iter(self.grammars)))
            limits = self.context.limits
            self.grammars[key] = plan_grammar(specs_of(tools), self.max_steps, limits=limits)
        return self.grammars[key]

    async def _messages(self, turn: AgentTurn[RewooState], *, again: bool) -> list[Message]:
        prompts = self.context.prompts
        system = prompts.system("rewoo", tools=tool_list(self.context, turn.tools))
        if not again:
            return [system, await first_question(turn, turn.tools)]
        tokens = await evidence_room(self.context)
        replan = prompts.user(
            "replan",
            turns=untrusted_descriptions(turn, turn.tools) + earlier(turn),
            fence=turn.fence,
            question=turn.question,
            evidence=fit_evidence(turn, _results(turn), tokens=tokens * 3 // 4) or "None.",
            failures=fit_evidence(turn, _failures(turn), tokens=tokens // 4),
            left=described(turn.left),
        )
        return [system, replan]


class Schedule:
    """The steps of a plan while they run: each starts as soon as its inputs are there."""

    def __init__(self, turn: AgentTurn[RewooState]) -> None:
        """Take up the plan of the state; results are recorded in the turn."""
        self._turn = turn
        self.plan = [step.copy() for step in turn.state.get("plan", [])]
        calls = turn.state.get("calls", [])
        self.asking: list[AgentCall] = [call for call in calls if call["status"] == "ask"]
        self.ended: list[AgentCall] = []
        self.out_of_time = False
        self._decided = {call["id"]: call for call in calls if call["status"] == "ready"}
        self._ends = asyncio.get_running_loop().time() + turn.spare.seconds
        self._steps = {step["call"]: step for step in self.plan if self._may_run(step)}
        self._calls: dict[str, AgentCall] = {}
        self._tasks: Subtasks[AgentCall] = Subtasks(
            list(self._steps), self._perform, name="call", parallel=turn.context.parallel
        )

    async def run(self) -> None:
        """Run until nothing more can be done without a person."""
        loop = asyncio.get_running_loop()
        started, longest = loop.time(), 0.0
        try:
            for name, call in self._decided.items():
                if self._tasks.may_start(name):
                    self._launch(call)
                else:
                    self.asking.append(call)
            while True:
                self._start()
                if not self._tasks.running:
                    break
                for name, result in await self._tasks.done():
                    done = ToolOutcome(**result)
                    longest = max(longest, done.seconds)
                    self._finish(self._steps[name], self._calls[name], done)
            await self._tasks.close()
        finally:
            self._tasks.stop()
        # Results from before an interrupt took their time then.
        self._turn.spent = worked(self._turn.spent, max(loop.time() - started, longest))

    def _may_run(self, step: RewooStep) -> bool:
        return step["status"] == "waiting" or (
            step["status"] == "asking" and step["call"] in self._decided
        )

    def _start(self) -> None:
        """Start every step whose inputs are there."""
        block_dependants(self.plan)
        for step in ready_steps(self.plan):
            if not self._tasks.may_start(step["call"]):
                continue
            if asyncio.get_running_loop().time() >= self._ends:
                self.out_of_time = True
                return
            self._prepare(step)
        block_dependants(self.plan)

    def _prepare(self, step: RewooStep) -> None:
        turn = self._turn
        try:
            tool = turn.context.tools[step["tool"]]
            arguments = resolved(tool, step["arguments"], self._values())
        except ToolError as error:
            refused = AgentCall(id=step["call"], tool=step["tool"], arguments="{}", status="ready")
            done = ToolOutcome(text=str(error), failed=True)
            turn.emit(observed(refused, done))
            self._finish(step, refused, done)
            return
        call = planned_call(
            turn, step["tool"], arguments, step=step["call"], tainted=self._is_tainted(step)
        )
        if call["status"] == "ask":
            step["status"] = "asking"
            self.asking.append(call)
        else:
            self._launch(call)

    def _launch(self, call: AgentCall) -> None:
        self._calls[call["id"]] = call
        self._tasks.start(call["id"], call)

    async def _perform(self, call: AgentCall) -> dict[str, Any]:
        return asdict(await perform(self._turn, call, ends=self._ends))

    def _finish(self, step: RewooStep, call: AgentCall, done: ToolOutcome) -> None:
        ended = recorded(self._turn, call, done)
        self.ended.append(ended)
        step["status"] = "failed" if done.failed else "done"
        step["result"] = ended.get("result", "")
        step["trimmed"] = done.trimmed
        if done.value:
            step["value"] = self._turn.keep(done.value)

    def _values(self) -> Mapping[str, tuple[str, str]]:
        """Return the results by label: the value as JSON, and the text unless it was cut."""
        texts = self._turn.texts
        return {
            step["id"]: (
                texts.get(step.get("value", ""), ""),
                "" if step.get("trimmed") else texts[step.get("result", "")],
            )
            for step in self.plan
            if step["status"] == "done"
        }

    def _is_tainted(self, step: RewooStep) -> bool:
        """Return whether untrusted text may have shaped the arguments of a step."""
        untrusted = untrusted_steps(self.plan, self._turn.context.trusted_tools)
        return step.get("tainted", False) or not untrusted.isdisjoint(needs_of(step["arguments"]))


def _lost_work(turn: AgentTurn[RewooState]) -> str:
    """Return what a new plan is about: the calls that failed and those that need them."""
    lost = lost_steps(turn.state.get("plan", []))
    return "\n".join(f"{step['tool']} {shown_arguments(step['arguments'])}" for step in lost)


def _evidence_control(labels: Sequence[str]) -> Control:
    return Control(
        name=EVIDENCE,
        description="Takes a result from above, by its label.",
        parameters=object_schema(label={"enum": list(labels)}),
    )


def _results(turn: AgentTurn[RewooState]) -> list[tuple[str, str]]:
    """Return background and results, by the labels of the plan."""
    done = (step for step in turn.state.get("plan", []) if step["status"] == "done")
    results = [
        (f"{step['id']} {step['tool']}", turn.texts[step.get("result", "")]) for step in done
    ]
    return [*turn.background, *edits_of(turn), *results]


def _failures(turn: AgentTurn[RewooState]) -> list[tuple[str, str]]:
    """Return the steps that failed and those that wait for them, with the reasons."""
    found: list[tuple[str, str]] = []
    for step in lost_steps(turn.state.get("plan", [])):
        reason = turn.texts.get(step.get("result", ""), "It needs a step that failed.")
        call = f"{step['tool']}({shown_arguments(step['arguments'])})"
        found.append((f"{step['id']} {step['status']}", f"{call}\n{reason}"))
    problem = turn.state.get("problem")
    return [*found, ("plan", f"The plan could not be read: {problem}")] if problem else found
