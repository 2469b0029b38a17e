import pytest

from ragkit.grammar.ebnf import charset
from ragkit.grammar.ebnf.character_runs import closed_run
from ragkit.grammar.ebnf.expression import UNBOUNDED, Sizes, render
from ragkit.grammar.ebnf.json_escapes import json_text
from ragkit.grammar.ebnf.rules import Rules
from ragkit.grammar.random_decoding import RandomDecoder


def written(lo: int, hi: int) -> tuple[str, int]:
    rules = Rules()
    root = closed_run(charset.TEXT, lo, hi, rules)
    assert root is not None
    return render(root, rules.exprs, rules.texts), Sizes(rules.exprs).of(root)


@pytest.mark.parametrize(
    ("lo", "hi"), [(0, 0), (0, 5), (3, 3), (2, 64), (0, 65), (70, 70), (5, 300), (100, 1000)]
)
def test_runs_have_exactly_the_lengths_that_are_asked_for(
    decoder: RandomDecoder, lo: int, hi: int
) -> None:
    ebnf, size = written(lo, hi)
    compiled = decoder.compile(ebnf)
    for length in {0, lo - 1, lo, (lo + hi) // 2, hi, hi + 1}:
        if length >= 0:
            assert decoder.accepts(compiled, "a" * length + '"') == (lo <= length <= hi)
    assert decoder.accepts(compiled, "😀" * hi + '"')
    assert len(("😀" * hi + '"').encode()) <= size


@pytest.mark.parametrize("lo", [0, 1, 40])
def test_a_run_without_a_bound_ends_at_its_quote_only(decoder: RandomDecoder, lo: int) -> None:
    ebnf, size = written(lo, UNBOUNDED)
    compiled = decoder.compile(ebnf)
    assert size == UNBOUNDED
    assert decoder.accepts(compiled, json_text('é\n"\\' * 900)[1:])
    assert decoder.accepts(compiled, "a" * lo + '"')
    assert not decoder.accepts(compiled, "a" * (lo - 1)) or not lo
    assert not decoder.accepts(compiled, "a" * 50)


def test_a_run_of_more_than_it_may_have_is_empty() -> None:
    assert closed_run(charset.TEXT, 3, 2, Rules()) is None


def test_a_run_of_escaped_characters_only_is_written(decoder: RandomDecoder) -> None:
    rules = Rules()
    root = closed_run(charset.of("\n\t"), 1, 3, rules)
    assert root is not None
    compiled = decoder.compile(render(root, rules.exprs, rules.texts))
    assert decoder.accepts(compiled, '\\n\\t"')
    assert not decoder.accepts(compiled, '"')
