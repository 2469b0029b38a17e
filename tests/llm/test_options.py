from typing import Any

import pytest

from ragkit.core.errors import ContextExceeded, InputError
from ragkit.core.protocols import CallOptions
from ragkit.core.types import Json
from ragkit.grammar import json_grammar, regex_grammar
from ragkit.llm.options import checked_options, fitted

LETTERS = regex_grammar("[a-z]{2,400}")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"oops": 1}, "Unknown option 'oops'. Fix: use max_tokens"),
        ({"temperature": -1}, "temperature must be at least 0, got -1"),
        ({"temperature": float("nan")}, "temperature must be a number, got nan"),
        ({"temperature": "hot"}, "must be a number, got 'hot'"),
        ({"top_p": 2}, "top_p must be at least .* and at most 1, got 2"),
        ({"logprobs": 21}, "at most 20"),
        ({"seed": 2**63}, "seed must be"),
        ({"n": 0}, "n must be at least 1, got 0"),
        ({"timeout_s": 0}, "timeout_s must be"),
        ({"on_restart": 3}, "on_restart must be a function of the messages, got 3"),
        ({"stop": "x"}, "stop must be a list"),
        ({"stop": ["x", ""]}, "stop must be a list"),
    ],
)
def test_an_impossible_option_is_named_with_its_value(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        checked_options(options)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def test_possible_options_are_unchanged() -> None:
    options = CallOptions(max_tokens=None, seed=None, temperature=0, stop=["x"], logprobs=0)
    assert checked_options(options) == options


def test_free_text_may_take_the_room_or_the_limit() -> None:
    assert fitted(None, None, 100) == (None, 100)
    assert fitted(None, 7, 100) == (None, 7)
    assert fitted(None, 700, 100) == (None, 100)


def test_a_grammar_that_fits_is_unchanged() -> None:
    assert fitted(LETTERS, None, 1000) == (LETTERS, LETTERS.max_tokens)


@pytest.mark.parametrize(("limit", "room"), [(100, 1000), (None, 100), (300, 100)])
def test_a_longer_grammar_is_tightened_to_what_is_left(limit: int | None, room: int) -> None:
    grammar, tokens = fitted(json_grammar({"type": "array", "items": {"type": "integer"}}), 90, 900)
    assert grammar is not None
    assert grammar.max_tokens == tokens <= 90


def test_a_prompt_that_leaves_no_room_is_told_apart_from_a_limit() -> None:
    with pytest.raises(ContextExceeded, match="fills the model's context"):
        fitted(None, None, 0)
    with pytest.raises(ContextExceeded, match="leaves 1 tokens"):
        fitted(LETTERS, None, 1)
    with pytest.raises(InputError) as told:
        fitted(LETTERS, 1, 100)
    assert not isinstance(told.value, ContextExceeded)


def test_tools_must_be_functions_and_a_choice_needs_tools() -> None:
    tool: dict[str, Json] = {"type": "function", "function": {"name": "stock"}}
    assert checked_options({"tools": [tool], "tool_choice": "auto"})
    with pytest.raises(InputError, match=r"of the type 'function', got \{'name'"):
        checked_options({"tools": [{"name": "stock"}]})
    with pytest.raises(InputError, match="tool_choice is 'auto', but tools are empty"):
        checked_options({"tool_choice": "auto"})
