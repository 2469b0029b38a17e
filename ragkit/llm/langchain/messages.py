"""LangChain's messages as messages of ragkit."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import cast

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from ragkit.core.errors import InputError
from ragkit.core.types import Message, Role

_IGNORED_BLOCKS = frozenset({"tool_use", "tool_call", "reasoning", "thinking", "non_standard"})
"""Content blocks that repeat the message's tool calls, or hold thoughts."""


def ragkit_messages(messages: Sequence[BaseMessage], *, instructions: str = "") -> list[Message]:
    """Return the conversation as ragkit's LLMs take it.

    Calls of tools are written in the form that `TurnFormat` decodes, their results as messages of
    the user. Successive messages of one role become one, as some chat templates require.
    `instructions` follow the system message.

    Raises:
        InputError: A message holds something else than text, or has an unknown type.
    """
    system = [_text(message) for message in messages if isinstance(message, SystemMessage)]
    head = "\n\n".join(text for text in (*system, instructions) if text)
    turns: list[tuple[Role, str]] = [("system", head)] if head else []
    names: dict[str, str] = {}
    for message in messages:
        if isinstance(message, SystemMessage):
            continue
        if isinstance(message, AIMessage):
            names |= {str(call["id"]): call["name"] for call in message.tool_calls}
        role, text = _turn(message, names)
        if turns and turns[-1][0] == role and role != "system":
            turns[-1] = (role, f"{turns[-1][1]}\n\n{text}")
        else:
            turns.append((role, text))
    return [Message(role=role, content=text) for role, text in turns]


def _turn(message: BaseMessage, names: Mapping[str, str]) -> tuple[Role, str]:
    match message:
        case AIMessage() if message.tool_calls:
            calls = [
                {"tool": call["name"], "arguments": call["args"]} for call in message.tool_calls
            ]
            action = {"thought": _text(message), "calls": calls}
            return "assistant", json.dumps(action, ensure_ascii=False)
        case AIMessage():
            return "assistant", _text(message)
        case HumanMessage():
            return "user", _text(message)
        case ToolMessage():
            name = message.name or names.get(message.tool_call_id, "a tool")
            kind = "Error" if message.status == "error" else "Result"
            return "user", f"{kind} of {name}:\n{_text(message)}"
        case FunctionMessage():
            return "user", f"Result of {message.name}:\n{_text(message)}"
        case ChatMessage(role="assistant" | "user" as role):
            return role, _text(message)
        case _:
            raise InputError(
                f"A message of the type {message.type!r} cannot be sent. Fix: use system, human, "
                "AI and tool messages."
            )


def _text(message: BaseMessage) -> str:
    if isinstance(message.content, str):
        return message.content
    return "\n".join(_block_texts(cast("Iterable[str | Mapping[str, object]]", message.content)))


def _block_texts(blocks: Iterable[str | Mapping[str, object]]) -> Iterable[str]:
    for block in blocks:
        if isinstance(block, str):
            yield block
        elif block.get("type") == "text":
            yield str(block.get("text", ""))
        elif block.get("type") not in _IGNORED_BLOCKS:
            raise InputError(
                f"A message has content of the type {block.get('type')!r}, which ragkit's models "
                "do not read. Fix: send text."
            )
