import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from ragkit.core.errors import InputError
from ragkit.grammar import (
    Action,
    Evidence,
    Finding,
    Grammar,
    Limits,
    Plan,
    StepReference,
    ToolSpec,
    action_grammar,
    choice_grammar,
    compile_grammar,
    json_grammar,
    lint,
    plan_grammar,
    quote_grammar,
    regex_grammar,
)
from ragkit.grammar.random_decoding import RandomDecoder

SMALL = Limits(string_length=24, items=2, map_entries=2)
SEARCH = ToolSpec(
    name="search",
    description="Search the documents.",
    parameters={
        "type": "object",
        "properties": {"query": {"type": "string"}, "k": {"$ref": "#/$defs/k"}},
        "required": ["query"],
        "$defs": {"k": {"type": "integer", "minimum": 1, "maximum": 50}},
    },
)
CLOCK = ToolSpec(
    name="now", description="The time.", parameters={"type": "object", "properties": {}}
)
PASSAGES = {"a": "Snow is white. It is cold!", "b": "Coal is black."}


@pytest.fixture(scope="module")
def decoder() -> RandomDecoder:
    return RandomDecoder()


def replies(decoder: RandomDecoder, grammar: Grammar[Any], count: int = 12) -> list[str]:
    compiled = decoder.compile(grammar)
    found = [
        decoder.decode(compiled, seed=seed, max_tokens=grammar.max_tokens, ending=0.1)
        for seed in range(count)
    ]
    assert all(reply is not None and len(reply) <= grammar.max_bytes for reply in found)
    return [reply.decode() for reply in found if reply is not None]


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
    for reply in replies(decoder, grammar):
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


def test_choices_are_plain_text(decoder: RandomDecoder) -> None:
    grammar = choice_grammar(["yes", "no", "not sure", 'ü "quoted"\n'])
    assert set(replies(decoder, grammar, 40)) == {"yes", "no", "not sure", 'ü "quoted"\n'}
    with pytest.raises(InputError, match="none of the 4 choices"):
        grammar.parse("maybe")
    with pytest.raises(InputError, match="at least one"):
        choice_grammar([])


def test_ten_thousand_choices_compile(decoder: RandomDecoder) -> None:
    words = [f"{number * 7919:x}-{number}" for number in range(10_000)]
    compiled = decoder.compile(choice_grammar(words))
    assert decoder.accepts(compiled, words[77])
    assert not decoder.accepts(compiled, words[77] + "0")


def test_a_regular_expression_is_matched_from_start_to_end(decoder: RandomDecoder) -> None:
    grammar = regex_grammar(r"[A-Z]{2}-\d{3,5}|none", limits=SMALL)
    for reply in replies(decoder, grammar):
        assert grammar.parse(reply) == reply
    with pytest.raises(InputError, match=r"back references|groupref"):
        regex_grammar(r"(a)\1")


def test_only_sentences_of_the_passages_can_be_quoted(decoder: RandomDecoder) -> None:
    grammar = quote_grammar(PASSAGES, limits=SMALL)
    for reply in replies(decoder, grammar, 30):
        evidence = grammar.parse(reply)
        assert isinstance(evidence, Evidence)
        assert all(PASSAGES[q.passage][q.start : q.end] == q.text for q in evidence.quotes)
        assert evidence.sufficient == bool(evidence.answer) == bool(evidence.citations)
        assert evidence.quotes or not evidence.sufficient
        assert set(evidence.citations) <= PASSAGES.keys()
    compiled = decoder.compile(grammar)
    quoted = (
        '{"quotes":[{"passage":"a","quote":"%s"}],'
        '"sufficient":true,"answer":"x","citations":["%s"]}'
    )
    assert decoder.accepts(compiled, quoted % ("Snow is white.", "b"))
    assert not decoder.accepts(compiled, quoted % ("Coal is black.", "a"))
    assert not decoder.accepts(compiled, quoted % ("Snow is", "a"))
    assert not decoder.accepts(compiled, quoted % ("Snow is white.", "c"))


