"""A real llama.cpp server: the contract, and grammars as it reads them."""

import warnings
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from ragkit.core.protocols import LLM
from ragkit.grammar import Limits, choice_grammar, json_grammar
from ragkit.llm import LlamaCpp
from ragkit.testing.llamacpp_server import missing, serving
from ragkit.testing.llm_contract import LLMContract
from ragkit.testing.vllm_server import free_port


@pytest.fixture(scope="module")
def url(random_model: Path) -> Iterator[str]:
    if reason := missing():
        warnings.warn(f"NO TEST AGAINST A REAL llama.cpp SERVER: {reason}", stacklevel=1)
        pytest.skip(reason)
    with serving(random_model, context=4096, port=free_port()) as found:
        yield found


@pytest.fixture
async def llm(url: str) -> AsyncIterator[LlamaCpp]:
    # The server's own samplers leave unlikely tokens out; here the grammar is all that does.
    neutral = {"top_k": 0, "top_p": 1.0, "min_p": 0.0}
    async with LlamaCpp(url, extra=neutral) as llm:
        yield llm


class TestLlamaCpp(LLMContract):
    @pytest.fixture
    def llm(self, llm: LlamaCpp) -> LLM:
        return llm


async def test_tokens_of_a_prompt_are_counted_as_the_server_counts_them(llm: LlamaCpp) -> None:
    question = "Größe 日本語 🐺?"
    reply = await llm.complete(question, max_tokens=1)
    assert await llm.count_tokens(question) == reply.usage.prompt
    assert await llm.context_tokens() == 4096


SCHEMAS: dict[str, dict[str, Any]] = {
    "long array": {"type": "array", "items": {"enum": [1]}, "minItems": 1200, "maxItems": 2400},
    "escapes": {"enum": ['"\\\n\t\x7f[]{}(=|)-^', "é\u2028\U0001f43a"]},
    "classes": {"type": "string", "pattern": "^[\\]\\[\\\\^\"'\\-é-ü🐺]{3}$"},
    "tuple": {
        "type": "array",
        "prefixItems": [{"type": "number"}, {"type": "null"}],
        "minItems": 2,
    },
    "any": {"type": "object", "properties": {"a": {}}, "required": ["a"]},
}


@pytest.mark.parametrize("name", SCHEMAS)
@pytest.mark.parametrize("wide", [False, True])
async def test_a_grammar_means_the_same_to_llama_cpp(
    name: str, llm: LlamaCpp, *, wide: bool
) -> None:
    grammar = json_grammar(SCHEMAS[name], limits=Limits(string_length=40, items=4))
    form = grammar.wide() if wide and name != "any" else grammar
    for seed in range(3):
        reply = await llm.complete("x", grammar=form, seed=seed, temperature=1.0)
        grammar.parse(reply.text)


async def test_an_unknown_rule_name_is_no_surprise(llm: LlamaCpp) -> None:
    words = [f"{'_' * place}word_{place}" for place in range(300)]
    assert (await llm.complete("x", grammar=choice_grammar(words), seed=1)).text in words
