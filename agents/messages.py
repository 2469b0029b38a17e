"""Chat messages at the edge of an agent: the question in its input, and what came before it."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from langchain_core.messages import (
    AIMessage,
    AnyMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.messages.ai import UsageMetadata

from ragkit.core.errors import InputError

UNTRUSTED = "untrusted"
"""The key of an answer's `response_metadata`: whether it rests on untrusted text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """A message from before the run. `author` names another agent that wrote it."""

    role: Literal["instructions", "question", "answer"]
    text: str
    untrusted: bool = False
    author: str = ""


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
