import pytest

from ragkit.grammar.ebnf.expression import (
    NOTHING,
    UNBOUNDED,
    Alt,
    Lit,
    Rep,
    Seq,
    Sizes,
    render,
    text,
)
from ragkit.grammar.ebnf.rules import Rules, TooManyRulesError


def test_a_key_and_a_text_have_one_rule() -> None:
    rules = Rules()
    one = rules.once("key", lambda: Lit("a"))
    assert rules.once("key", lambda: Lit("never built")) == one
    assert rules.add(Lit("a")) == one
    assert rules.once("empty", lambda: None) is None


def test_a_rule_that_refers_to_itself_has_no_longest_text() -> None:
    rules = Rules()
    loop = rules.reserve()
    rules.define(loop, Alt((NOTHING, Seq((Lit("a"), loop)))))
    assert Sizes(rules.exprs).of(loop) == UNBOUNDED
    assert render(loop, rules.exprs, rules.texts) == 'root ::= r0\nr0 ::= "" | "a" r0\n'


def test_only_rules_that_are_reached_are_written() -> None:
    rules = Rules()
    rules.add(Lit("unused"))
    used = rules.add(Lit("used"))
    assert "unused" not in render(used, rules.exprs, rules.texts)


def test_a_repetition_within_a_repetition_has_parentheses() -> None:
    assert text(Rep(Rep(Lit("ab"), 1, 9), 0, 1)) == '("ab"{1,9}){0,1}'
    assert text(Rep(Lit("a"), 0, UNBOUNDED)) == '"a"*'
    assert text(Rep(Lit("a"), 2, UNBOUNDED)) == '"a"{2,}'


def test_the_number_of_rules_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ragkit.grammar.ebnf.rules._MAX_RULES", 2)
    rules = Rules()
    rules.add(Lit("a"))
    rules.add(Lit("b"))
    with pytest.raises(TooManyRulesError):
        rules.add(Lit("c"))
