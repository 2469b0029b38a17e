"""Under a real vocabulary, every token that a mask allows is accepted: else vLLM ends the request.

At default limits, without bounds, and fitted to small budgets.
RAGKIT_TEST_GRAMMAR_SCHEMAS=1000 takes more patterns, budgets and steps.
"""

import os
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ragkit.core.errors import InputError
from ragkit.grammar import Grammar, ToolSpec, action_grammar, json_grammar, plan_grammar
from ragkit.grammar.random_decoding import RandomDecoder

COUNT = int(os.environ.get("RAGKIT_TEST_GRAMMAR_SCHEMAS", "8"))
BUDGETS = (512,) if COUNT < 1000 else (15_000, 4_096, 1_024, 256)
STEPS = 30 if COUNT < 1000 else 150
BOUNDS: list[dict[str, int]] = [{}, {"maxLength": 300}, {"minLength": 20}]
PATTERNS = [
    "b$",
    ".+",
    r"\S",
    "^[a-z]+$",
    r"^\S+@\S+\.\S+$",
    r"^[^\s].*[^\s]$",
    "a.*b.*c",
    r"^(\w+\s?)+$",
    "^((ab)+)?$",
    "^([a-c]{2,3}){1,40}$",
    r"^.{0,90}x.{0,300}$",
]
SCHEMAS: list[Any] = [
    {"type": "string"},
    {"type": "string", "maxLength": 300},
    {"type": "string", "minLength": 100},
    {"type": "array", "items": {"type": "string"}},
    {"type": "object", "additionalProperties": {"type": "number"}},
    {"type": "array", "uniqueItems": True, "items": {"enum": [f"item {n}" for n in range(200)]}},
    {"type": "array", "contains": {"const": 1}, "items": {"type": ["integer", "string"]}},
    {},
]
SPECS = [
    ToolSpec(
        name="search",
        description="",
        parameters={
            "type": "object",
            "properties": {"query": {"type": "string"}, "k": {"type": "integer", "minimum": 1}},
            "required": ["query"],
        },
    )
]


def forms(grammar: Grammar[Any]) -> list[Grammar[Any]]:
    """The grammar without bounds, at its own limits, and at each fitted size that exists."""
    found = [grammar.wide(), grammar]
    for tokens in BUDGETS:
        try:
            found.append(grammar.fit(tokens))
        except InputError:
            break
    return list({form.ebnf: form for form in found}.values())


def check(decoder: RandomDecoder, grammar: Grammar[Any]) -> None:
    for form in forms(grammar):
        compiled = decoder.compile(form)
        assert decoder.refused(compiled, seed=len(form.ebnf), max_tokens=STEPS) == [], form.limits


@pytest.mark.parametrize(
    ("pattern", "bounds"),
    [
        (pattern, bounds)
        for place, pattern in enumerate(PATTERNS)
        for bounds in (BOUNDS if COUNT >= 1000 else BOUNDS[place % 2 : place % 2 + 1])
    ],
    ids=str,
)
def test_masks_of_patterns_are_right(
    real_decoder: RandomDecoder, pattern: str, bounds: dict[str, int]
) -> None:
    check(real_decoder, json_grammar({"type": "string", "pattern": pattern, **bounds}))


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: str(schema)[:50])
def test_masks_of_schemas_are_right(real_decoder: RandomDecoder, schema: Any) -> None:
    check(real_decoder, json_grammar(schema))


def test_masks_of_actions_and_plans_are_right(real_decoder: RandomDecoder) -> None:
    check(real_decoder, action_grammar(SPECS))
    check(real_decoder, plan_grammar(SPECS, 3))


LEAVES = ["a", "b", "ab", "[a-c]", ".", r"\d", r"\w", r"\s", "[^x]", "é"]
TIMES = ["*", "+", "?", "{2}", "{1,3}", "{0,70}", "{2,}"]


@st.composite
def bodies(draw: st.DrawFn, depth: int) -> str:
    """A pattern of nested repetitions, alternatives and classes, without anchors."""
    kind = draw(st.integers(0, 3)) if depth else 0
    if kind == 0:
        return draw(st.sampled_from(LEAVES))
    parts = [draw(bodies(depth - 1)) for _ in range(1 if kind == 1 else 2)]
    if kind == 1:
        return f"({parts[0]}){draw(st.sampled_from(TIMES))}"
    return "".join(parts) if kind == 2 else f"({'|'.join(parts)})"


def regexes() -> st.SearchStrategy[str]:
    return bodies(3).flatmap(
        lambda body: st.sampled_from([body, f"^{body}$", f"^{body}", f"{body}$"])
    )


@settings(
    max_examples=COUNT,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(pattern=regexes(), seed=st.integers(0, 1 << 20))
def test_nested_patterns_compile_and_their_masks_are_right(
    real_decoder: RandomDecoder, pattern: str, seed: int
) -> None:
    grammar = json_grammar({"type": "string", "pattern": pattern})
    for form in (grammar.wide(), grammar):
        compiled = real_decoder.compile(form)
        assert real_decoder.refused(compiled, seed=seed, max_tokens=40, sample=24) == []
        reply = real_decoder.decode(
            compiled, seed=seed, max_tokens=min(form.max_tokens, 400), ending=0.2
        )
        if reply is not None:
            grammar.parse(reply.decode())
