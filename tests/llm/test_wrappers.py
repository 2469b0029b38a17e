import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Unpack

import pytest
from pydantic import BaseModel

from ragkit.core.errors import ConfigError, InputError, ProviderError
from ragkit.core.protocols import LLM, CallOptions, ReplyGrammar
from ragkit.core.settings import LLMSettings
from ragkit.core.types import Conversation, Delta, Message, Usage
from ragkit.grammar import choice_grammar, json_grammar
from ragkit.llm import (
    Cache,
    Cascade,
    CircuitBreaker,
    Concurrency,
    LocalLLM,
    Metered,
    Price,
    Prompt,
    RateLimit,
    Rates,
    Retry,
    Router,
    SelfConsistent,
    open_llm,
    self_consistency,
    with_reasoning,
)
from ragkit.llm.wrappers.cache import FileReplies
from ragkit.llm.wrappers.rate_limit import RateLimits
from ragkit.llm.wrappers.routing import classified, mean_probability
from ragkit.testing.llm import ScriptedCall, ScriptedLLM


def failure(*, retryable: bool = True, retry_after_s: float | None = None) -> ProviderError:
    return ProviderError("no", provider="test", retryable=retryable, retry_after_s=retry_after_s)


def saying(text: str) -> ScriptedLLM:
    return ScriptedLLM(lambda _: text, model=text)


class Failing(ScriptedLLM):
    """Fails with the given errors in turn, before or after a first piece, then replies."""

    def __init__(self, *errors: ProviderError, after_a_piece: bool = False) -> None:
        super().__init__(lambda call: f"reply {len(self.tried)}")
        self.errors = list(errors)
        self.tried: list[float] = []
        self.after_a_piece = after_a_piece

    async def stream(
        self,
        messages: Conversation,
        *,
        grammar: ReplyGrammar[object] | None = None,
        **options: Unpack[CallOptions],
    ) -> AsyncGenerator[Delta]:
        self.tried.append(time.monotonic())
        if self.errors:
            if self.after_a_piece:
                yield Delta(text="half")
            raise self.errors.pop(0)
        async for delta in super().stream(messages, grammar=grammar, **options):
            yield delta


async def test_a_retryable_failure_is_tried_again() -> None:
    llm = Failing(failure(), failure())
    reply = await Retry(llm, first_s=0.001).complete("x")
    assert reply.text == "reply 3"


async def test_other_failures_are_not_tried_again() -> None:
    llm = Failing(failure(retryable=False))
    with pytest.raises(ProviderError):
        await Retry(llm, first_s=0.001).complete("x")
    assert len(llm.tried) == 1


async def test_after_the_last_attempt_the_error_is_raised() -> None:
    llm = Failing(*(failure() for _ in range(9)))
    with pytest.raises(ProviderError):
        await Retry(llm, attempts=3, first_s=0.001).complete("x")
    assert len(llm.tried) == 3


async def test_the_server_says_how_long_to_wait() -> None:
    llm = Failing(failure(retry_after_s=0.2))
    await Retry(llm, first_s=0.001).complete("x")
    assert llm.tried[1] - llm.tried[0] >= 0.2


async def test_a_server_that_asks_for_too_long_a_wait_is_not_called_again() -> None:
    llm = Failing(failure(retry_after_s=100))
    with pytest.raises(ProviderError):
        await Retry(llm, most_s=1).complete("x")
    assert len(llm.tried) == 1


async def test_a_begun_stream_is_not_repeated_but_a_call_is() -> None:
    retry = Retry(Failing(failure(), after_a_piece=True), first_s=0.001)
    with pytest.raises(ProviderError):
        _ = [delta async for delta in retry.stream("x")]
    retry = Retry(Failing(failure(), after_a_piece=True), first_s=0.001)
    assert (await retry.complete("x")).text == "reply 2"


async def test_the_breaker_opens_rests_and_closes_after_a_good_trial() -> None:
    llm = Failing(failure(), failure())
    breaker = CircuitBreaker(llm, failures=2, rest_s=0.05)
    for _ in range(2):
        with pytest.raises(ProviderError, match="no"):
            await breaker.complete("x")
    with pytest.raises(ProviderError, match="rests") as refused:
        await breaker.complete("x")
    assert refused.value.retry_after_s is not None
    assert len(llm.tried) == 2
    await asyncio.sleep(0.06)
    assert (await breaker.complete("x")).text == "reply 3"
    assert (await breaker.complete("x")).text == "reply 4"


async def test_a_bad_request_says_nothing_of_the_servers_health() -> None:
    breaker = CircuitBreaker(Failing(failure(retryable=False)), failures=1)
    with pytest.raises(ProviderError):
        await breaker.complete("x")
    assert (await breaker.complete("x")).text == "reply 2"


