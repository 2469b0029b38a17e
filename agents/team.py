"""Teams: a supervisor that hands tasks over to named agents, one at a time."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Unpack, cast

from ragkit.agents import conversation, final_answer
from ragkit.agents.agent import Agent, check_worker, hand_over
from ragkit.agents.budget import share
from ragkit.agents.context import AgentTurn
from ragkit.agents.events import Called
from ragkit.agents.hooks import refusal_of_hooks, result_of_hooks
from ragkit.agents.options import AgentOptions, agent_context
from ragkit.agents.react import ReAct
from ragkit.agents.state import AgentCall, AgentState, Update, arguments_of
from ragkit.agents.tool_call import (
    FINISH,
    Control,
    ToolOutcome,
    observed,
    recorded,
    repeated_too_often,
)
from ragkit.core.errors import InputError
from ragkit.core.protocols import LLM
from ragkit.core.types import ToolResult

PROMPTS = ("supervisor", "question", "observations", *final_answer.PROMPTS, *conversation.PROMPTS)

_STEPS_TO_DIVIDE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """An agent of a team, and the description of its work that the supervisor reads."""

    agent: Agent
    does: str


def team(llm: LLM, members: Mapping[str, Member], **options: Unpack[AgentOptions]) -> Agent:
    """Make an agent that hands tasks over to others and answers from their answers.

    A member's answer is untrusted text for the supervisor and for members after it, and a member
    gets at most half of the rest of the budget.

    Args:
        llm: The supervisor's model.
        members: Agents by name, with a description of their work.
        options: See `AgentOptions`; the journal and the approvals are the members' own.

    Raises:
        ConfigError: A prompt is given that the agent does not use.
        ConfigError: An option is unknown, or the cost is limited and a member has no price.
        InputError: There is no member, one is no `Member`, or has the name of the supervisor's own
            call.
    """
    _check_members(members)
    offered = [Control.of_text(name, one.does, task="The task.") for name, one in members.items()]
    context = agent_context(
        "team", llm, tools=offered, prompts=PROMPTS, options=options, reserved=(FINISH,)
    )
    for name, member in members.items():
        check_worker(member.agent, name, budget=context.budget)
    pattern = Team(context=context, system="supervisor", max_calls=1, members=members)
    return pattern.graph().finish(options)


def _check_members(members: object) -> None:
    known = isinstance(members, Mapping)
    given = list(cast("Mapping[str, object]", members).values()) if known else []
    if not known or not all(isinstance(one, Member) for one in given):
        raise InputError(
            f"The members are {members!r:.200}. Fix: pass a dictionary of a Member for each name."
        )
    if not given:
        raise InputError("A team needs at least one member, got none.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Team(ReAct):
    """The nodes of a supervisor: those of ReAct, with members instead of tools."""

    members: Mapping[str, Member]

    @property
    def agents(self) -> list[Agent]:
        """The members' agents."""
        return [member.agent for member in self.members.values()]

    async def act(self, state: AgentState) -> Update:
        """Hand a task over to a member, unless it was cut or a hook refuses it."""
        turn: AgentTurn = self.context.turn(state)
        call, hooks = state.get("calls", [])[0], self.context.hooks
        step, name, arguments = call["id"], call["tool"], arguments_of(call)
        turn.emit(Called(step=step, tool=name, arguments=arguments))
        refused = call.get("refused") or await refusal_of_hooks(hooks, step, name, arguments)
        if refused is None:
            said = await self._handed_over(turn, call, str(arguments["task"]))
            result = await result_of_hooks(hooks, step, name, ToolResult(text=said, value=said))
            done = ToolOutcome(text=result.text, failed=False)
        else:
            done = ToolOutcome(text=refused, failed=True)
        turn.emit(observed(call, done))
        tainted = turn.tainted or not done.failed
        changes: Update = {"calls": [recorded(turn, call, done)], "tainted": tainted}
        if repeated_too_often(turn, [step]):
            changes["stopped_by"] = "repeats"
        return turn.update(**changes)

    async def _handed_over(self, turn: AgentTurn, call: AgentCall, task: str) -> str:
        """Have a member do a task and return its answer."""
        left = turn.spare
        limits = share(left, 2 if left.steps >= _STEPS_TO_DIVIDE else 1)
        inherited = turn.inherited(call["id"], limits, tainted=turn.tainted)
        output = await hand_over(self.members[call["tool"]].agent, task, inherited)
        turn.take(output)
        stopped, text = output.get("stopped_by", "finished"), output.get("answer", "")
        return text if stopped == "finished" else f"(stopped by {stopped}) {text}"
