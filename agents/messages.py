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

from ragkit.agents.state import clean
from ragkit.core.errors import InputError

UNTRUSTED = "untrusted"
"""The key of an answer's `response_metadata`: whether it rests on untrusted text."""

_ASK = 'Fix: pass {"messages": [{"role": "user", "content": "..."}]} or {"question": "..."}.'


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """A message from before the run. `author` names another agent that wrote it."""

    role: Literal["instructions", "question", "answer"]
    text: str
    untrusted: bool = False
    author: str = ""


def asked_in(messages: Sequence[AnyMessage], question: object) -> tuple[str, str]:
    """Return the question of an input and the id of its message, empty where it has none yet.

    A `question` counts before the latest message of the user. Characters that UTF-8 cannot encode
    are replaced.

    Raises:
        InputError: The input holds no question, or one with more than text.
    """
    if question is not None and not isinstance(question, str):
        raise InputError(f"The question is {question!r:.80}, which is not a text. {_ASK}")
    latest = next((one for one in reversed(messages) if isinstance(one, HumanMessage)), None)
    asked, name = clean(question or ""), ""
    if latest is not None and asked in {"", _text(latest)}:
        asked, name = _text(latest), str(latest.id)
        if kinds := _unread(latest):
            raise InputError(
                f"The question has content of the type {kinds[0]!r}, which agents do not read. "
                "Fix: send text."
            )
    if not asked.strip():
        raise InputError(f"The input has no question. {_ASK}")
    return asked, name


def _text(message: AnyMessage) -> str:
    return clean(str(message.text))


def _unread(message: AnyMessage) -> list[str]:
    """Return the types of the content that is no text, such as images and files."""
    blocks = [block for block in message.content if isinstance(block, dict)]
    return [kind for block in blocks if (kind := str(block.get("type"))) != "text"]


def earlier_messages(
    messages: Iterable[AnyMessage], *, question: str, run: str
) -> Iterator[Earlier]:
    """Yield the messages from before a run: all but those of the run and the one that asks.

    A mark stands for content of the user that is no text.
    """
    for message in messages:
        name, text = str(message.id), _text(message).strip()
        if isinstance(message, HumanMessage):
            text = " ".join([text, *(f"[{kind} left out]" for kind in _unread(message))]).strip()
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


def messages_handed_on(earlier: Iterable[Earlier]) -> list[AnyMessage]:
    """Return messages from before a run as those of an agent that does a part of it."""
    handed: list[AnyMessage] = []
    for one in earlier:
        match one.role:
            case "instructions":
                handed.append(SystemMessage(content=one.text))
            case "question":
                handed.append(HumanMessage(content=one.text))
            case "answer":
                untrusted = {UNTRUSTED: one.untrusted}
                name = one.author or None
                handed.append(AIMessage(one.text, name=name, response_metadata=untrusted))
    return handed
