import pytest

from ragkit.core.errors import InputError
from ragkit.grammar import Evidence, Limits, quote_grammar
from ragkit.grammar.random_decoding import RandomDecoder
from tests.grammar.conftest import SMALL

PASSAGES = {"a": "Snow is white. It is cold!", "b": "Coal is black."}


def test_only_sentences_of_the_passages_can_be_quoted(decoder: RandomDecoder) -> None:
    grammar = quote_grammar(PASSAGES, limits=SMALL)
    for reply in decoder.replies(grammar, 30):
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
    for reply in decoder.replies(grammar, 60):
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
