"""Short-term memory: a conversation kept within a number of tokens, its oldest part first to go."""

import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeAlias

from ragkit.agents.context import AgentTurn, Prompts
from ragkit.agents.events import Noticed
from ragkit.agents.evidence import fenced
from ragkit.agents.model_call import ModelRequest, call_model
from ragkit.core.errors import ContextExceeded, InputError
from ragkit.core.protocols import LLM
from ragkit.core.types import Conversation, Message
from ragkit.llm.messages import estimated_tokens, messages_of

CountTokens: TypeAlias = Callable[[Sequence[Message]], int]
"""Counts the tokens of messages."""

Summarise: TypeAlias = Callable[[str], Awaitable[str]]
"""Summarises a part of a conversation."""

PROMPTS = ("conversation",)

_SUMMARY_SHARE = 4
_SUMMARY_LABEL = "summary of the conversation so far"
_FENCE_TOKENS = 60
_SHORTEST = 100
_CHARS_PER_TOKEN = 2
_LATEST = 2
_LEFT_OUT = "(Left out to save room.)"


def trim(
    messages: Conversation, max_tokens: int, *, count: CountTokens = estimated_tokens
) -> list[Message]:
    """Return the system messages and the newest others that fit.

    The others begin with a message of the user wherever one fits, as models expect.

    Raises:
        InputError: The system messages and the newest message are too long together.
    """
    given = messages_of(messages)
    system = [message for message in given if message.role == "system"]
    others = [message for message in given if message.role != "system"]
    fitting = _fitting(system, others, max_tokens, count)
    if others and not fitting:
        raise InputError(
            f"The system messages and the newest message have more than {max_tokens} "
            "tokens. Fix: shorten them or raise max_tokens."
        )
    kept = others[len(others) - fitting :]
    first = next((at for at, message in enumerate(kept) if message.role == "user"), 0)
    return [*system, *kept[first:]]


async def summarise(
    llm: LLM,
    messages: Conversation,
    max_tokens: int,
    *,
    count: CountTokens = estimated_tokens,
    prompts: Mapping[str, str] | None = None,
) -> list[Message]:
    """Return the conversation, its earlier part replaced by a summary if it is too long.

    The system messages and the newest others are kept as they are; the model is called where
    something must go. The summary stands in a message of the user, marked as data.

    Args:
        llm: Writes the summary.
        messages: The conversation.
        max_tokens: Tokens of the returned conversation, by `count`.
        count: Counts tokens; by default an estimate that is rather too high.
        prompts: Replaces the prompt `conversation`.

    Raises:
        InputError: The system messages and the newest message leave no room for a summary.
        ProviderError: The model failed.
    """
    given = list(messages_of(messages))
    if count(given) <= max_tokens:
        return given
    room = max_tokens // _SUMMARY_SHARE
    kept = trim(given, max_tokens - room, count=count)
    tokens = room - _FENCE_TOKENS
    if tokens < 1:
        raise InputError("There is no room for a summary. Fix: raise max_tokens.")
    texts = Prompts.of(PROMPTS, prompts)

    async def write(text: str) -> str:
        asked = _request(texts, text, fence=secrets.token_hex(6))
        return (await llm.complete(asked, max_tokens=tokens)).text.strip()

    system = [message for message in kept if message.role == "system"]
    others = [message for message in given if message.role != "system"]
    newest = kept[len(system) :]
    said = await _summary(write, others[: len(others) - len(newest)])
    return [*system, _fitted(said, room, count), *newest]


async def shortened(
    turn: AgentTurn, messages: Sequence[Message], *, tokens: int, summarise: bool
) -> list[Message]:
    """Return an agent's conversation at half of `tokens`; a note in the trace says so.

    The system message, the question and the latest turn stay; a summary, or a mark, stands in
    place of the turns before that do not fit.
    """
    head, others = list(messages[:2]), list(messages[2:])
    fitting = max(_LATEST, _fitting(head, others, tokens // 2, turn.context.count_tokens))
    earlier = others[: len(others) - fitting]
    if not earlier:
        return list(messages)
    text = f"{len(earlier)} messages were left out to save room."
    shown = _LEFT_OUT
    if summarise:

        async def write(part: str) -> str:
            asked = _request(turn.context.prompts, part, fence=turn.fence)
            room = tokens // _SUMMARY_SHARE
            request: ModelRequest[object] = ModelRequest(
                name="summarise", messages=asked, max_tokens=room
            )
            return (await call_model(turn, request)).text.strip()

        said = await _summary(write, earlier, characters=tokens * _CHARS_PER_TOKEN)
        shown = fenced(said, fence=turn.fence, label=_SUMMARY_LABEL) if said else _LEFT_OUT
    turn.emit(Noticed(step=turn.note("memory", text), text=text))
    mark = [Message(role="assistant", content=_LEFT_OUT), Message(role="user", content=shown)]
    return [*head, *mark, *others[len(earlier) :]]


def _fitting(
    head: Sequence[Message], others: Sequence[Message], max_tokens: int, count: CountTokens
) -> int:
    """Return how many of the newest messages fit after the head."""
    for number in range(1, len(others) + 1):
        if count([*head, *others[-number:]]) > max_tokens:
            return number - 1
    return len(others)


def _request(prompts: Prompts, text: str, *, fence: str) -> list[Message]:
    data = fenced(text, fence=fence, label="conversation")
    return [prompts.system("conversation"), Message(role="user", content=data)]


async def _summary(
    write: Summarise, earlier: Sequence[Message], *, characters: int | None = None
) -> str:
    """Summarise messages; the newer ones where all are too long for the model."""
    text = "\n".join(f"{message.role}: {message.content}" for message in earlier)
    text = text if characters is None else text[-characters:]
    while True:
        try:
            return await write(text)
        except ContextExceeded:
            if len(text) < _SHORTEST:
                raise
            text = text[len(text) // 2 :]


def _fitted(text: str, max_tokens: int, count: CountTokens) -> Message:
    fence = secrets.token_hex(6)
    while True:
        inside = fenced(text, fence=fence, label=_SUMMARY_LABEL)
        message = Message(role="user", content=inside)
        if not text or count([message]) <= max_tokens:
            return message
        text = text[: len(text) * 3 // 4]
