"""Checks of decoding options, and fitting a grammar to the tokens that are left."""

import functools
import math
from collections.abc import Mapping

from ragkit.core.errors import ContextExceeded, InputError
from ragkit.core.protocols import CallOptions
from ragkit.core.reply_grammar import ReplyGrammar
from ragkit.core.types import Message

_AT_LEAST: dict[str, float] = {
    "max_tokens": 1,
    "max_calls": 1,
    "temperature": 0,
    "top_p": 1e-9,
    "top_k": 1,
    "min_p": 0,
    "repetition_penalty": 1e-9,
    "seed": 0,
    "n": 1,
    "logprobs": 0,
    "timeout_s": 1e-9,
}
_AT_MOST: dict[str, float] = {"top_p": 1, "min_p": 1, "logprobs": 20, "seed": 2**63 - 1}


def checked_options(
    options: CallOptions, *, grammar: ReplyGrammar[object] | None = None
) -> CallOptions:
    """Return the options of a call unchanged.

    Raises:
        InputError: An option is unknown, its value is out of range, or `stop` would cut a reply
            under a grammar.
    """
    for name, value in options.items():
        if name not in CallOptions.__annotations__:
            known = ", ".join(CallOptions.__annotations__)
            raise InputError(f"Unknown option {name!r}. Fix: use {known}.")
        if name in _AT_LEAST and value is not None:
            _check_number(name, value)
    _check_tools(options)
    if "on_restart" in options and not callable(again := options["on_restart"]):
        raise InputError(f"on_restart must be a function of the messages, got {again!r}.")
    if not isinstance(strict := options.get("strict", False), bool):
        raise InputError(f"strict must be true or false, got {strict!r}.")
    stop = options.get("stop", ())
    if isinstance(stop, str) or any(not text for text in stop):
        raise InputError(f"stop must be a list of texts that are not empty, got {stop!r}.")
    if stop and grammar is not None:
        raise InputError(
            f"stop is {stop!r}, which would cut a reply under a grammar. Fix: leave it out."
        )
    return options


async def restarted(options: CallOptions, messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """Return the conversation that asks again, as the option `on_restart` wants it."""
    again = options.get("on_restart")
    return tuple(await again(messages)) if again else messages


def calls_at_most(options: CallOptions, usual: int) -> int:
    """Return the calls that a reply under a grammar may take, of which `usual` are usual."""
    return 1 if options.get("strict") else min(usual, options.get("max_calls", usual))


def _check_tools(options: CallOptions) -> None:
    tools = options.get("tools", ())
    for tool in tools:
        if not isinstance(tool, Mapping) or tool.get("type") != "function":  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InputError(
                f"tools must be objects of the type 'function', got {tool!r:.80}. Fix: write "
                "{'type': 'function', 'function': {'name': ..., 'parameters': ...}}."
            )
    if "tool_choice" in options and not tools:
        raise InputError(f"tool_choice is {options['tool_choice']!r}, but tools are empty.")


def _check_number(name: str, value: object) -> None:
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise InputError(f"{name} must be a number, got {value!r}.")
    low, high = _AT_LEAST[name], _AT_MOST.get(name, math.inf)
    if not low <= value <= high:
        bounds = f"at least {low:g}" + (f" and at most {high:g}" if high < math.inf else "")
        raise InputError(f"{name} must be {bounds}, got {value!r}.")


def fitted(
    grammar: ReplyGrammar[object] | None, max_tokens: int | None, room: int
) -> tuple[ReplyGrammar[object] | None, int]:
    """Return the grammar fitted to the tokens left, and the `max_tokens` to request.

    A grammar is never cut: its limits tighten until its longest reply is within both
    `max_tokens` and `room`, the tokens that the prompt leaves of the context. Free text is cut.

    Raises:
        InputError: No reply of the grammar is short enough.
        ContextExceeded: The prompt leaves no room, or too little for the grammar.
    """
    if room < 1:
        raise ContextExceeded("The prompt fills the model's context. Fix: shorten it.")
    limit = room if max_tokens is None else min(max_tokens, room)
    if grammar is None:
        return None, limit
    if grammar.max_tokens <= limit:
        return grammar, grammar.max_tokens
    try:
        fit = _fit(grammar, _rounded(limit))
    except InputError:
        fit = _fit_exactly(grammar, limit, room)
    return fit, fit.max_tokens


def _fit_exactly(grammar: ReplyGrammar[object], limit: int, room: int) -> ReplyGrammar[object]:
    try:
        return _fit(grammar, limit)
    except InputError as error:
        if limit == room:
            raise ContextExceeded(f"{error} The context leaves {room} tokens.") from error
        raise


def _rounded(tokens: int) -> int:
    """Keep the two highest bits of a number, so that prompts of many lengths share a fit."""
    shift = max(0, tokens.bit_length() - 2)
    return tokens >> shift << shift


@functools.lru_cache(maxsize=256)
def _fit(grammar: ReplyGrammar[object], tokens: int) -> ReplyGrammar[object]:
    return grammar.fit(tokens)
