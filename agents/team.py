"""Teams: a supervisor that hands tasks over to named agents, one at a time."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Unpack

from ragkit.agents import conversation, final_answer
from ragkit.agents.agent import Agent, check_worker, hand_over
from ragkit.agents.budget import share
from ragkit.agents.context import AgentTurn
from ragkit.agents.events import Called
from ragkit.agents.options import AgentOptions, agent_context
from ragkit.agents.react import ReAct
from ragkit.agents.state import AgentState, Update, arguments_of
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
        InputError: There is no member, or one has the name of the supervisor's own call.
    """
    if not members:
        raise InputError("A team needs at least one member, got none.")
    offered = [Control.of_text(name, one.does, task="The task.") for name, one in members.items()]
    context = agent_context(
        "team", llm, tools=offered, prompts=PROMPTS, options=options, reserved=(FINISH,)
    )
    for name, member in members.items():
        check_worker(member.agent, name, budget=context.budget)
    pattern = Team(context=context, system="supervisor", max_calls=1, members=members)
    return pattern.graph().finish(options)


@dataclass(frozen=True, slots=True, kw_only=True)
class Team(ReAct):
    """The nodes of a supervisor: those of ReAct, with members instead of tools."""

    members: Mapping[str, Member]

    @property
    def agents(self) -> list[Agent]:
        """The members' agents."""
        return [member.agent for member in self.members.values()]

    async def act(self, state: AgentState) -> Update:
        """Hand a task over to a member."""
        turn: AgentTurn = self.context.turn(state)
        call = state.get("calls", [])[0]
        arguments = arguments_of(call)
        turn.emit(Called(step=call["id"], tool=call["tool"], arguments=arguments))
        left = turn.spare
        limits = share(left, 2 if left.steps >= _STEPS_TO_DIVIDE else 1)
        output = await hand_over(
            self.members[call["tool"]].agent,
            str(arguments["task"]),
            turn.inherited(call["id"], limits, tainted=turn.tainted),
        )
        turn.take(output)
        stopped, text = output.get("stopped_by", "finished"), output.get("answer", "")
        said = text if stopped == "finished" else f"(stopped by {stopped}) {text}"
        done = ToolOutcome(text=said, failed=False)
        turn.emit(observed(call, done))
        changes: Update = {"calls": [recorded(turn, call, done)], "tainted": True}
        if repeated_too_often(turn, [call["id"]]):
            changes["stopped_by"] = "repeats"
        return turn.update(**changes)
