"""Wide grammars first: what is asked again, under which limits, and who pays."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from ragkit.core.errors import ContextExceeded, InputError, ProviderError
from ragkit.core.reply_grammar import ReplyGrammar
from ragkit.core.types import Delta, Message, Reply, Restart, Timings, Usage
from ragkit.grammar import Limits, json_grammar, regex_grammar
from ragkit.llm.call import Call
from ragkit.llm.fitting import MOST_CALLS, NOTE_TOKENS, held, wanted_tokens
from ragkit.llm.wrappers.rate_limit import RateLimit, RateLimits, Rates
from ragkit.testing import ScriptedLLM

WORDS = json_grammar({"type": "array", "items": {"type": "string"}})
BYTES = 4
"""Of a token of the model below."""


class Model:
    """Decodes scripted texts, of which a token has four bytes, and cuts them at their limit."""

    def __init__(self, *texts: str, estimated: bool = False) -> None:
        self.texts = list(texts)
        self.estimated = estimated
        self.asked: list[tuple[ReplyGrammar[object], int, float | None]] = []

    async def __call__(
        self, grammar: ReplyGrammar[object], tokens: int, call: Call
    ) -> AsyncGenerator[Delta]:
        self.asked.append((grammar, tokens, call.options.get("timeout_s")))
        text = self.texts.pop(0)
        size = len(text) // BYTES + 1
        said = text[: tokens * BYTES]
        yield Delta(text=said)
        reply = Reply(
            text=said,
            finish_reason="stop" if size < tokens else "length",
            usage=Usage(prompt=10, completion=min(size, tokens), estimated=self.estimated),
            timings=Timings(total_s=1.0),
        )
        yield Delta(text="", reply=reply)


async def replied(model: Model, call: Call, room: int = 10_000) -> tuple[Reply, int]:
    """The reply, and the number of times that the stream began again."""
    deltas = [delta async for delta in held(model, call, room)]
    reply = deltas[-1].reply
    assert reply is not None
    return reply, sum(delta.restart is not None for delta in deltas)


def call(grammar: ReplyGrammar[object] = WORDS, **options: object) -> Call:
    return Call(messages="x", grammar=grammar, options=options)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


LONG = '["' + "a" * 3000 + '"]'


async def test_a_long_reply_is_not_squeezed_where_it_fits_in_tokens() -> None:
    """Fitted beforehand, strings would have 1,024 characters at most."""
    model = Model(LONG)
    reply, restarts = await replied(model, call(max_tokens=1024))
    assert (reply.text, restarts, reply.calls) == (LONG, 0, 1)
    assert reply.guarantee == "grammar"
    assert reply.limits is not None
    assert "string_length" not in reply.limits
    assert "items" not in reply.limits
    with pytest.raises(InputError):
        WORDS.parse(LONG + "x")


async def test_only_a_reply_that_ends_by_length_is_asked_for_again_within_its_tokens() -> None:
    model = Model(LONG, '["b"]')
    reply, restarts = await replied(model, call(max_tokens=500))
    assert (reply.text, restarts, reply.calls) == ('["b"]', 1, 2)
    wide, fitted = (grammar for grammar, _, _ in model.asked)
    assert wide == WORDS.wide()
    assert fitted == WORDS.fit(500, bytes_per_token=BYTES)
    assert fitted.max_tokens > WORDS.fit(500).max_tokens
    assert reply.limits == fitted.bounds
    assert fitted.bounds["items"] > 1
    assert reply.usage == Usage(prompt=20, completion=502)


async def test_an_estimate_does_not_say_how_long_a_model_s_tokens_are() -> None:
    model = Model(LONG, '["b"]', estimated=True)
    reply, _ = await replied(model, call(max_tokens=500))
    assert model.asked[-1][0] == WORDS.fit(384)
    assert (reply.calls, reply.usage.estimated) == (2, True)


async def test_a_model_that_never_ends_is_bounded_at_last_by_a_byte_a_token() -> None:
    model = Model(LONG, LONG, '["c"]')
    reply, restarts = await replied(model, call(max_tokens=500))
    assert (reply.text, restarts, reply.calls) == ('["c"]', 2, MOST_CALLS)
    strict, tokens, _ = model.asked[-1]
    assert strict == WORDS.fit(384)
    assert strict.max_tokens == tokens <= 500


async def test_the_model_is_told_its_limits_unless_its_context_is_short() -> None:
    for room, told in ((10_000, True), (1000, False)):
        model, again = Model(LONG, '["b"]'), list[Restart]()
        async for delta in held(model, call(max_tokens=500), room):
            again += [delta.restart] if delta.restart else []
        (restart,), bounds = again, model.asked[1][0].bounds
        content = restart.messages[-1].content
        assert (f"{bounds['string_length']:,} characters in a text" in content) == told
        assert content.startswith("x")
        assert len(content) < NOTE_TOKENS
        assert (restart.rejected.finish_reason, restart.reason) == (
            "length",
            "It was cut at its limit of 500 tokens.",
        )


async def test_a_tool_s_answer_that_is_asked_about_stays_as_it_is() -> None:
    tool = Message(role="tool", content="72", tool_call_id="c1")
    messages = [Message(role="user", content="How hot?"), tool]
    asked = Call(messages=messages, grammar=WORDS, options={"max_tokens": 500})
    found = [one.restart async for one in held(Model(LONG, '["b"]'), asked, 10_000) if one.restart]
    assert found[0].messages[:2] == tuple(messages)
    assert found[0].messages[2].role == "user"


async def test_of_two_calls_the_second_is_the_one_that_always_ends() -> None:
    model = Model(LONG, '["b"]')
    reply, restarts = await replied(model, call(max_tokens=500, max_calls=2))
    assert (reply.text, restarts, reply.calls) == ('["b"]', 1, 2)
    assert model.asked[1][0] == WORDS.fit(384)


@pytest.mark.parametrize("option", ["strict", "max_calls"])
async def test_a_strict_call_is_one_call(option: str) -> None:
    model, asked = Model('["d"]'), call(max_tokens=500, strict=True)
    if option == "max_calls":
        asked = call(max_tokens=500, max_calls=1)
    reply, restarts = await replied(model, asked)
    assert (restarts, reply.calls) == (0, 1)
    ((grammar, tokens, _),) = model.asked
    assert grammar.max_tokens == tokens <= 500


async def test_a_reply_that_no_grammar_makes_short_enough_is_an_error_after_the_first() -> None:
    digits = regex_grammar("[0-9]{900}")
    model = Model("1" * 900)
    with pytest.raises(InputError, match="only 100 are left"):
        await replied(model, call(digits, max_tokens=100))
    assert len(model.asked) == 1
    with pytest.raises(InputError, match="only 100 are left"):
        await replied(Model(), call(digits, max_tokens=100, strict=True))
    with pytest.raises(ContextExceeded, match="fills the model's context"):
        await replied(Model(), call(), room=0)


async def test_a_dense_reply_fits_although_its_longest_would_not() -> None:
    digits = regex_grammar("[0-9]{300}")
    reply, _ = await replied(Model("1" * 300), call(digits, max_tokens=100))
    assert reply.calls == 1


async def test_limits_that_were_asked_for_hold_in_the_first_call_too() -> None:
    grammar = json_grammar({"type": "array", "items": {"type": "string"}}, limits=Limits(items=3))
    model = Model('["a"]')
    reply, _ = await replied(model, call(grammar))
    assert reply.limits is not None
    assert (reply.limits["items"], "string_length" in reply.limits) == (3, False)
    fitted = WORDS.fit(200)
    assert fitted.wide().bounds["items"] == fitted.bounds["items"]


async def test_a_reply_without_a_limit_is_cut_before_it_fills_a_long_context() -> None:
    model = Model("x" * 200_000, '["a"]')
    reply, _ = await replied(model, call(), room=1_000_000)
    assert reply.calls == 2
    assert model.asked[0][1] == 16_384
    assert wanted_tokens(call()) == 16_384
    assert wanted_tokens(call(max_tokens=7)) == 7
    assert wanted_tokens(call(regex_grammar("[ab]"))) == 2


async def test_all_calls_share_one_time_limit() -> None:
    model = Model(LONG, LONG, '["c"]')
    await replied(model, call(max_tokens=500, timeout_s=60.0))
    first, second, third = (left or 0 for _, _, left in model.asked)
    assert 60 >= first > second > third > 0


async def test_a_rate_limit_pays_for_every_call() -> None:
    limits = RateLimits(Rates(tokens=100_000))
    llm = ScriptedLLM(['["' + "x" * 200 + '"]', '["a"]'])
    limited = RateLimit(llm, limits, key="anna")
    reply = await limited.complete("four", grammar=WORDS, max_tokens=150)
    assert reply.calls == 2
    note = len(llm.calls[1].messages[-1].content) - len("four")
    assert reply.usage == Usage(prompt=8 + note, completion=150 + 6)
    assert 100_000 - limits.of("anna").tokens.level == pytest.approx(164 + note, abs=10)


async def test_a_call_that_is_cancelled_between_two_leaves_nothing_behind() -> None:
    model = Model(LONG, LONG)
    deltas = held(model, call(max_tokens=500), 10_000)
    async for delta in deltas:
        if delta.restart:
            break
    await deltas.aclose()
    assert len(model.asked) == 1


async def test_a_failing_second_call_is_that_call_s_error() -> None:
    class Failing(Model):
        async def __call__(
            self, grammar: ReplyGrammar[object], tokens: int, call: Call
        ) -> AsyncGenerator[Delta]:
            if self.asked:
                raise ProviderError("down", provider="test", retryable=True)
            async for delta in super().__call__(grammar, tokens, call):
                yield delta

    with pytest.raises(ProviderError, match="down"):
        await asyncio.wait_for(replied(Failing(LONG), call(max_tokens=500)), 60)
