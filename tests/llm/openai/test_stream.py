import pytest

from ragkit.core.types import TokenLogprob, Usage
from ragkit.llm.openai.stream import Assembly
from ragkit.llm.openai.wire import ChunkBody


def chunk(*texts: str | None, finish: str | None = None, **others: object) -> ChunkBody:
    choices = [
        {"index": place, "delta": {"content": text}, "finish_reason": finish}
        for place, text in enumerate(texts)
    ]
    return ChunkBody.model_validate({"model": "m", "choices": choices, **others})


USAGE = {"prompt_tokens": 9, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 8}}


def test_pieces_usage_and_times_make_the_reply() -> None:
    assembly = Assembly(1, started=10.0)
    assert assembly.add(chunk(""), now=10.5) == ""
    assert assembly.add(chunk("Hel"), now=11.0) == "Hel"
    assert assembly.partial == "Hel"
    assert not assembly.finished
    assert assembly.add(chunk("lo", finish="stop"), now=14.0) == "lo"
    assert assembly.finished
    assert assembly.add(chunk(usage=USAGE), now=14.5) == ""
    reply = assembly.reply(now=15.0)
    assert (reply.text, reply.finish_reason, reply.model) == ("Hello", "stop", "m")
    assert reply.usage == Usage(prompt=9, cached=8, completion=4)
    assert (reply.timings.ttft_s, reply.timings.total_s) == (1.0, 5.0)
    assert reply.timings.tpot_s == pytest.approx(3.0 / 3)


def test_several_replies_are_kept_apart() -> None:
    assembly = Assembly(2, started=0.0)
    assert assembly.add(chunk("a", "x"), now=1.0) == "a"
    assembly.add(chunk("b", finish="stop"), now=2.0)
    assert not assembly.finished
    assembly.add(chunk(None, "y", finish="length"), now=3.0)
    reply = assembly.reply(now=3.0)
    assert (reply.text, reply.alternatives[0].text) == ("ab", "xy")
    assert reply.alternatives[0].finish_reason == "length"


def test_a_choice_beyond_n_is_ignored() -> None:
    assembly = Assembly(1, started=0.0)
    assembly.add(chunk("a", "intruder", finish="stop"), now=1.0)
    assert assembly.reply(now=1.0).text == "a"


def test_log_probabilities_are_collected() -> None:
    assembly = Assembly(1, started=0.0)
    token = {"token": "a", "logprob": -0.5, "top_logprobs": [{"token": "b", "logprob": -1.0}]}
    for _ in range(2):
        choice = {"delta": {"content": "a"}, "logprobs": {"content": [token]}}
        assembly.add(ChunkBody.model_validate({"choices": [choice]}), now=1.0)
    found = TokenLogprob(token="a", logprob=-0.5, top=(("b", -1.0),))
    assert assembly.reply(now=1.0).logprobs == (found, found)


def test_a_reply_without_text_has_no_time_to_the_first_token() -> None:
    assembly = Assembly(1, started=0.0)
    assembly.add(chunk("", finish="stop"), now=1.0)
    timings = assembly.reply(now=2.0).timings
    assert (timings.ttft_s, timings.tpot_s, timings.total_s) == (None, None, 2.0)
