from dataclasses import dataclass
from datetime import date

import pytest
from pydantic import BaseModel, Field, model_validator

from ragkit.core.errors import InputError
from ragkit.llm.typed import complete_typed, stream_typed
from ragkit.testing import ScriptedCall, ScriptedLLM


class Stay(BaseModel):
    guest: str = Field(max_length=20)
    arrival: date
    departure: date

    @model_validator(mode="after")
    def _in_order(self) -> "Stay":
        if self.departure < self.arrival:
            raise ValueError("departure is before arrival")
        return self


GOOD = '{"guest":"Anna","arrival":"2024-05-01","departure":"2024-05-03"}'
BAD = '{"guest":"Anna","arrival":"2024-05-03","departure":"2024-05-01"}'


@dataclass
class Point:
    x: int
    y: int


async def test_a_value_of_the_type_is_returned() -> None:
    found = await complete_typed(ScriptedLLM([GOOD]), "When?", Stay)
    assert found.value == Stay(guest="Anna", arrival=date(2024, 5, 1), departure=date(2024, 5, 3))
    assert found.reply.text == GOOD
    assert found.rejected == ()
    assert (await complete_typed(ScriptedLLM(['{"x":1,"y":2}']), "Where?", Point)).value == Point(
        1, 2
    )
    assert (await complete_typed(ScriptedLLM(["[1,2]"]), "Which?", list[int])).value == [1, 2]


async def test_a_rejected_value_is_asked_for_again_with_the_validator_s_message() -> None:
    llm = ScriptedLLM([BAD, GOOD])
    found = await complete_typed(llm, "When?", Stay, temperature=0)
    assert found.value.departure == date(2024, 5, 3)
    assert found.rejected == ((BAD, "Value error, departure is before arrival"),)
    question, said, again = llm.calls[1].messages
    assert (question.content, said.content, said.role) == ("When?", BAD, "assistant")
    assert "departure is before arrival" in again.content
    assert llm.calls[1].options == {"temperature": 0}
    assert found.reply.usage.completion == 2 * len(GOOD) + 2


async def test_after_the_last_attempt_the_reason_is_raised() -> None:
    llm = ScriptedLLM(lambda _: BAD)
    with pytest.raises(InputError, match=r"2 replies for 'Stay' .*departure is before arrival"):
        await complete_typed(llm, "When?", Stay, attempts=2)
    assert len(llm.calls) == 2
    with pytest.raises(InputError, match="attempts must be at least 1, got 0"):
        await complete_typed(llm, "When?", Stay, attempts=0)


async def test_a_value_is_seen_while_it_is_decoded() -> None:
    llm = ScriptedLLM([GOOD])
    seen = [one async for one in stream_typed(llm, "When?", Stay)]
    partials = [one.partial for one in seen]
    assert {"guest": "Anna"} in partials
    assert partials[0] in ({}, {"guest": ""})
    assert all(one.result is None for one in seen[:-1])
    result = seen[-1].result
    assert result is not None
    assert result.value.guest == "Anna"


async def test_a_stream_begins_again_after_a_rejected_value() -> None:
    replies = iter([BAD, GOOD])

    def reply(call: ScriptedCall) -> str:
        return next(replies)

    seen = [one async for one in stream_typed(ScriptedLLM(reply), "When?", Stay)]
    firsts = [place for place, one in enumerate(seen) if one.partial in ({}, {"guest": ""})]
    assert len(firsts) >= 2
    result = seen[-1].result
    assert result is not None
    assert len(result.rejected) == 1
    with pytest.raises(InputError, match="1 replies for 'Stay'"):
        _ = [one async for one in stream_typed(ScriptedLLM([BAD]), "x", Stay, attempts=1)]


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_model_without_grammars_is_asked_again_as_often_as_any(*, streamed: bool) -> None:
    """Replies of the wrong shape and rejected values count alike; each is told its reason."""
    llm = ScriptedLLM(["Sure!", BAD, GOOD], guarantee="schema")
    if streamed:
        pieces = [piece async for piece in stream_typed(llm, "When?", Stay)]
        found = pieces[-1].result
    else:
        found = await complete_typed(llm, "When?", Stay)
    assert found is not None
    assert found.value.departure == date(2024, 5, 3)
    assert [text for text, _ in found.rejected] == ["Sure!", BAD]
    assert "not JSON" in found.rejected[0][1]
    assert "departure is before arrival" in found.rejected[1][1]
    assert (found.reply.calls, found.reply.guarantee) == (3, "schema")
    with pytest.raises(InputError, match="1 replies for 'Stay' were rejected"):
        await complete_typed(ScriptedLLM([BAD], guarantee="schema"), "x", Stay, attempts=1)


async def test_a_streamed_value_begins_again_where_its_reply_does() -> None:
    llm = ScriptedLLM(['["' + "a" * 300 + '"]', '["b"]'])
    pieces = [piece async for piece in stream_typed(llm, "x", list[str], max_tokens=200)]
    assert pieces[-1].result is not None
    assert pieces[-1].result.value == ["b"]
    assert pieces[-1].partial == ["b"]
    assert len(llm.calls) == 2
