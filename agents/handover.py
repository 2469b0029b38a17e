"""Handing a task to another agent: what it gets, and what comes back."""

from dataclasses import dataclass
from typing import Any

from ragkit.agents.budget import Amount, added, nothing_spent
from ragkit.agents.parts import Agent
from ragkit.agents.state import AgentOutput, Draft, Inherited, limits_to_keep


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A task for another agent.

    Attributes:
        question: What it is asked.
        step: The step that hands over, below which its own steps are.
        limits: What it may take.
        tainted: Whether untrusted text may have shaped the question.
        background: Labelled texts that it starts from.
    """

    question: str
    step: str
    limits: Amount
    tainted: bool
    background: tuple[tuple[str, str], ...] = ()


async def hand_over(agent: Agent, draft: Draft, task: Task) -> AgentOutput:
    """Let another agent do a task within this node; its steps and costs join the draft's."""
    # `Any`: what a graph is given and gives is open in LangGraph's types.
    graph: Any = agent
    output: AgentOutput = await graph.ainvoke(
        {
            "question": task.question,
            "inherited": Inherited(
                run=draft.run,
                path=f"{task.step}/",
                fence=draft.fence,
                tainted=task.tainted,
                limits=limits_to_keep(task.limits),
                background=[list(item) for item in task.background],
            ),
        }
    )
    draft.take(output)
    draft.spent = added(draft.spent, output.get("spent") or nothing_spent())
    return output
