from collections.abc import Mapping
from typing import TypeAlias

import pytest

from ragkit.core.types import Delta, TokenLogprob, ToolCall, Usage
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
    assert assembly.add(chunk(""), now=10.5) is None
    assert assembly.add(chunk("Hel"), now=11.0) == Delta(text="Hel")
    assert assembly.partial == "Hel"
    assert not assembly.finished
    assert assembly.add(chunk("lo", finish="stop"), now=14.0) == Delta(text="lo")
    assert assembly.finished
    assert assembly.add(chunk(usage=USAGE), now=14.5) is None
    reply = assembly.reply(now=15.0)
    assert (reply.text, reply.finish_reason, reply.model) == ("Hello", "stop", "m")
    assert reply.usage == Usage(prompt=9, cached=8, completion=4)
    assert (reply.timings.ttft_s, reply.timings.total_s) == (1.0, 5.0)
    assert reply.timings.tpot_s == pytest.approx(3.0 / 3)


def test_several_replies_are_kept_apart() -> None:
    assembly = Assembly(2, started=0.0)
    assert assembly.add(chunk("a", "x"), now=1.0) == Delta(text="a")
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


def piece(**delta: object) -> ChunkBody:
    return ChunkBody.model_validate({"choices": [{"delta": delta}]})


def test_the_pieces_of_tool_calls_are_joined_by_their_index() -> None:
    assembly = Assembly(1, started=0.0)
    for number, calls in enumerate(
        (
            [{"index": 0, "id": "a", "function": {"name": "stock", "arguments": ""}}],
            [{"index": 0, "function": {"arguments": '{"item":'}}],
            [{"index": 1, "id": "b", "function": {"name": "order", "arguments": "{}"}}],
            [{"index": 0, "function": {"arguments": '"lamp"}'}}],
        )
    ):
        assert assembly.add(piece(tool_calls=calls), now=float(number + 1)) is None
    assembly.add(chunk(None, finish="tool_calls"), now=5.0)
    reply = assembly.reply(now=6.0)
    assert reply.tool_calls == (
        ToolCall(id="a", name="stock", arguments='{"item":"lamp"}'),
        ToolCall(id="b", name="order", arguments="{}"),
    )
    assert (reply.text, reply.finish_reason, reply.timings.ttft_s) == ("", "tool_calls", 1.0)


def called(*pieces: Mapping[str, object], apart: bool = True) -> list[tuple[str, str, str]]:
    """The calls of a reply whose pieces come in an event each, or in one: id, name, arguments."""
    assembly = Assembly(1, started=0.0)
    for calls in [[one] for one in pieces] if apart else [list(pieces)]:
        assembly.add(piece(tool_calls=calls), now=1.0)
    made = assembly.reply(now=2.0).tool_calls
    return [(call.id, call.name, call.arguments) for call in made]


Place: TypeAlias = Mapping[str, object]
PLACES: tuple[Place, ...] = ({"index": 0}, {"index": None}, {})


def part(place: Place, arguments: str, name: str | None = None) -> Mapping[str, object]:
    return {**place, "function": {"name": name, "arguments": arguments}}


@pytest.mark.parametrize("apart", [True, False])
@pytest.mark.parametrize("place", PLACES)
def test_calls_at_the_same_place_are_told_apart_by_their_ids(place: Place, apart: bool) -> None:
    pieces = [
        part({**place, "id": "a"}, '{"item":', "stock"),
        part(place, '"lamp"}'),
        part({**place, "id": "b"}, '{"item":', "stock"),
        part(place, '"pump"}'),
    ]
    assert called(*pieces, apart=apart) == [
        ("a", "stock", '{"item":"lamp"}'),
        ("b", "stock", '{"item":"pump"}'),
    ]


@pytest.mark.parametrize("place", PLACES)
def test_calls_at_the_same_place_without_ids_begin_with_a_name(place: Place) -> None:
    first, second = part(place, '{"item":1}', "f"), part(place, '{"item":2}', "f")
    assert called(first, second) == [("", "f", '{"item":1}'), ("", "f", '{"item":2}')]


@pytest.mark.parametrize("place", [{"index": 0, "id": "a"}, {"index": 0}, {"id": "a"}, {}])
def test_a_name_that_every_piece_repeats_is_taken_once(place: Place) -> None:
    pieces = [part(place, text, "f") for text in ('{"a"', ":1}", "")]
    assert called(*pieces) == [(place.get("id", ""), "f", '{"a":1}')]


def test_pieces_of_calls_that_alternate_find_theirs_by_id() -> None:
    one, other = {"id": "a"}, {"id": "b"}
    first, second = part(one, '{"a"', "f"), part(other, '{"b"', "g")
    more = [part(one, ":1}", "f"), part(other, ":2}"), {"id": "b", "function": None}]
    assert called(first, second, *more) == [("a", "f", '{"a":1}'), ("b", "g", '{"b":2}')]


def test_an_id_that_changes_with_every_piece_begins_no_call() -> None:
    first, second = {"index": 0, "id": "a"}, {"index": 0, "id": "b"}
    assert called(part(first, '{"a"', "f"), part(second, ":1}")) == [("b", "f", '{"a":1}')]


def test_calls_are_in_the_order_of_their_indexes() -> None:
    pieces = [part({"index": place, "id": str(place)}, "{}", str(place)) for place in (2, 0, 1)]
    assert [name for _, name, _ in called(*pieces)] == ["0", "1", "2"]


@pytest.mark.parametrize(
    "reported",
    [None, {}, {"prompt_tokens": None, "completion_tokens": None}, {"prompt_tokens": 0}],
)
def test_tokens_that_are_not_reported_are_estimated(reported: object) -> None:
    assembly = Assembly(2, started=0.0, prompt=70)
    assembly.add(piece(reasoning="t" * 30), now=1.0)
    assembly.add(chunk("a" * 300, "b" * 600, finish="stop"), now=2.0)
    assert assembly.over
    assembly.add(chunk(usage=reported), now=3.0)
    assert assembly.over
    reply = assembly.reply(now=4.0)
    assert reply.usage == Usage(prompt=70, completion=10 + 100 + 200, estimated=True)
    assert (reply.timings.ttft_s, reply.timings.tpot_s) == (1.0, None)  # nothing is measured by it


def test_tokens_that_were_reported_are_kept_whatever_follows() -> None:
    assembly = Assembly(1, started=0.0, prompt=70)
    over: list[bool] = []
    for event in (
        chunk("a", usage={"prompt_tokens": 9}),
        chunk("a", finish="stop"),
        chunk(usage=USAGE),
        chunk(usage={"prompt_tokens": None}),
    ):
        assembly.add(event, now=1.0)
        over.append(assembly.over)
    assert over == [False, True, True, True]
    # A later usage is that of the whole reply.
    assert assembly.reply(now=2.0).usage == Usage(prompt=9, cached=8, completion=4)
    assembly.add(chunk("a", finish="stop"), now=3.0)
    assert not assembly.over  # it goes on


@pytest.mark.parametrize("name", ["reasoning", "reasoning_content"])
def test_reasoning_is_kept_apart_from_the_text(name: str) -> None:
    assembly = Assembly(1, started=0.0)
    assert assembly.add(piece(**{name: "Let me "}), now=1.0) == Delta(text="", reasoning="Let me ")
    assembly.add(piece(**{name: "see."}), now=2.0)
    assert assembly.add(chunk("Yes", finish="stop"), now=3.0) == Delta(text="Yes")
    reply = assembly.reply(now=4.0)
    assert (reply.reasoning, reply.text, reply.timings.ttft_s) == ("Let me see.", "Yes", 1.0)
