"""The result of a run: the answer, its sources, and every step that led to it."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from ragkit.agents.approval import Pending
from ragkit.agents.budget import nothing_spent
from ragkit.agents.state import Record, RunRecord, StoppedBy, citation_of, loaded, message_of
from ragkit.core.types import Citation, Guarantee, Json, Message, Usage

_LINE = 160


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of a run.

    Attributes:
        id: 1, 2, ... for calls of the model; 1.1, 1.2, ... for the calls of tools that it asked
            for; 1/1, 1/2, ... for the steps of an agent that step 1 handed over to.
        kind: A call of the model or of a tool, or a note of a step that the run took by itself.
        name: Of the prompt or the tool.
        prompt: The exact messages that the model got.
        reply: The text that it replied.
        usage: The tokens of the call.
        seconds: The duration.
        arguments: Of a tool's call.
        result: The text of the result, or the message of the failure.
        failed: Whether it failed.
        error: Why a reply could not be used.
        guarantee: `"schema"` for a reply of a model without grammars, which was only checked
            afterwards, and asked for again once where it failed; else `"grammar"`.
    """

    id: str
    kind: Literal["model", "tool", "note"]
    name: str
    prompt: tuple[Message, ...] = ()
    reply: str = ""
    usage: Usage | None = None
    seconds: float = 0.0
    arguments: Mapping[str, Json] | None = None
    result: str = ""
    failed: bool = False
    error: str = ""
    guarantee: Guarantee = "grammar"

    @property
    def depth(self) -> int:
        """The number of levels above it in the tree."""
        return self.id.count(".") + self.id.count("/")

    @property
    def line(self) -> str:
        """The step on one line."""
        head = f"{self.id} {self.name} {self.seconds:.2f} s"
        if self.kind == "tool":
            given = json.dumps(self.arguments, ensure_ascii=False)
            arrow = "failed:" if self.failed else "->"
            return _one_line(f"{head} {given} {arrow} {self.result}")
        if self.usage is not None:
            head += f", {self.usage.prompt} + {self.usage.completion} tokens"
        if self.guarantee == "schema":
            head += ", held by its schema only"
        said = self.reply if self.kind == "model" else self.result
        return _one_line(f"{head}: {said}" + (f" ({self.error})" if self.error else ""))


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentResult:
    """The result of a run.

    Attributes:
        answer: The answer; empty while a person is waited for.
        citations: The passages that tools' results came from.
        steps: All steps, in order.
        usage: Tokens of all calls of the model.
        cost: By the agent's price.
        stopped_by: `"finished"`, or the reason why the run ended before; see `StoppedBy`.
        thread: The name to pass to `resume`; empty without a checkpointer.
        pending: Calls that wait for a person.
        structured_response: The result as JSON where the agent has the option `output`.
    """

    answer: str
    citations: tuple[Citation, ...]
    steps: tuple[Step, ...]
    usage: Usage
    cost: float
    stopped_by: StoppedBy
    thread: str = ""
    pending: tuple[Pending, ...] = ()
    structured_response: Json = None

    def __str__(self) -> str:
        """The answer."""
        return self.answer

    def tree(self) -> str:
        """Return the steps as an indented tree, one line each."""
        lines = [f"{'  ' * step.depth}{step.line}" for step in self.steps]
        total = f"{self.usage.prompt} + {self.usage.completion} tokens, cost {self.cost:.4g}"
        return "\n".join([*lines, f"{self.stopped_by}: {total}"])

    def to_json(self) -> str:
        """Return everything as JSON."""
        return json.dumps(asdict(self), ensure_ascii=False)


def result_of(
    output: RunRecord, *, thread: str = "", pending: Iterable[Pending] = ()
) -> AgentResult:
    """Return the result of a graph's last values."""
    texts = output.get("texts", {})
    spent = output.get("spent") or nothing_spent()
    pending = tuple(pending)
    steps = tuple(_step(record, texts) for record in output.get("trace", []))
    usage = Usage(
        prompt=spent["prompt"],
        cached=spent["cached"],
        completion=spent["completion"],
        estimated=any(step.usage.estimated for step in steps if step.usage),
    )
    return AgentResult(
        answer=output.get("answer", ""),
        citations=tuple(citation_of(kept) for kept in output.get("citations", [])),
        steps=steps,
        usage=usage,
        cost=spent["cost"],
        stopped_by="approval" if pending else output.get("stopped_by", "finished"),
        thread=thread,
        pending=pending,
        structured_response=output.get("structured_response"),
    )


def _step(record: Record, texts: Mapping[str, str]) -> Step:
    usage = None
    if counts := record.get("usage"):
        prompt, cached, completion = counts
        estimated = record.get("estimated", False)
        usage = Usage(prompt=prompt, cached=cached, completion=completion, estimated=estimated)
    # `Any`: only an object is ever kept as arguments.
    arguments: Any = loaded(record["arguments"]) if "arguments" in record else None
    return Step(
        id=record["id"],
        kind=record["kind"],
        name=record["name"],
        prompt=tuple(message_of(role, texts[text]) for role, text in record.get("prompt", [])),
        reply=texts.get(record.get("reply", ""), ""),
        usage=usage,
        seconds=record.get("seconds", 0.0),
        arguments=arguments,
        result=texts.get(record.get("result", ""), ""),
        failed=record.get("failed", False),
        error=record.get("error", ""),
        guarantee=record.get("guarantee", "grammar"),
    )


def _one_line(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= _LINE else flat[: _LINE - 3] + "..."
