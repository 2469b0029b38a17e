import pytest

from ragkit.core.errors import ConfigError, InputError
from ragkit.core.types import Message
from ragkit.llm import (
    Cascade,
    LocalLLM,
    Router,
)
from ragkit.llm.wrappers.routing import classified, mean_probability
from ragkit.testing import ScriptedLLM


def saying(text: str) -> ScriptedLLM:
    return ScriptedLLM(lambda _: text, model=text)


async def test_a_router_follows_its_rule_and_names_what_it_does_not_know() -> None:
    def rule(messages: tuple[Message, ...]) -> str:
        return messages[-1].content

    router = Router({name: saying(name) for name in "ab"}, rule)
    assert (await router.complete("b")).model == "b"
    with pytest.raises(InputError, match="'a', 'b'"):
        await router.complete("c")
    with pytest.raises(ConfigError):
        Router({}, rule)


async def test_a_classifier_chooses_under_a_grammar_of_the_routes() -> None:
    small = ScriptedLLM(["hard"])
    choose = classified(small, {"easy": "small talk", "hard": "mathematics"})
    router = Router({"easy": ScriptedLLM(["e"]), "hard": ScriptedLLM(["h"])}, choose)
    assert (await router.complete("2+2?")).text == "h"
    assert "mathematics" in small.calls[0].prompt


async def test_a_cascade_escalates_until_a_reply_stands_and_charges_for_all() -> None:
    llms = [saying(text) for text in ("no", "yes", "late")]
    cascade = Cascade(llms, lambda reply: reply.text == "yes")
    reply = await cascade.complete("x")
    assert (reply.text, reply.model) == ("yes", "yes")
    assert reply.usage.prompt == 2
    assert not llms[2].calls
    assert cascade.escalations == 1


async def test_the_last_model_of_a_cascade_stands() -> None:
    cascade = Cascade([ScriptedLLM(["a"]), ScriptedLLM(["b"])], lambda _: False)
    assert (await cascade.complete("x")).text == "b"


async def test_a_cascade_by_probability_asks_for_logprobs(local_llm: LocalLLM) -> None:
    for least, text in ((0.0, None), (1.1, "sure")):
        cascade = Cascade([local_llm, ScriptedLLM(["sure"])], least)
        reply = await cascade.complete("x", max_tokens=5)
        assert (reply.text == "sure") is (text is not None)
    reply = await local_llm.complete("x", max_tokens=5, logprobs=0)
    assert 0 < mean_probability(reply) < 1
    with pytest.raises(InputError, match="logprobs=0"):
        mean_probability(await local_llm.complete("x", max_tokens=5))
