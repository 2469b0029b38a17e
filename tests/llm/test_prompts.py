from pydantic import BaseModel

from ragkit.grammar import json_grammar
from ragkit.llm import (
    Prompt,
    with_reasoning,
)
from ragkit.testing import ScriptedLLM


def test_a_prompt_puts_the_stable_part_first() -> None:
    prompt = Prompt(system="S", examples=(("q", "a"),), context="C")
    one, two = prompt.explain("first?"), prompt.explain("second?")
    assert one == "[system]\nS\n[user]\nq\n[assistant]\na\n[user]\nC\n\nfirst?"
    assert one.removesuffix("first?") == two.removesuffix("second?")


class City(BaseModel):
    name: str


async def test_reasoning_comes_before_the_answer() -> None:
    grammar = json_grammar(with_reasoning(City, length=50))
    assert grammar.ebnf.index("reasoning") < grammar.ebnf.index("answer")
    llm = ScriptedLLM(['{"reasoning":"Big.","answer":{"name":"Rome"}}'])
    reply = await llm.complete("Which?", grammar=grammar)
    assert grammar.parse(reply.text).answer == City(name="Rome")