async def test_concurrency_is_bounded_and_all_are_served() -> None:
    most = 0

    def reply(_: ScriptedCall) -> str:
        nonlocal most
        most = max(most, llm.running)
        return "ok"

    llm = Concurrency(ScriptedLLM(reply, delay_s=0.005), limit=3)
    replies = await asyncio.gather(*(llm.complete("x") for _ in range(20)))
    assert len(replies) == 20
    assert most == 3
    assert (llm.running, llm.waiting) == (0, 0)


async def test_a_full_queue_refuses_at_once_and_a_long_wait_in_time() -> None:
    llm = Concurrency(ScriptedLLM(lambda _: "ok", delay_s=0.3), limit=1, queue=1, wait_s=0.05)
    outcomes = await asyncio.gather(*(llm.complete("x") for _ in range(3)), return_exceptions=True)
    assert [isinstance(outcome, ProviderError) for outcome in outcomes] == [False, True, True]
    assert {str(outcome).split(" and ")[1].split(";")[0] for outcome in outcomes[1:]} == {
        "no call ended in 0.05 s",
        "1 calls wait already",
    }
    assert (llm.running, llm.waiting) == (0, 0)


async def test_a_cancelled_call_gives_its_slot_back() -> None:
    llm = Concurrency(ScriptedLLM(lambda _: "ok", delay_s=5), limit=1)
    tasks = [asyncio.create_task(llm.complete("x")) for _ in range(2)]
    await asyncio.sleep(0.02)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert (llm.running, llm.waiting) == (0, 0)


async def test_an_abandoned_stream_gives_its_slot_back() -> None:
    llm = Concurrency(ScriptedLLM(lambda _: "a long reply of many pieces"), limit=1)
    async with aclosing(llm.stream("x")) as deltas:
        await anext(deltas)
        assert llm.running == 1
    assert llm.running == 0


class Closing(ScriptedLLM):
    """Notes when its stream is closed."""

    closed = False

    async def stream(
        self,
        messages: Conversation,
        *,
        grammar: ReplyGrammar[object] | None = None,
        **options: Unpack[CallOptions],
    ) -> AsyncGenerator[Delta]:
        try:
            yield Delta(text="piece")
            yield Delta(text="another")
        finally:
            self.closed = True


WRAPS: list[Callable[[LLM], LLM]] = [
    Cache,
    CircuitBreaker,
    Metered,
    Retry,
    SelfConsistent,
    lambda llm: Concurrency(llm, limit=1),
    lambda llm: RateLimit(llm, Rates()),
    lambda llm: Router({"one": llm}, lambda _: "one"),
]


@pytest.mark.parametrize("wrap", WRAPS)
async def test_closing_a_stream_closes_what_it_wraps_at_once(wrap: Callable[[LLM], LLM]) -> None:
    inner = Closing([])
    deltas = wrap(inner).stream("x")
    await anext(deltas)
    await deltas.aclose()
    assert inner.closed


async def test_tokens_are_reserved_and_what_was_not_used_is_put_back() -> None:
    limits = RateLimits(Rates(tokens=1000))
    llm = RateLimit(ScriptedLLM(lambda _: "ok"), limits, key="a", wait_s=0)
    for _ in range(20):  # 20 x 100 reserved, but about 5 used
        await llm.complete("x", max_tokens=100)
    level = limits.of("a")[1].level
    assert 1000 - 20 * 5 < level < 1000


async def test_a_key_that_used_up_its_tokens_is_told_when_to_come_back() -> None:
    limits = RateLimits(Rates(tokens=300))
    llm = RateLimit(ScriptedLLM(lambda _: "x" * 200), limits, key="a", wait_s=0)
    other = RateLimit(ScriptedLLM(lambda _: "x" * 200), limits, key="b", wait_s=0)
    await llm.complete("x", max_tokens=250)
    with pytest.raises(ProviderError, match="'a'") as refused:
        await llm.complete("x", max_tokens=250)
    assert 20 < (refused.value.retry_after_s or 0) < 60
    assert (await other.complete("x", max_tokens=250)).text


async def test_a_call_beyond_a_minutes_worth_is_refused_for_good() -> None:
    llm = RateLimit(ScriptedLLM(lambda _: "x"), Rates(tokens=100))
    with pytest.raises(ProviderError, match="more than a minute's worth") as refused:
        await llm.complete("x", max_tokens=500)
    assert not refused.value.retryable


async def test_requests_are_counted_too_and_a_call_may_wait() -> None:
    limits = RateLimits(Rates(requests=600))
    llm = RateLimit(ScriptedLLM(lambda _: "x"), limits, wait_s=1)
    limits.of("")[0].level = 1
    started = time.monotonic()
    await llm.complete("x")
    await llm.complete("x")
    assert time.monotonic() - started >= 0.09


