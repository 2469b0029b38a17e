"""The size of a reply: as long as the tokens allow, and asked for again where it was cut.

A grammar whose longest reply surely fits would leave strings a quarter of the room, since a
character may take four tokens. So the first call has no such bounds. A reply that is cut is asked
for again under bounds by the bytes that its tokens stood for, and at last under those that never
fail: fewer calls first, then shorter texts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar, cast

from ragkit.agents.budget import Grant, grant
from ragkit.agents.context import AgentTurn
from ragkit.agents.events import Noticed
from ragkit.agents.model_call import ModelReply, ModelRequest, call_model
from ragkit.core.errors import InputError
from ragkit.core.protocols import Tool
from ragkit.core.types import Message
from ragkit.grammar import Grammar, Limits, StepText
from ragkit.grammar.ebnf.expression import UNBOUNDED

T = TypeVar("T")

_LEAST = 512
_RESERVE = 1024
_MARGIN = 0.75
_FREE_PARTS = 4
_UNIT = 16
_SHORT = 200
"""Texts of so few characters, such as a code or a unit, may well be as long as they can be."""
_SHORTER = (
    "Your last reply to this was longer than {tokens} tokens, and was not used. Reply again, and "
    "shorter: {calls}texts of at most {characters} characters. The rest can follow later."
)
_GO_ON = "That reply ended at its limit of tokens. Continue exactly where it ends; repeat nothing."


@dataclass(frozen=True, slots=True)
class _Measure:
    """The room of a call: tokens of the reply, whether another call fits after it."""

    tokens: int
    again: bool


async def ask(turn: AgentTurn, request: ModelRequest[T]) -> ModelReply[T]:
    """Ask the model within the rest of the budget; ask again where its reply was cut.

    Each call counts in the budget and is recorded in the turn. Free text that was cut is continued
    while the budget allows; `cut` says where it still ends early.
    """
    if request.grammar is None:
        return await _whole_text(turn, request)
    if not isinstance(request.grammar, Grammar) or request.samples > 1:
        return await call_model(turn, request)
    grammar: Grammar[T] = request.grammar
    said = await _first(turn, request, grammar)
    for bytes_per_token in (said.bytes_per_token * _MARGIN, 1.0) if said.cut else ():
        room = await _room(turn, request)
        if bytes_per_token <= 1.0 or room.again:
            said = await _again(turn, request, grammar, room.tokens, max(1.0, bytes_per_token))
        if not said.cut:
            return said
    return replace(said, stopped_by="model") if said.cut else said


async def _first(turn: AgentTurn, request: ModelRequest[T], grammar: Grammar[T]) -> ModelReply[T]:
    room = await _room(turn, request)
    if grammar.max_tokens <= room.tokens or not room.again:
        return await call_model(turn, request)
    return await call_model(
        turn, replace(request, grammar=grammar.cut_at(room.tokens), max_tokens=room.tokens)
    )


async def _again(
    turn: AgentTurn,
    request: ModelRequest[T],
    grammar: Grammar[T],
    tokens: int,
    bytes_per_token: float,
) -> ModelReply[T]:
    try:
        fit = grammar.fit(max(1, tokens), bytes_per_token=bytes_per_token)
    except InputError:
        return await call_model(turn, request)  # which says what is missing
    limits = fit.limits
    calls = f"{limits.calls} calls, " if limits.calls > 1 else "one call, "
    shorter = _SHORTER.format(
        tokens=tokens,
        calls=calls if limits.calls < grammar.limits.calls else "",
        characters=f"{limits.string_length:,}",
    )
    turn.emit(Noticed(step=turn.note("cut", shorter), text=shorter))
    return await call_model(
        turn,
        replace(
            request,
            messages=_with_note(request.messages, shorter),
            grammar=fit.cut_at(tokens),
            max_tokens=tokens,
        ),
    )


async def _room(turn: AgentTurn, request: ModelRequest[T]) -> _Measure:
    """Return the tokens of a reply, and whether the budget leaves another call after it."""
    context = turn.context
    left = turn.left if request.final else turn.spare
    prompt = int(context.count_tokens(list(request.messages)) * turn.spent["scale"]) + 1
    whole = await context.llm.context_tokens() - prompt
    wanted = min(request.max_tokens, whole)
    reserve = min(_RESERVE, wanted)
    twice = grant(left, prompt=2 * prompt, reply=wanted + reserve, price=context.price)
    if left.steps >= 2 and isinstance(twice, Grant):
        tokens = twice.max_tokens - reserve
        if tokens >= min(_LEAST, wanted):
            return _Measure(tokens, again=True)
    once = grant(left, prompt=prompt, reply=wanted, price=context.price)
    return _Measure(once.max_tokens if isinstance(once, Grant) else 0, again=False)


async def _whole_text(turn: AgentTurn, request: ModelRequest[T]) -> ModelReply[T]:
    said = await call_model(turn, request)
    text, latest = said.text, said
    for _ in range(_FREE_PARTS - 1):
        room = await _room(turn, request)
        if not latest.cut or room.tokens < min(_LEAST, request.max_tokens):
            break
        more = [
            *request.messages,
            Message(role="assistant", content=text),
            Message(role="user", content=_GO_ON),
        ]
        latest = await call_model(turn, replace(request, messages=more, continues=said.step))
        if not latest.text:
            break
        text += latest.text
    return replace(said, text=text, cut=latest.cut or not latest.text)


def full_arguments(
    arguments: Mapping[str, object], tool: Tool, limits: Limits | None, *, times: int = 1
) -> list[str]:
    """Return the names of the arguments with a text that fills its bound, so that it may be cut.

    Args:
        arguments: Of a call.
        tool: The tool that is called; a `maxLength` of its schema is a bound too.
        limits: The limits that the reply was decoded under.
        times: How many times as long as other texts one may be.
    """
    bound = UNBOUNDED if limits is None else limits.string_length * times
    # `Any`: a JSON Schema may say anything at this place.
    properties: Any = tool.parameters.get("properties", {})
    return [
        name for name, value in arguments.items() if _full(value, properties.get(name, {}), bound)
    ]


def _full(value: object, schema: Any, bound: int) -> bool:
    """Return whether a text fills its bound, or one in a list, an object or a join does."""
    within: Mapping[str, Any] = {}
    if isinstance(schema, Mapping):
        within = cast("Mapping[str, Any]", schema)
    match value:
        case str():
            # The tokens may bound even short texts, as their schema does on purpose.
            reached = len(value) == bound and not {"enum", "const"} & within.keys()
            return reached or fills(value, min(within.get("maxLength", UNBOUNDED), bound))
        case StepText():
            return any(_full(part, {}, bound) for part in value.parts)
        case Mapping():
            parts = cast("Mapping[str, object]", value)
            inner: Any = within.get("properties", {})
            return any(_full(one, inner.get(name, {}), bound) for name, one in parts.items())
        case list():
            items = cast("list[object]", value)
            return any(_full(one, within.get("items", {}), bound) for one in items)
        case _:
            return False


def fills(text: str, characters: int) -> bool:
    """Return whether a text takes all the room of a string of so many characters.

    An escape may take the place of 16 characters in the grammar of a long string.
    """
    if not _SHORT < characters < UNBOUNDED:
        return False
    escapes = sum(character in '"\\' or character < " " for character in text)
    return len(text) + (_UNIT - 1) * escapes > characters - _UNIT


def _with_note(messages: Sequence[Message], note: str) -> list[Message]:
    *before, last = messages
    return [*before, replace(last, content=f"{last.content}\n\n{note}")]
