import pytest
from pydantic import BaseModel

from ragkit.grammar import json_grammar
from ragkit.testing import ScriptedLLM


class City(BaseModel):
    name: str


async def test_a_scripted_reply_that_the_grammar_forbids_fails_the_test() -> None:
    llm = ScriptedLLM(['{"name": "white space"}'])
    with pytest.raises(AssertionError, match="does not match its grammar"):
        await llm.complete("x", grammar=json_grammar(City))
    with pytest.raises(AssertionError, match="no reply left"):
        await llm.complete("x")
