"""Ends of streams, and harmless oddities in them: no finished reply is thrown away."""

import asyncio
import time

import pytest

from ragkit.core.errors import ProviderError
from ragkit.core.types import Json, Reply
from ragkit.llm import OpenAI
from ragkit.llm.openai.connection import Patience
from tests.llm.openai.raw_stream import FINISH, TEXT, USAGE, Ending, raw_stream, stream_text

DONE = "data: [DONE]\n\n"


async def replied(
    text: str, *, ending: Ending = "clean", patience: Patience | None = None
) -> Reply:
    """The reply of a stream."""
    async with raw_stream(text, ending=ending) as url, OpenAI(url, "m", patience=patience) as llm:
        return await llm.complete("x")


@pytest.mark.parametrize("ending", ["clean", "cut"])
async def test_a_finished_reply_needs_no_mark_of_the_end(ending: Ending) -> None:
    reply = await replied(stream_text(TEXT, FINISH, USAGE), ending=ending)
    assert (reply.text, reply.finish_reason) == ("Hello", "stop")
    assert (reply.usage.prompt, reply.usage.estimated) == (5, False)


@pytest.mark.parametrize("ending", ["clean", "cut"])
async def test_a_stream_that_ends_before_its_reply_is_broken(ending: Ending) -> None:
    with pytest.raises(ProviderError) as broken:
        await replied(stream_text(TEXT), ending=ending)
    assert (broken.value.failure, broken.value.partial) == ("broken_stream", "Hello")
    assert broken.value.retryable


async def test_a_mark_of_the_end_before_the_reply_s_is_broken() -> None:
    with pytest.raises(ProviderError, match="it ended before the reply did"):
        await replied(stream_text(TEXT) + DONE)


async def test_a_stream_that_stays_open_after_its_usage_is_left_soon() -> None:
    started = time.monotonic()
    reply = await replied(stream_text(TEXT, FINISH, USAGE), ending="open")
    assert time.monotonic() - started < 20  # not the 30 s between two tokens
    assert (reply.text, reply.usage.prompt) == ("Hello", 5)


async def test_a_usage_that_does_not_come_is_not_waited_for_without_end() -> None:
    hasty = Patience(stall_s=0.05)
    reply = await replied(stream_text(TEXT, FINISH), ending="open", patience=hasty)
    assert (reply.text, reply.usage.estimated) == ("Hello", True)


async def test_a_reply_that_goes_on_after_the_reason_of_its_end_is_awaited() -> None:
    text = stream_text(TEXT, FINISH, USAGE, TEXT)  # some servers give every chunk the reason
    hasty = Patience(stall_s=0.05)
    with pytest.raises(ProviderError, match=r"sent nothing for 0\.05 s"):
        await replied(text, ending="open", patience=hasty)
    assert (await replied(text)).text == "HelloHello"


async def test_a_stream_that_stays_open_before_its_reply_ends_is_too_slow() -> None:
    with pytest.raises(ProviderError, match=r"sent nothing for 0\.05 s"):
        await replied(stream_text(TEXT), ending="open", patience=Patience(stall_s=0.05))


ODD = {
    "empty data": "data:\n\n" + stream_text(TEXT, FINISH, USAGE) + "data: \n\n" + DONE,
    "a blank after the mark": stream_text(TEXT, FINISH, USAGE) + "data: [DONE] \n\n",
    "a null for the model": stream_text(TEXT, {**FINISH, "model": None}, USAGE),
    "a null for the choices": stream_text(TEXT, FINISH, {**USAGE, "choices": None}),
    "nulls in a choice": stream_text(
        TEXT, {"choices": [{"index": None, "delta": None, "finish_reason": "stop"}]}, USAGE
    ),
    "nulls in the usage": stream_text(
        TEXT, FINISH, USAGE, {"usage": {"prompt_tokens": None, "completion_tokens": None}}
    ),
}


@pytest.mark.parametrize("text", ODD.values(), ids=ODD.keys())
async def test_what_is_empty_or_null_breaks_no_reply(text: str) -> None:
    reply = await replied(text)
    assert (reply.text, reply.finish_reason, reply.model) == ("Hello", "stop", "m")
    assert (reply.usage.prompt, reply.usage.completion) == (5, 1)


@pytest.mark.parametrize(
    ("error", "said", "retryable"),
    [
        ({"message": "quota gone"}, "'application/json'.*it says 'quota gone'", True),
        ({"message": "quota gone", "code": 429}, "status 429: quota gone", True),
        ({"message": "no key", "code": "401"}, "status 401: no key.*api_key", False),
        ("quota gone", "it says 'quota gone'", True),
        (None, "'application/json', not text/event-stream. Fix", True),
    ],
)
async def test_an_error_in_the_place_of_a_stream_is_passed_on(
    error: Json, said: str, retryable: bool
) -> None:
    body = stream_text({"error": error}).removeprefix("data: ")
    async with raw_stream(body, kind="application/json") as url, OpenAI(url, "m") as llm:
        with pytest.raises(ProviderError, match=said) as failed:
            await llm.complete("x")
    assert failed.value.retryable is retryable


async def test_calls_at_once_each_end_by_themselves() -> None:
    text = stream_text(TEXT, FINISH, USAGE)
    async with raw_stream(text) as url, OpenAI(url, "m") as llm:
        replies = await asyncio.gather(*(llm.complete("x") for _ in range(8)))
    assert {reply.text for reply in replies} == {"Hello"}
