"""The state of a ReWOO run: its plan, and how a new plan replaces what failed."""

from collections.abc import Sequence
from typing import Literal, Required, TypeAlias, TypedDict

from ragkit.agents.references import kept_arguments, needs_of, renamed
from ragkit.agents.state import AgentState
from ragkit.core.errors import InputError
from ragkit.grammar import Plan

Status: TypeAlias = Literal["waiting", "asking", "done", "failed", "blocked", "dropped"]
EVIDENCE = "evidence"


class Planned(TypedDict, total=False):
    """A step of the plan: `id` is its label, `call` its id in the trace.

    `value` and `result` name texts of the state: the result as JSON, and as the model reads it.
    """

    id: Required[str]
    call: Required[str]
    tool: Required[str]
    arguments: Required[str]
    status: Required[Status]
    tainted: bool
    value: str
    result: str


class RewooState(AgentState, total=False):
    """`replans` counts the plans after the first; `problem` is why there is none."""

    plan: list[Planned]
    replans: int
    problem: str


def validated(plan: Plan) -> Plan:
    """The plan, once more checked to be acyclic before anything runs.

    Raises:
        InputError: A step refers to itself, to a later step, or to one that is not there.
    """
    seen: set[str] = set()
    for step in plan.steps:
        for label in step.needs:
            if label not in seen:
                raise InputError(f"Step {step.id} refers to {label}, which is not before it.")
        seen.add(step.id)
    return plan


def extended(before: Sequence[Planned], plan: Plan, *, step: str, tainted: bool) -> list[Planned]:
    """The plan so far with a new one: what did not succeed is dropped, labels go on counting.

    Args:
        before: The steps so far.
        plan: The new steps, numbered from `#E1`.
        step: The id of the planning call in the trace.
        tainted: Whether untrusted text was in the context of the new plan.
    """
    steps = [one.copy() for one in before]
    for one in steps:
        if one["status"] != "done":
            one["status"] = "dropped"
    labels: dict[str, str] = {}
    for ordinal, new in enumerate(validated(plan).steps, 1):
        if new.tool == EVIDENCE:
            labels[new.id] = str(new.arguments["label"])
            continue
        labels[new.id] = f"#E{len(steps) + 1}"
        steps.append(
            Planned(
                id=labels[new.id],
                call=f"{step}.{ordinal}",
                tool=new.tool,
                arguments=renamed(kept_arguments(new.arguments), labels),
                status="waiting",
                tainted=tainted,
            )
        )
    return steps


def block_dependants(plan: Sequence[Planned]) -> None:
    """Mark the steps that need one that failed, and those that need them."""
    lost = {step["id"] for step in plan if step["status"] in {"failed", "blocked", "dropped"}}
    for step in plan:
        if step["status"] == "waiting" and lost.intersection(needs_of(step["arguments"])):
            step["status"] = "blocked"
            lost.add(step["id"])


def ready(plan: Sequence[Planned]) -> list[Planned]:
    """The steps whose inputs are all there."""
    done = {step["id"] for step in plan if step["status"] == "done"}
    return [
        step
        for step in plan
        if step["status"] == "waiting" and done.issuperset(needs_of(step["arguments"]))
    ]


def lost(plan: Sequence[Planned]) -> list[Planned]:
    """The steps that failed and those that could not run without them."""
    return [step for step in plan if step["status"] in {"failed", "blocked"}]
