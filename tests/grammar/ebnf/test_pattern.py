import re

import pytest

from ragkit.grammar import json_grammar
from ragkit.grammar.ebnf.json_escapes import json_text
from ragkit.grammar.ebnf.pattern import UnsupportedPatternError, as_python, constraints
from ragkit.grammar.random_decoding import RandomDecoder


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        (r"(a)\1", "groupref"),
        ("(?<=a)b", "assert"),
        ("a^b", "anchor in the middle"),
        ("(^a)*", "anchor inside a repetition"),
        ("(?m)^a$", "flag m"),
        (r"\p{Script=Latin}", "not a regular expression"),
        (r"\p{Klingon}", "property 'Klingon'"),
        (r"\b.", "word boundary"),
        ("(", "not a regular expression"),
    ],
)
def test_what_no_grammar_can_express_is_named(pattern: str, reason: str) -> None:
    with pytest.raises(UnsupportedPatternError, match=reason):
        constraints(pattern)


def test_a_word_boundary_cannot_be_negated() -> None:
    with pytest.raises(UnsupportedPatternError, match="negation of a word boundary"):
        constraints(r"\bfoo", positive=False)


@pytest.mark.parametrize(
    ("pattern", "good", "bad"),
    [
        (r"^\p{Lu}$", "É", "é"),
        (r"^\p{Letter}$", "ß", "1"),
        (r"^[\p{Nd}-]+$", "12-", "a"),
        (r"^\P{L}$", "1", "a"),
        (r"^[a\p{P}\]]$", "!", "b"),
        (r"^(?<year>[0-9]{4})$", "2024", "24"),
    ],
)
def test_the_spelling_of_ecma_is_read_by_re(pattern: str, good: str, bad: str) -> None:
    assert re.search(as_python(pattern), good)
    assert not re.search(as_python(pattern), bad)


@pytest.mark.parametrize("pattern", ["(?i)^[a-f]x$", "(?i)^(ab|k)+$", "(?i)[^s]$", "(?i)straße"])
def test_patterns_that_ignore_case_decode_what_re_accepts(
    decoder: RandomDecoder, pattern: str
) -> None:
    grammar = json_grammar({"type": "string", "pattern": pattern, "maxLength": 12})
    for reply in decoder.replies(grammar):
        grammar.parse(reply)
    upper = json_grammar({"type": "string", "pattern": "(?i)^ab$"})
    compiled = decoder.compile(upper)
    assert all(decoder.accepts(compiled, json_text(text)) for text in ("ab", "AB", "aB"))