async def test_a_failed_call_is_charged_for_its_prompt_only() -> None:
    limits = RateLimits(Rates(tokens=1000))
    llm = RateLimit(Failing(failure()), limits, wait_s=0)
    with pytest.raises(ProviderError):
        await llm.complete("x", max_tokens=500)
    assert 985 < limits.of("")[1].level < 1000


@pytest.mark.parametrize("file", [False, True])
async def test_equal_determined_calls_are_made_once(*, file: bool, tmp_path: Path) -> None:
    inner = ScriptedLLM(lambda call: f"reply {len(inner.calls)}")
    llm = Cache(inner, FileReplies(tmp_path / "replies.db") if file else None)
    first = await llm.complete("x", temperature=0)
    again = await llm.complete([Message(role="user", content="x")], temperature=0, timeout_s=3)
    assert (again.text, again.usage) == (first.text, Usage(prompt=1, cached=1))
    assert (await llm.complete("x", temperature=0, max_tokens=7)).text != first.text
    assert (await llm.complete("x")).text == "reply 3"
    assert (await llm.complete("x")).text == "reply 4"
    assert llm.hits == 1


async def test_equal_calls_that_overlap_are_made_once_even_if_the_first_is_cancelled() -> None:
    inner = ScriptedLLM(lambda _: "reply", delay_s=0.05)
    llm = Cache(inner)
    tasks = [asyncio.create_task(llm.complete("x", seed=1)) for _ in range(3)]
    await asyncio.sleep(0.01)
    tasks[0].cancel()
    first, *others = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(first, asyncio.CancelledError)
    assert [getattr(other, "text", other) for other in others] == ["reply", "reply"]
    assert len(inner.calls) == 2


async def test_a_file_of_replies_outlives_its_process(tmp_path: Path) -> None:
    store = FileReplies(tmp_path / "replies.db")
    await Cache(ScriptedLLM(["kept"]), store).complete("x", seed=1)
    store.close()
    again = FileReplies(tmp_path / "replies.db")
    assert (await Cache(ScriptedLLM([]), again).complete("x", seed=1)).text == "kept"
    assert len(again) == 1
    del again[next(iter(again))]
    assert "x" not in again
    again.close()


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


async def test_costs_are_kept_per_model() -> None:
    llm = Metered(ScriptedLLM(lambda _: "123"), {"scripted": Price(prompt=2e6, completion=1e6)})
    for _ in range(3):
        await llm.complete("xx")
    account = llm.accounts["scripted"]
    assert (account.calls, account.usage) == (3, Usage(prompt=6, completion=12))
    assert llm.cost == pytest.approx(3 * (2 * 2 + 4))
    assert Price(prompt=1e6, completion=0, cached=0).of(Usage(prompt=3, cached=2)) == 1


async def test_a_model_without_a_price_is_named() -> None:
    with pytest.raises(ConfigError, match="'scripted'"):
        await Metered(ScriptedLLM(["x"]), {}).complete("x")


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


async def test_the_majority_of_several_seeds_wins() -> None:
    says = {0: "b", 1: "a", 2: "b", 3: "a", 4: "b"}

    def reply(call: ScriptedCall) -> str:
        return says[call.options.get("seed") or 0]

    llm = ScriptedLLM(reply)
    grammar = choice_grammar(["a", "b"])
    vote = await self_consistency(llm, "x", grammar, samples=5)
    assert (vote.value, vote.share, len(vote.replies)) == ("b", 0.6, 5)
    assert vote.reply.usage.prompt == 5
    assert (await SelfConsistent(llm, samples=5).complete("x", grammar=grammar)).text == "b"
    with pytest.raises(InputError, match="samples"):
        await self_consistency(llm, "x", grammar, samples=0)


@pytest.mark.parametrize(
    ("model", "named"), [(None, "RAGKIT_LLM__MODEL"), ("x", "'x'"), ("vllm:", "'vllm:'")]
)
def test_a_missing_or_unknown_llm_says_what_to_set(model: str | None, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        open_llm(LLMSettings(model=model))


def test_the_settings_open_a_server_or_a_local_model(random_model: Path) -> None:
    assert open_llm(LLMSettings(model="vllm:http://127.0.0.1:1#m")).model == "m"
    assert open_llm(LLMSettings(model=f"local:{random_model}")).model == str(random_model)


async def test_a_local_model_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no folder here"):
        await LocalLLM(str(tmp_path / "none")).complete("x")


async def test_a_scripted_reply_that_the_grammar_forbids_fails_the_test() -> None:
    llm = ScriptedLLM(['{"name": "white space"}'])
    with pytest.raises(AssertionError, match="not of its grammar"):
        await llm.complete("x", grammar=json_grammar(City))
    with pytest.raises(AssertionError, match="no reply left"):
        await llm.complete("x")
