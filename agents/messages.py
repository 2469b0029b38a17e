"""Chat messages at the edge of an agent: the question in its input, and the messages of a run."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from langchain_core.messages import (
    AIMessage,
    AnyMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
    convert_to_messages,
)
from langchain_core.messages.ai import UsageMetadata
from langgraph.graph.message import (  # pyright: ignore[reportMissingTypeStubs]  # it has its types
    REMOVE_ALL_MESSAGES,
)

from ragkit.core.errors import InputError
from ragkit.core.types import stable_id

UNTRUSTED = "untrusted"
"""The key of an answer's `response_metadata`: whether it rests on untrusted text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """A message from before the run. `author` names another agent that wrote it."""

    role: Literal["instructions", "question", "answer"]
    text: str
    untrusted: bool = False
    author: str = ""


def with_messages(before: Sequence[AnyMessage], writes: Sequence[Any]) -> list[AnyMessage]:
    """Return the messages with those written: a message of a known id replaces the earlier one.

    Dictionaries, tuples and strings become messages. A message without an id gets one that follows
    from its place and content, so that replayed writes give the same messages.
    """
    given: list[Any] = []
    for write in writes:
        given += write if isinstance(write, list) else [write]
    after: dict[str, AnyMessage] = {str(message.id): message for message in before}
    for message in convert_to_messages(given):
        if isinstance(message, RemoveMessage):
            if message.id == REMOVE_ALL_MESSAGES:
                after.clear()
            else:
                after.pop(str(message.id), None)
            continue
        if message.id is None:
            name = stable_id(len(after), message.type, str(message.text))
            message = message.model_copy(update={"id": name})  # ids are its own
        after[str(message.id)] = message  # type: ignore[assignment]  # pyright: ignore[reportArgumentType]  # no chunks are written
    return list(after.values())


def asked_in(messages: Sequence[AnyMessage], question: str) -> tuple[str, str]:
    """Return the question of an input and the id of its message, empty where it has none yet.

    A `question` counts before the latest message of the user.

    Raises:
        InputError: The input holds no question.
    """
    latest = next((one for one in reversed(messages) if isinstance(one, HumanMessage)), None)
    if latest is not None and (not question or str(latest.text) == question):
        question, name = str(latest.text), str(latest.id)
    else:
        name = ""
    if not question.strip():
        raise InputError(
            "The input has no question. Fix: pass "
            '{"messages": [{"role": "user", "content": "..."}]} or {"question": "..."}.'
        )
    return question, name


def earlier_messages(
    messages: Iterable[AnyMessage], *, question: str, run: str
) -> Iterator[Earlier]:
    """Yield the messages from before a run: all but those of the run and the one that asks."""
    for message in messages:
        name, text = str(message.id), str(message.text).strip()
        if name == question or name.startswith(f"{run}:") or not text:
            continue
        if isinstance(message, SystemMessage):
            yield Earlier(role="instructions", text=text)
        elif isinstance(message, HumanMessage):
            yield Earlier(role="question", text=text)
        elif isinstance(message, AIMessage) and not message.tool_calls:
            # An answer that does not say otherwise may repeat any text.
            untrusted = message.response_metadata.get(UNTRUSTED) is not False
            author = message.name or ""
            yield Earlier(role="answer", text=text, untrusted=untrusted, author=author)


def calls_message(
    name: str, text: str, calls: Iterable[tuple[str, str, dict[str, Any]]], *, agent: str
) -> AIMessage:
    """Return the message that makes tool calls of (id, tool, arguments)."""
    made = [
        {"type": "tool_call", "id": call, "name": tool, "args": arguments}
        for call, tool, arguments in calls
    ]
    return AIMessage(content=text, id=name, name=agent, tool_calls=made)  # pyright: ignore[reportArgumentType]  # pydantic reads them


def result_message(call: str, tool: str, text: str, *, failed: bool) -> ToolMessage:
    """Return the message with the result of a tool call."""
    status = "error" if failed else "success"
    return ToolMessage(
        content=text, id=f"{call}:result", tool_call_id=call, name=tool, status=status
    )


def usage_metadata(prompt: int, completion: int, cached: int) -> UsageMetadata:
    """Return the usage of a run as LangChain's messages hold it."""
    return UsageMetadata(
        input_tokens=prompt,
        output_tokens=completion,
        total_tokens=prompt + completion,
        input_token_details={"cache_read": cached},
    )


def shared_messages(messages: Iterable[AnyMessage]) -> list[AnyMessage]:
    """Return the tool calls and results of an agent, for the messages of the one it works for."""
    return [
        message
        for message in messages
        if isinstance(message, ToolMessage)
        or (isinstance(message, AIMessage) and message.tool_calls)
    ]
