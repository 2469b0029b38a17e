"""Types, schemas and limits become grammars whose replies parse as what was asked for."""

import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from ragkit.core.errors import InputError
from ragkit.grammar import json_grammar
from ragkit.grammar.random_decoding import RandomDecoder
from tests.grammar.conftest import SMALL


class Person(BaseModel):
    name: str = Field(max_length=8)
    age: int = Field(ge=0, le=150)
    tags: set[Literal["x", "y", "z"]] = set()


@dataclass
class Point:
    x: float
    y: float | None = None


class Movie(TypedDict):
    title: str
    year: int


@pytest.mark.parametrize(
    "kind", [Person, Point, Movie, list[Point], Person | Point, Literal["a", "b"]]
)
def test_types_are_decoded_and_read(decoder: RandomDecoder, kind: Any) -> None:
    grammar = json_grammar(kind, limits=SMALL)
    for reply in decoder.replies(grammar):
        grammar.parse(reply)


def test_a_type_that_pydantic_refuses_is_an_input_error() -> None:
    with pytest.raises(InputError, match="JSON Schema"):
        json_grammar(object())


def test_a_model_is_read_as_the_model() -> None:
    assert json_grammar(Person).parse('{"name":"Ada","age":36,"tags":["x"]}') == Person(
        name="Ada", age=36, tags={"x"}
    )
    with pytest.raises(InputError, match=r"'maximum' at '/age'"):
        json_grammar(Person).parse('{"name":"Ada","age":360}')


class Lookup(BaseModel):
    kind: Literal["lookup"]
    query: str


class Refuse(BaseModel):
    kind: Literal["refuse"]
    reason: str


class Routed(BaseModel):
    route: Annotated[Lookup | Refuse, Field(discriminator="kind")]


def test_routing_reads_the_chosen_branch(decoder: RandomDecoder) -> None:
    grammar = json_grammar(Routed, limits=SMALL)
    assert not grammar.checked
    assert grammar.parse('{"route":{"kind":"refuse","reason":"x"}}').route == Refuse(
        kind="refuse", reason="x"
    )
    compiled = decoder.compile(grammar)
    assert not decoder.accepts(compiled, '{"route":{"kind":"refuse","query":"x"}}')


def test_import_is_light() -> None:
    code = (
        "import sys, ragkit.grammar; "
        "heavy = ('xgrammar', 'torch', 'transformers', 'jsonschema'); "
        "print([m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=dict(os.environ),
    )
    assert done.stdout.strip() == "[]"
