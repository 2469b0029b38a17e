import pytest

from ragkit.core.errors import ConfigError, InputError, ProviderError
from ragkit.core.types import Message
from ragkit.llm import (
    Cascade,
    Fallback,
    LocalLLM,
    Router,
)
from ragkit.llm.wrappers.routing import classified, mean_probability
from ragkit.testing import FailingLLM, ScriptedLLM


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


def down(*, retryable: bool = True) -> ProviderError:
    return ProviderError("down", provider="test", retryable=retryable)


async def test_a_cascade_passes_over_a_model_that_fails() -> None:
    cascade = Cascade([FailingLLM(down()), saying("large")], lambda _: True)
    assert (await cascade.complete("x")).text == "large"
    assert cascade.escalations == 1
    with pytest.raises(ProviderError, match="down"):
        await Cascade([saying("small"), FailingLLM(down())], lambda _: False).complete("x")


async def test_a_cascade_escalates_where_the_context_of_the_small_model_is_too_short() -> None:
    small = ScriptedLLM(["never"], context=4)
    reply = await Cascade([small, saying("large")], lambda _: True).complete("a long question")
    assert reply.text == "large"


@pytest.mark.parametrize("streamed", [True, False])
async def test_the_next_model_replies_where_one_fails(*, streamed: bool) -> None:
    fallback = Fallback([FailingLLM(down(retryable=False)), saying("second"), saying("third")])
    if streamed:
        last = [delta async for delta in fallback.stream("x")][-1].reply
        assert last is not None
        assert last.text == "second"
    else:
        assert (await fallback.complete("x")).text == "second"
    assert fallback.failures == {"scripted": 1}


async def test_the_last_model_s_error_is_raised() -> None:
    with pytest.raises(ProviderError, match="down"):
        await Fallback([FailingLLM(down()), FailingLLM(down())]).complete("x")
    with pytest.raises(ConfigError, match="at least one"):
        Fallback([])


async def test_a_call_that_no_model_would_take_is_not_passed_on() -> None:
    second = saying("second")
    with pytest.raises(InputError, match="temperature"):
        await Fallback([saying("first"), second]).complete("x", temperature=-1)
    assert second.calls == []


async def test_a_stream_that_has_begun_is_not_passed_on_but_a_call_is() -> None:
    def broken() -> Fallback:
        return Fallback([FailingLLM(down(), after_a_piece=True), saying("second")])

    with pytest.raises(ProviderError):
        _ = [delta async for delta in broken().stream("x")]
    assert (await broken().complete("x")).text == "second"


async def test_the_context_is_that_of_the_models_that_answer() -> None:
    class Down(ScriptedLLM):
        async def context_tokens(self) -> int:
            raise down()

    models = [Down([]), ScriptedLLM([], context=700), ScriptedLLM([], context=500)]
    assert await Fallback(models).context_tokens() == 500
    with pytest.raises(ProviderError):
        await Fallback([Down([])]).context_tokens()
