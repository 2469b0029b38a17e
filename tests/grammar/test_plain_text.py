import pytest

from ragkit.core.errors import InputError
from ragkit.grammar import choice_grammar, regex_grammar
from ragkit.grammar.random_decoding import RandomDecoder
from tests.grammar.conftest import SMALL


def test_choices_are_plain_text(decoder: RandomDecoder) -> None:
    grammar = choice_grammar(["yes", "no", "not sure", 'ü "quoted"\n'])
    assert set(decoder.replies(grammar, 40)) == {"yes", "no", "not sure", 'ü "quoted"\n'}
    with pytest.raises(InputError, match="none of the 4 choices"):
        grammar.parse("maybe")
    with pytest.raises(InputError, match="at least one text"):
        choice_grammar([])


def test_ten_thousand_choices_compile(decoder: RandomDecoder) -> None:
    words = [f"{number * 7919:x}-{number}" for number in range(10_000)]
    compiled = decoder.compile(choice_grammar(words))
    assert decoder.accepts(compiled, words[77])
    assert not decoder.accepts(compiled, words[77] + "0")


def test_a_regular_expression_is_matched_from_start_to_end(decoder: RandomDecoder) -> None:
    grammar = regex_grammar(r"[A-Z]{2}-\d{3,5}|none", limits=SMALL)
    for reply in decoder.replies(grammar):
        assert grammar.parse(reply) == reply
    with pytest.raises(InputError, match=r"back references|groupref"):
        regex_grammar(r"(a)\1")
