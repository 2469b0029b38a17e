"""The events of an agent's run as they are kept, and the view that they add up to."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict

NodeState: TypeAlias = Literal["waiting", "running", "done", "failed"]
ItemKind: TypeAlias = Literal["thought", "call", "result", "approval", "note", "plan"]
_REFERENCE = re.compile(r"#E\d+")


class RunEvent(BaseModel):
    """An event: its kind, `at` which second of the run, and its fields."""

    model_config = ConfigDict(frozen=True)

    kind: str
    at: float
    data: dict[str, Any]  # Any: the fields of an event, by its kind


class KeptRun(BaseModel):
    """A run of an agent.

    Attributes:
        question: What was asked.
        pattern: How the agent works.
        model: The name of its model.
        tools: Names of its tools.
        limits: Of steps, tokens and seconds; None for no limit.
        events: In order; the last is `Finished` unless the run was stopped.
        recorded: How a recording that comes with ragkit was made; empty for other runs.
    """

    model_config = ConfigDict(frozen=True)

    question: str
    pattern: str
    model: str
    tools: tuple[str, ...]
    limits: dict[str, float | None]
    events: tuple[RunEvent, ...]
    recorded: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A line of the run: a thought, a call with its result, a note, a plan."""

    kind: ItemKind
    step: str
    head: str
    text: str
    failed: bool = False

    @property
    def depth(self) -> int:
        """Levels above it."""
        return self.step.count(".") + self.step.count("/")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanNode:
    """A step of a plan; `needs` are the labels of those whose results it uses."""

    label: str
    text: str
    needs: tuple[str, ...]
    state: NodeState = "waiting"


@dataclass(slots=True, kw_only=True)
class RunView:
    """The parts of a run so far that are shown."""

    items: list[Item] = field(default_factory=list[Item])
    plan: list[PlanNode] = field(default_factory=list[PlanNode])
    answer: str = ""
    used: dict[str, float] = field(default_factory=dict[str, float])
    pending: list[Mapping[str, Any]] = field(default_factory=list[Mapping[str, Any]])
    steps: list[Mapping[str, Any]] = field(default_factory=list[Mapping[str, Any]])
    stopped_by: str = ""
    plan_step: int = 0


def run_view(events: Iterable[RunEvent]) -> RunView:
    """Add events up to a view."""
    view = RunView()
    for event in events:
        _TAKE[event.kind](view, event.data)
    return view


def _thought(view: RunView, data: Mapping[str, Any]) -> None:
    last = view.items[-1] if view.items else None
    if last is not None and last.kind == "thought" and last.step == data["step"]:
        view.items[-1] = replace(last, text=last.text + data["text"])
    else:
        item = Item(kind="thought", step=data["step"], head="Thought", text=data["text"])
        view.items.append(item)


def _planned(view: RunView, data: Mapping[str, Any]) -> None:
    steps: Sequence[tuple[str, str]] = data["steps"]
    known = {label for label, _ in steps}
    done = {node.label: node for node in view.plan if node.state == "done"}
    view.plan = [
        done.get(label)
        or PlanNode(
            label=label,
            text=text,
            needs=tuple(n for n in dict.fromkeys(_REFERENCE.findall(text)) if n in known - {label}),
        )
        for label, text in steps
    ]
    view.plan_step = int(str(data["step"]).split("/")[0].split(".")[0])
    text = "\n".join(f"{label}: {what}" for label, what in steps)
    view.items.append(Item(kind="plan", step=data["step"], head="Plan", text=text))


def _called(view: RunView, data: Mapping[str, Any]) -> None:
    given = json.dumps(data["arguments"], ensure_ascii=False)
    view.items.append(Item(kind="call", step=data["step"], head=data["tool"], text=given))
    _set_node(view, data["step"], "running")


def _observed(view: RunView, data: Mapping[str, Any]) -> None:
    note = " (shortened)" if data["trimmed"] else ""
    head = f"{data['tool']} failed" if data["failed"] else f"{data['tool']} gave{note}"
    item = Item(
        kind="result", step=data["step"], head=head, text=data["text"], failed=data["failed"]
    )
    view.items.append(item)
    if "/" not in data["step"]:
        _set_node(view, data["step"], "failed" if data["failed"] else "done")


def _asked(view: RunView, data: Mapping[str, Any]) -> None:
    given = json.dumps(data["arguments"], ensure_ascii=False)
    text = f"{given}\n{data['reason']}"
    head = f"{data['tool']} waits for approval"
    view.items.append(Item(kind="approval", step=data["step"], head=head, text=text))


def _noticed(view: RunView, data: Mapping[str, Any]) -> None:
    view.items.append(Item(kind="note", step=data["step"], head="Note", text=data["text"]))


def _answer_text(view: RunView, data: Mapping[str, Any]) -> None:
    view.answer += data["text"]


def _used(view: RunView, data: Mapping[str, Any]) -> None:
    for name in ("steps", "tokens", "seconds", "cost"):
        view.used[name] = max(view.used.get(name, 0.0), float(data[name]))


def _finished(view: RunView, data: Mapping[str, Any]) -> None:
    result = data["result"]
    view.answer = result["answer"]
    view.pending, view.steps = list(result["pending"]), list(result["steps"])
    view.stopped_by = result["stopped_by"]
    _needs_from_reply(view)
    if view.stopped_by == "finished":
        view.plan = [replace(n, state="done") if n.state == "running" else n for n in view.plan]


_TAKE = {
    "Thought": _thought,
    "Planned": _planned,
    "Called": _called,
    "Observed": _observed,
    "Asked": _asked,
    "Noticed": _noticed,
    "AnswerText": _answer_text,
    "Used": _used,
    "Finished": _finished,
}


def _set_node(view: RunView, step: str, state: NodeState) -> None:
    """Set the state of the plan's step that a call belongs to.

    A call `1.2` is the second step of the plan that was made in step 1; `3/1.1` is done for the
    second task of a plan made in step 1. Tasks before it that ran are over by then.
    """
    nested, _, _ = step.partition("/")
    number = int(nested) - view.plan_step if "/" in step else int(step.split(".")[-1])
    if not 0 < number <= len(view.plan) or (
        "/" not in step and not step.startswith(f"{view.plan_step}.")
    ):
        return
    node = view.plan[number - 1]
    view.plan[number - 1] = replace(node, state=state)
    if "/" in step:
        for needed in node.needs:
            _finish(view, needed)


def _finish(view: RunView, label: str) -> None:
    for place, node in enumerate(view.plan):
        if node.label == label and node.state == "running":
            view.plan[place] = replace(node, state="done")


def _needs_from_reply(view: RunView) -> None:
    """Take from the planner's reply which tasks need which, as events do not say it."""
    replies = [step["reply"] for step in view.steps if str(step["name"]).startswith("planner")]
    if not replies or len(view.plan) == 0:
        return
    try:
        tasks = json.loads(replies[0])["steps"]
        needs = [tuple(f"task {n}" for n in task["needs"]) for task in tasks]
    except (ValueError, KeyError, TypeError):
        return  # another kind of reply: the plan is shown without lines
    if len(needs) == len(view.plan):
        view.plan = [replace(n, needs=own) for n, own in zip(view.plan, needs, strict=True)]