def test_a_sentence_that_is_too_long_is_quoted_in_lines_or_words(decoder: RandomDecoder) -> None:
    table = "| river | length |\n| Volga | 3531 km |\n| Danube, the second one | 2850 km |"
    text = f"{table}\n\n{'x' * 30} end."
    grammar = quote_grammar({"a": text}, limits=SMALL)
    found: set[str] = set()
    for reply in replies(decoder, grammar, 60):
        for quote in grammar.parse(reply).quotes:
            assert text[quote.start : quote.end] == quote.text
            assert len(quote.text) <= SMALL.string_length
            found.add(quote.text)
    parts = {"| river | length |", "| Volga | 3531 km |", "| Danube, the second one", "| 2850 km |"}
    assert found == {*parts, "end."}


def test_a_reply_under_tightened_limits_is_read_by_the_grammar_as_it_was() -> None:
    text = "A long sentence of many words that does not fit any limit that is as tight as this."
    grammar = quote_grammar({"a": text})
    tight = quote_grammar({"a": text}, limits=Limits(string_length=32))
    said = (
        '{"quotes":[{"passage":"a","quote":"A long sentence of many words"}],'
        '"sufficient":true,"answer":"x","citations":["a"]}'
    )
    assert tight.parse(said) == grammar.parse(said)
    assert grammar.parse(said).quotes[0].end == 29
    with pytest.raises(InputError, match="no sentence of passage 'a'"):
        grammar.parse(said.replace("of many words", "of many"))


def test_each_tool_has_its_own_arguments(decoder: RandomDecoder) -> None:
    grammar = action_grammar([SEARCH, CLOCK], max_calls=2, limits=SMALL)
    for reply in replies(decoder, grammar, 20):
        action = grammar.parse(reply)
        assert isinstance(action, Action)
        assert 1 <= len(action.calls) <= 2
    compiled = decoder.compile(grammar)
    call = '{"thought":"","calls":[{"tool":"%s","arguments":%s}]}'
    assert decoder.accepts(compiled, call % ("search", '{"query":"x","k":50}'))
    assert not decoder.accepts(compiled, call % ("search", '{"query":"x","k":51}'))
    assert not decoder.accepts(compiled, call % ("now", '{"query":"x"}'))
    assert not decoder.accepts(compiled, call % ("other", "{}"))


def test_a_call_that_ends_stands_alone_and_may_say_more(decoder: RandomDecoder) -> None:
    text = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
    end = ToolSpec(name="end", description="", parameters=text)
    limits = Limits(string_length=32)
    grammar = action_grammar([SEARCH], ending=[end], max_calls=2, limits=limits)
    ended = [
        [call.tool for call in grammar.parse(reply).calls]
        for reply in replies(decoder, grammar, 20)
    ]
    assert ["end"] in ended
    assert all(tools == ["end"] or "end" not in tools for tools in ended)
    compiled = decoder.compile(grammar)
    first = '{"tool":"search","arguments":{"query":"x"}}'
    last = '{"tool":"end","arguments":{"text":"%s"}}'
    assert decoder.accepts(compiled, f'{{"thought":"","calls":[{first},{first}]}}')
    assert not decoder.accepts(compiled, f'{{"thought":"","calls":[{first},{last % "x"}]}}')
    assert decoder.accepts(compiled, f'{{"thought":"","calls":[{last % (64 * "x")}]}}')
    assert not decoder.accepts(compiled, f'{{"thought":"","calls":[{last % (65 * "x")}]}}')
    assert action_grammar([], ending=[end]).parse(
        '{"thought":"","calls":[{"tool":"end","arguments":{"text":"x"}}]}'
    )


