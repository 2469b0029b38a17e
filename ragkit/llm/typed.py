"""Replies as values: decoded under the grammar of a type, checked by the type's own validators."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, Unpack

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json

from ragkit.core.errors import InputError
from ragkit.core.protocols import LLM, CallOptions
from ragkit.core.types import Conversation, Json, Reply
from ragkit.grammar import json_grammar
from ragkit.llm.checking import InvalidReplyError
from ragkit.llm.messages import asked_again, messages_of
from ragkit.llm.wrappers.cost import charged

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class TypedReply(Generic[T]):
    """A value and the replies that led to it.

    Attributes:
        value: The value of the last reply.
        reply: The last reply, with the usage of all.
        rejected: The replies that a validator rejected, with its messages, in order.
    """

    value: T
    reply: Reply
    rejected: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PartialValue(Generic[T]):
    """A value while it is decoded; the last one has the whole `result`.

    Attributes:
        partial: The JSON value so far: strings and lists may grow, fields may come.
        result: The whole, at the end.
    """

    partial: Json
    result: TypedReply[T] | None = None


async def complete_typed(
    llm: LLM,
    messages: Conversation,
    kind: type[T],
    *,
    attempts: int = 3,
    **options: Unpack[CallOptions],
) -> TypedReply[T]:
    """Ask for a value of a type.

    The reply is decoded under the grammar of the type, so it always has its shape. What no grammar
    holds, a validator of one's own model or a relation between fields, is checked afterwards: the
    model is asked again with the reply and the validator's message.

    Args:
        llm: The model.
        messages: The question.
        kind: A pydantic model, a dataclass, or another type that pydantic knows.
        attempts: Calls at most.
        **options: The options of each call.

    Raises:
        InputError: `attempts` is less than 1, or the last reply was rejected too.
    """
    tries, grammar = _Attempts(kind, messages, attempts), json_grammar(kind)
    own = _one_check(llm, options)
    result: TypedReply[T] | None = None
    while result is None:
        try:
            reply = await llm.complete(tries.conversation, grammar=grammar, **own)
        except InvalidReplyError as error:
            tries.reject(error.reply, error.reason, error)
        else:
            result = tries.settle(reply)
    return result


async def stream_typed(
    llm: LLM,
    messages: Conversation,
    kind: type[T],
    *,
    attempts: int = 3,
    **options: Unpack[CallOptions],
) -> AsyncGenerator[PartialValue[T]]:
    """Ask for a value of a type, and yield it while it is decoded; see `complete_typed`.

    After a rejected reply the partial value begins again.

    Raises:
        InputError: `attempts` is less than 1, or the last reply was rejected too.
    """
    tries, grammar = _Attempts(kind, messages, attempts), json_grammar(kind)
    own = _one_check(llm, options)
    result: TypedReply[T] | None = None
    while result is None:
        text, last = "", None
        try:
            async with aclosing(llm.stream(tries.conversation, grammar=grammar, **own)) as deltas:
                async for delta in deltas:
                    text = "" if delta.restart else text + delta.text
                    partial = _partial(text)
                    if partial is not None and partial != last:
                        last = partial
                        yield PartialValue(partial=partial)
                    if delta.reply is not None:
                        result = tries.settle(delta.reply)
        except InvalidReplyError as error:
            tries.reject(error.reply, error.reason, error)
    yield PartialValue(partial=_partial(result.reply.text), result=result)


class _Attempts(Generic[T]):
    """The replies for one value so far, and the conversation that asks for the next."""

    def __init__(self, kind: type[T], messages: Conversation, attempts: int) -> None:
        if attempts < 1:
            raise InputError(f"attempts must be at least 1, got {attempts!r}.")
        self.conversation = messages_of(messages)
        self._kind = kind
        self._most = attempts
        self._spent: list[Reply] = []
        self._rejected: list[tuple[str, str]] = []

    def settle(self, reply: Reply) -> TypedReply[T] | None:
        """Return the value of a reply, or None where it was rejected and is asked for again."""
        try:
            value = _validated(self._kind, reply.text)
        except ValidationError as error:
            self.reject(reply, _explained(error), error)
            return None
        self._spent.append(reply)
        return TypedReply(value=value, reply=charged(self._spent), rejected=tuple(self._rejected))

    def reject(self, reply: Reply, reason: str, error: Exception) -> None:
        """Ask for another reply in the place of a rejected one.

        Raises:
            InputError: It was the last attempt.
        """
        self._spent.append(reply)
        self._rejected.append((reply.text, reason))
        if len(self._spent) >= self._most:
            raise InputError(
                f"{self._most} replies for {getattr(self._kind, '__name__', self._kind)!r} "
                f"were rejected by its validators, the last one {reply.text!r:.200}: {reason}. "
                "Fix: say in the question what is wanted, or raise attempts."
            ) from error
        self.conversation = asked_again(self.conversation, reply.text, reason)


def _one_check(llm: LLM, options: CallOptions) -> CallOptions:
    """Return the options with which a model without grammars is not asked again by itself."""
    return {**options, "strict": True} if llm.guarantee == "schema" else options


def _validated(kind: type[T], text: str) -> T:
    adapter: TypeAdapter[T] = TypeAdapter(kind)
    return adapter.validate_json(text)


def _partial(text: str) -> Json:
    """Return the value of an unfinished JSON text, None before it has one."""
    try:
        found: Json = from_json(text, allow_partial="trailing-strings")
    except ValueError:
        return None
    return found


def _explained(error: ValidationError) -> str:
    found: list[Any] = error.errors(include_url=False, include_context=False)
    places = (".".join(str(part) for part in one["loc"]) for one in found)
    messages = (str(one["msg"]) for one in found)
    return "\n".join(
        f"{place}: {message}" if place else message
        for place, message in zip(places, messages, strict=True)
    )
