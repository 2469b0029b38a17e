"""Checked conversations and their estimated size."""

from collections.abc import Mapping, Sequence
from typing import get_args

from ragkit.core.errors import InputError
from ragkit.core.types import Conversation, Message, Role

_ROLES: Mapping[str, Role] = {role: role for role in get_args(Role)}
_BYTES_PER_TOKEN = 3
_TOKENS_PER_MESSAGE = 8


def messages_of(conversation: Conversation) -> tuple[Message, ...]:
    """Return the messages of a conversation; a text is one message of the user.

    Raises:
        InputError: The conversation is empty, or a message lacks its role or content.
    """
    if isinstance(conversation, str):
        return (Message(role="user", content=conversation),)
    if not isinstance(conversation, Sequence):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InputError(
            f"Messages must be a text or a list of messages, got {type(conversation).__name__}."
        )
    if not conversation:
        raise InputError(
            "The list of messages is empty. Fix: pass at least one message of the user."
        )
    return tuple(_message(position, item) for position, item in enumerate(conversation))


def _message(position: int, item: str | Message | Mapping[str, str]) -> Message:
    if isinstance(item, Message):
        return item
    if not isinstance(item, Mapping) or not {"role", "content"} <= item.keys():
        raise InputError(f"Message {position} lacks role or content: {item!r}.")
    role, content = item["role"], item["content"]
    known = _ROLES.get(role)
    if known is None:
        raise InputError(
            f"Message {position} has the role {role!r}. Fix: use one of {', '.join(_ROLES)}."
        )
    if not isinstance(content, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InputError(f"The content of message {position} is not a text: {content!r:.80}.")
    return Message(role=known, content=content)


def estimated_tokens(conversation: Conversation) -> int:
    """Estimate the tokens of a conversation, rather too high than too low.

    It is for reserving before a call, where no tokenizer is at hand; the reply's usage is exact.
    """
    sizes = (len(message.content.encode()) for message in messages_of(conversation))
    return sum(_TOKENS_PER_MESSAGE + size // _BYTES_PER_TOKEN + 1 for size in sizes)
