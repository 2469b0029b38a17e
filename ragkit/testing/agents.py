"""Doubles for agents: a tool that records its calls, and the replies of a scripted model."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from ragkit.core.types import Citation, Conversation, Json, Permission, ToolResult
from ragkit.llm.messages import messages_of

Does: TypeAlias = Callable[[Mapping[str, Json]], "Json | Awaitable[Json]"]


def _text_schema() -> dict[str, Json]:
    return {
        "type": "object",
        "properties": {"text": {"type": "string", "maxLength": 64}},
        "required": ["text"],
        "additionalProperties": False,
    }


@dataclass(kw_only=True)
class RecordingTool:
    """A tool that records each call: its arguments and its key.

    Attributes:
        name: The name to call it by.
        does: Returns its result, or raises; the text `"<name>:<text>"` where left out.
        permission: See `Tool.permission`.
        parameters: Its schema; one text where left out.
        description: For the model.
        citations: Of each result.
        repeatable: Whether a call that was interrupted may be made again.
        untrusted: Whether its description is untrusted text.
        calls: The calls so far, with their keys.
    """

    name: str
    does: Does | None = None
    permission: Permission = "read"
    parameters: Mapping[str, Json] = field(default_factory=_text_schema)
    description: str = "Does something with a text."
    citations: tuple[Citation, ...] = ()
    repeatable: bool = True
    untrusted: bool = False
    calls: list[tuple[Mapping[str, Json], str]] = field(
        default_factory=list[tuple[Mapping[str, Json], str]]
    )

    async def call(self, arguments: Mapping[str, Json], *, key: str) -> ToolResult:
        """Record the call and make it."""
        self.calls.append((arguments, key))
        value: Json
        if self.does is None:
            value = f"{self.name}:{arguments.get('text')}"
        else:
            given = self.does(arguments)
            value = await given if isinstance(given, Awaitable) else given
        text = value if isinstance(value, str) else json.dumps(value)
        return ToolResult(text=text, value=value, citations=self.citations)


def says_action(thought: str, *calls: tuple[str, Mapping[str, Json]]) -> str:
    """Return the reply that makes these calls of (tool, arguments), or calls `finish`."""
    return _compact(
        {
            "thought": thought,
            "calls": [{"tool": tool, "arguments": dict(given)} for tool, given in calls],
        }
    )


def says_finish(answer: str, thought: str = "") -> str:
    """Return the reply that ends a ReAct run with this answer."""
    return says_action(thought, ("finish", {"answer": answer}))


def count_bytes(conversation: Conversation) -> int:
    """Count the tokens of a conversation as `ScriptedLLM` does: a token is a byte."""
    return sum(len(message.content.encode()) for message in messages_of(conversation))


def says_plan(*steps: tuple[str, Mapping[str, Json]]) -> str:
    """Return the reply that plans these steps; `refers_to` makes an argument of a result."""
    numbered = enumerate(steps, 1)
    return _compact(
        {
            "steps": [
                {"id": f"#E{number}", "tool": tool, "arguments": dict(given)}
                for number, (tool, given) in numbered
            ]
        }
    )


def refers_to(label: str, *path: str | int) -> Json:
    """Return an argument of a plan: the result of an earlier step, or the part at a path of it."""
    return {"ref": label, "path": list(path)}


def joins(*parts: Json) -> Json:
    """Return an argument of a plan: texts and references (`refers_to`) in turn, as one text."""
    return {"join": [*parts]}


async def never(_: Mapping[str, Json]) -> Json:
    """Wait for ever, as a tool does that hangs."""
    await asyncio.Event().wait()
    return None


def _compact(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
