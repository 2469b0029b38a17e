"""Checked conversations and their estimated size."""

from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias, cast

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from ragkit.core.errors import InputError
from ragkit.core.types import Conversation, Message, Role, ToolCall

_BYTES_PER_TOKEN = 3
_TOKENS_PER_MESSAGE = 8
_TOKENS_PER_IMAGE = 1500
"""About the tokens of an image of a megapixel, by the models that vLLM serves."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class TextContent(_Strict):
    """A text in the content of a message."""

    type: Literal["text"]
    text: str


class ImageUrl(BaseModel):
    """The address of an image; a server may take further fields, which are not kept."""

    url: str


class ImageContent(_Strict):
    """An image in the content of a message."""

    type: Literal["image_url"]
    image_url: ImageUrl


class FunctionBody(BaseModel):
    """The name and the JSON arguments of a call."""

    name: str
    arguments: str


class ToolCallBody(BaseModel):
    """A call in an assistant's message."""

    id: str
    function: FunctionBody


ContentPart: TypeAlias = TextContent | ImageContent


class MessageBody(_Strict):
    """A message in the format of OpenAI's chat completions."""

    role: Role
    content: str | list[ContentPart] | None = None
    tool_calls: list[ToolCallBody] | None = None
    tool_call_id: str | None = None
    name: str | None = None

    def message(self) -> Message:
        """Return it as ragkit's type."""
        parts: list[ContentPart] = self.content if isinstance(self.content, list) else []
        texts = [part.text for part in parts if isinstance(part, TextContent)]
        images = [part.image_url.url for part in parts if isinstance(part, ImageContent)]
        calls = (
            ToolCall(id=call.id, name=call.function.name, arguments=call.function.arguments)
            for call in self.tool_calls or ()
        )
        return Message(
            role=self.role,
            content=self.content if isinstance(self.content, str) else "\n".join(texts),
            images=tuple(images),
            tool_calls=tuple(calls),
            tool_call_id=self.tool_call_id,
        )


_MESSAGE = TypeAdapter(MessageBody)


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


def _message(position: int, item: object) -> Message:
    if isinstance(item, Message):
        return item
    if not isinstance(item, Mapping):
        raise InputError(f"Message {position} lacks role or content: {item!r:.80}.")
    fields = cast("Mapping[object, object]", item)
    if "role" not in fields or not {"content", "tool_calls"} & fields.keys():
        raise InputError(f"Message {position} lacks role or content: {fields!r:.80}.")
    try:
        return _MESSAGE.validate_python({**fields}).message()
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InputError(
            f"Message {position} cannot be sent: {place}: {first['msg']}, got "
            f"{first['input']!r:.80}."
        ) from error


def asked_again(messages: tuple[Message, ...], text: str, reason: str) -> tuple[Message, ...]:
    """Return the conversation that asks for another reply in the place of a rejected one."""
    said = Message(role="assistant", content=text or "(no text)")
    again = f"This was rejected:\n{reason}\nGive the corrected value."
    return (*messages, said, Message(role="user", content=again))


def estimated_tokens(conversation: Conversation) -> int:
    """Estimate the tokens of a conversation, rather too high than too low.

    It is for reserving before a call, where no tokenizer is at hand; the reply's usage is exact
    where the server reports it.
    """
    return sum(map(_estimated, messages_of(conversation)))


def estimated_text_tokens(text: str) -> int:
    """Estimate the tokens of a text, rather too high than too low; an empty one has none."""
    return -(-len(text.encode()) // _BYTES_PER_TOKEN)


def _estimated(message: Message) -> int:
    called = sum(len(call.name) + len(call.arguments.encode()) for call in message.tool_calls)
    size = len(message.content.encode()) + called
    images = _TOKENS_PER_IMAGE * len(message.images)
    return _TOKENS_PER_MESSAGE + size // _BYTES_PER_TOKEN + 1 + images
