import re

import pytest

from ragkit.grammar import Grammar, Limits, json_grammar
from ragkit.grammar.gbnf import gbnf
from ragkit.testing.llm_contract import GRAMMARS
from tests.llm.openai.gbnf_parser import check_gbnf


def test_look_ahead_is_left_out_and_literals_and_classes_are_kept() -> None:
    made = gbnf('root ::= "(=" [(=] ("a") (="b" | [\\u005d(] (x)) r_1 "_"\nr_1 ::= "c"*')
    assert made == 'root ::= "(=" [(=] ( "a" ) r-1 "_"\nr-1 ::= "c"*'
    check_gbnf(made)


def test_a_repetition_of_many_parts_becomes_one_of_a_rule() -> None:
    made = gbnf('root ::= (("," ("a" | "b")){0,900})')
    check_gbnf(made)
    assert "repeated-0{0,900}" in made


@pytest.mark.parametrize(
    "times", ["{2000}", "{1500,4500}", "{0,2001}", "{3000,}", "{1000}", "{0,1}"]
)
def test_a_long_repetition_is_divided_for_llama_cpp_would_drop_its_bound(times: str) -> None:
    made = gbnf(f'root ::= "x" [ab]{times} "y"')
    check_gbnf(made)
    assert sum(map(int, re.findall(r"\{(\d+)(?=[,}])", made))) >= int(re.findall(r"\d+", times)[0])


@pytest.mark.parametrize("name", GRAMMARS)
@pytest.mark.parametrize("wide", [False, True])
def test_every_grammar_has_a_form_that_llama_cpp_takes(name: str, *, wide: bool) -> None:
    grammar: Grammar[object] = GRAMMARS[name]
    check_gbnf(gbnf((grammar.wide() if wide else grammar).ebnf))


def test_a_parser_as_strict_as_llama_cpp_s_refuses_the_ebnf_itself() -> None:
    ebnf = json_grammar({"type": "array", "items": {"type": "string"}, "maxItems": 5000}).ebnf
    with pytest.raises(ValueError, match=r"expecting|exceeds|bound"):
        check_gbnf(ebnf)
    long = json_grammar(
        {"type": "array", "items": {"type": "string"}, "maxItems": 5000}, limits=Limits(items=5000)
    )
    check_gbnf(gbnf(long.ebnf))
    for bad in ('root ::= r_1\nr_1 ::= "x"', 'root ::= "x', "root ::= x", 'root ::= ("x"'):
        with pytest.raises(ValueError, match=r"expecting|unknown|Undefined"):
            check_gbnf(bad)
