"""Teams: a supervisor that hands tasks over to named agents, one at a time."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Unpack

from ragkit.agents import answering, window
from ragkit.agents.budget import left_of, minus, share
from ragkit.agents.calling import Done, observed, recorded, repeated_too_often
from ragkit.agents.events import Called, emit
from ragkit.agents.handover import Task, hand_over
from ragkit.agents.loop import FINISH, FINISH_CONTROL, Control, Loop, loop_graph, text_arguments
from ragkit.agents.parts import Agent, AgentOptions, Parts, finished
from ragkit.agents.state import AgentState, Draft, Update, arguments_of
from ragkit.core.protocols import LLM

PROMPTS = ("supervisor", "question", "observations", *answering.PROMPTS, *window.PROMPTS)

_STEPS_TO_DIVIDE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """An agent of a team, and what the supervisor is told that it does."""

    agent: Agent
    does: str


def team(llm: LLM, members: Mapping[str, Member], **options: Unpack[AgentOptions]) -> Agent:
    """An agent that hands tasks over to others and answers from what they bring.

    A member's answer is untrusted text for the supervisor and for members after it, and a member
    gets at most half of what is left of the budget.

    Args:
        llm: The supervisor's model.
        members: Agents by name, with what they do.
        options: See `AgentOptions`; the journal and the approvals are the members' own.

    Raises:
        ConfigError: A prompt is given that the agent does not use.
        InputError: There is no member.
    """
    offered = [
        Control(name=name, description=member.does, parameters=text_arguments("task", "The task."))
        for name, member in members.items()
    ]
    parts = Parts.of(llm, offered, PROMPTS, options)

    async def act(state: AgentState) -> Update:
        return await _hand_over(parts, members, state)

    loop = Loop(
        parts=parts,
        system="supervisor",
        controls={FINISH: FINISH_CONTROL},
        max_calls=1,
        window_tokens=None,
        summarise=False,
        write=False,
        act=act,
    )
    return finished(loop_graph(loop), parts, pattern="team", options=options)


async def _hand_over(parts: Parts, members: Mapping[str, Member], state: AgentState) -> Update:
    draft = Draft(state)
    call = state.get("calls", [])[0]
    arguments = arguments_of(call)
    emit(Called(step=call["id"], tool=call["tool"], arguments=arguments))
    left = minus(left_of(parts.limits(state), draft.spent), parts.held(state))
    output = await hand_over(
        members[call["tool"]].agent,
        draft,
        Task(
            question=str(arguments["task"]),
            step=call["id"],
            limits=share(left, 2 if left.steps >= _STEPS_TO_DIVIDE else 1),
            tainted=state.get("tainted", False),
        ),
    )
    stopped = output.get("stopped_by", "finished")
    text = output.get("answer", "")
    said = text if stopped == "finished" else f"(stopped by {stopped}) {text}"
    done = Done(text=said, failed=False)
    emit(observed(call, done))
    ended = recorded(draft, call, done)
    changes: Update = {"calls": [ended], "tainted": True}
    if repeated_too_often(draft.trace, [call["id"]]):
        changes["stopped_by"] = "repeats"
    return draft.update(**changes)
