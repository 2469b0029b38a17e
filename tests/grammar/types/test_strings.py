import pytest

from ragkit.core.errors import InputError
from ragkit.grammar import Limits, json_grammar
from ragkit.grammar.ebnf.json_escapes import json_text
from ragkit.grammar.random_decoding import RandomDecoder


@pytest.mark.parametrize(
    "text",
    ['"\x01"', '"\n"', '"\\ud800"', '"\\u0041"', ' "a"', '"a" ', '"a', '"\\/"'],
)
def test_strings_are_canonical(decoder: RandomDecoder, text: str) -> None:
    compiled = decoder.compile(json_grammar({"type": "string"}))
    assert not decoder.accepts(compiled, text)


@pytest.mark.parametrize("length", [65, 100, 300, 1024])
def test_long_strings_meet_their_length(decoder: RandomDecoder, length: int) -> None:
    compiled = decoder.compile(json_grammar({"type": "string", "maxLength": length}))
    lines = ("fifteen chars x\n" * 80)[: length // 2 // 16 * 16]
    for text in ("a" * length, "é" * length, lines, '"' * (length // 16), "a" * (length - 1)):
        assert decoder.accepts(compiled, json_text(text)), text
    for text in ("a" * (length + 1), "é" * (length + 1), "\n" * (length + 1)):
        assert not decoder.accepts(compiled, json_text(text)), text


def test_long_strings_meet_their_least_length(decoder: RandomDecoder) -> None:
    compiled = decoder.compile(json_grammar({"type": "string", "minLength": 200}))
    for text in ("a" * 200, "a\n" * 100, "\n" * 200, "a" * 1024):
        assert decoder.accepts(compiled, json_text(text)), text
    for text in ("a" * 199, "\n" * 199, "a" * 1025):
        assert not decoder.accepts(compiled, json_text(text)), text


def test_a_schema_that_asks_for_more_than_the_limits_is_met(decoder: RandomDecoder) -> None:
    schema = {"type": "string", "pattern": "[a-z]{162}"}
    compiled = decoder.compile(json_grammar(schema, limits=Limits(string_length=48)))
    assert decoder.accepts(compiled, json_text("a" * 162))


def test_a_format_that_no_grammar_expresses_is_checked() -> None:
    grammar = json_grammar({"type": "string", "format": "regex"})
    assert [finding.keyword for finding in grammar.checked] == ["format"]
    assert grammar.parse('"a+"') == "a+"
    with pytest.raises(InputError, match="format"):
        grammar.parse('"*"')