def test_two_hundred_tools_compile(decoder: RandomDecoder) -> None:
    tools = [
        ToolSpec(name=f"tool_{number}", description="", parameters=SEARCH.parameters)
        for number in range(200)
    ]
    compiled = decoder.compile(action_grammar(tools))
    text = '{"thought":"t","calls":[{"tool":"tool_199","arguments":{"query":"x"}}]}'
    assert decoder.accepts(compiled, text)


def test_tools_need_names_of_their_own() -> None:
    with pytest.raises(InputError, match="names of their own"):
        action_grammar([SEARCH, SEARCH])
    with pytest.raises(InputError, match="names of their own"):
        action_grammar([SEARCH], ending=[SEARCH])
    with pytest.raises(InputError, match="max_calls must be at least 1"):
        action_grammar([SEARCH], ending=[CLOCK], max_calls=0)
    with pytest.raises(InputError, match="at least one step"):
        plan_grammar([SEARCH], 0)


def test_a_step_refers_to_earlier_steps_only(decoder: RandomDecoder) -> None:
    grammar = plan_grammar([SEARCH, CLOCK], 12, limits=SMALL)
    for reply in replies(decoder, grammar, 20):
        plan = grammar.parse(reply)
        assert isinstance(plan, Plan)
        for index, step in enumerate(plan.steps, 1):
            assert step.id == f"#E{index}"
            assert all(int(ref[2:]) < index for ref in step.needs)
    compiled = decoder.compile(grammar)
    first = '{"id":"#E1","tool":"now","arguments":{}}'
    second = '{"id":"#E2","tool":"search","arguments":{"query":{"ref":"%s","path":["a",0]}}}'
    text = '{"steps":[' + first + "," + second % "#E1" + "]}"
    assert decoder.accepts(compiled, text)
    assert grammar.parse(text).steps[1].arguments["query"] == StepReference(
        ref="#E1", path=("a", 0)
    )
    assert not decoder.accepts(compiled, '{"steps":[' + first + "," + second % "#E2" + "]}")
    assert not decoder.accepts(compiled, '{"steps":[' + second.replace("#E2", "#E1") % "#E1" + "]}")


def test_a_later_step_may_give_arguments_of_any_name(decoder: RandomDecoder) -> None:
    free = {"type": "object", "additionalProperties": {"type": "string"}, "minProperties": 1}
    tool = ToolSpec(name="free", description="", parameters=free)
    compiled = decoder.compile(plan_grammar([tool], 2, limits=SMALL))
    step = '{"id":"#E%d","tool":"free","arguments":{"a":"x"}}'
    assert decoder.accepts(compiled, '{"steps":[' + step % 1 + "," + step % 2 + "]}")


def test_lint_names_the_treatment_of_each_keyword() -> None:
    schema = {
        "type": "object",
        "title": "t",
        "properties": {
            "a": {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
            "b": {"type": "string", "format": "json-pointer"},
            "c": {"type": "string", "format": "regex"},
        },
    }
    found = {(f.path, f.keyword): f.treatment for f in lint(schema)}
    assert found["", "type"] == "enforced"
    assert found["", "title"] == "annotation"
    assert found["/properties/a", "uniqueItems"] == "checked"
    assert found["/properties/b", "format"] == "annotation"
    assert found["/properties/c", "format"] == "checked"
    refused = [f for f in lint({"items": {"unevaluatedItems": False}}) if f.treatment == "refused"]
    assert [(f.path, f.keyword) for f in refused] == [("/items", "unevaluatedItems")]
    assert all(isinstance(finding, Finding) for finding in lint(Person))


def test_compiled_grammars_are_kept(decoder: RandomDecoder) -> None:
    grammar = json_grammar({"type": "integer"})
    assert compile_grammar(grammar, decoder.info) is compile_grammar(grammar, decoder.info)
    with pytest.raises(InputError, match="rejects the grammar"):
        compile_grammar("root ::= (", decoder.info)
    with pytest.raises(InputError, match="takes longer than"):
        compile_grammar(
            json_grammar({"type": "string", "maxLength": 999}), decoder.info, timeout_s=0
        )


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
