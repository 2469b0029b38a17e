"""Replies that may end early: free text goes on, and texts that fill their bound are found.

A reply under a grammar is never cut: the model is asked again where one is (`ragkit.llm.fitting`).
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar, cast

from ragkit.agents.context import AgentTurn
from ragkit.agents.model_call import ModelReply, ModelRequest, call_model
from ragkit.core.protocols import Tool
from ragkit.core.types import Message
from ragkit.grammar import Limits, StepText
from ragkit.grammar.ebnf.expression import UNBOUNDED

T = TypeVar("T")

_LEAST = 512
_FREE_PARTS = 4
_UNIT = 16
_SHORT = 200
"""Texts of so few characters, such as a code or a unit, may well be as long as they can be."""
_GO_ON = "That reply ended at its limit of tokens. Continue exactly where it ends; repeat nothing."


async def ask(turn: AgentTurn, request: ModelRequest[T]) -> ModelReply[T]:
    """Ask the model within the rest of the budget; free text that was cut is continued.

    Each call counts in the budget and is recorded in the turn. `cut` says where the text still
    ends early.
    """
    said = await call_model(turn, request)
    text, latest = said.text, said
    for _ in range(_FREE_PARTS - 1):
        if not latest.cut:
            break
        more = [
            *request.messages,
            Message(role="assistant", content=text),
            Message(role="user", content=_GO_ON),
        ]
        least = min(_LEAST, request.max_tokens)
        latest = await call_model(
            turn, replace(request, messages=more, continues=said.step, least=least)
        )
        if not latest.text:
            return replace(said, text=text, cut=True)
        text += latest.text
    return replace(said, text=text, cut=latest.cut)


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
