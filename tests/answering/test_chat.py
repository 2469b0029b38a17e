import json
from collections.abc import Sequence

import pytest

from ragkit.answering.chat import Chat, trimmed
from ragkit.core.errors import InputError, ProviderError
from ragkit.core.types import Answer, Hit, Message, Timings, Usage
from ragkit.testing.llm import ScriptedLLM

HISTORY = (
    Message(role="user", content="Who wrote Faust?"),
    Message(role="assistant", content="Goethe wrote it."),
)


class Recorder:
    """A search and an answerer that note what they are asked."""

    def __init__(self) -> None:
        self.searched: list[str] = []
        self.answered: list[str] = []

    async def search(self, question: str) -> list[Hit]:
        self.searched.append(question)
        return []

    async def answer(self, question: str, hits: Sequence[Hit]) -> Answer:
        self.answered.append(question)
        return Answer(
            text=f"answer to {question}",
            citations=(),
            abstained=False,
            confidence=0.9,
            hits=tuple(hits),
            usage=Usage(prompt=3, completion=2),
            timings=Timings(total_s=0.0),
        )


def chat(recorder: Recorder, llm: ScriptedLLM | None = None) -> Chat:
    return Chat(search=recorder.search, answerer=recorder, llm=llm)


async def test_without_a_model_a_follow_up_is_asked_as_it_is_and_says_so() -> None:
    recorder = Recorder()
    reply = await chat(recorder).ask("When was he born?", HISTORY)
    assert (reply.query, reply.condensed) == ("When was he born?", False)
    assert recorder.searched == recorder.answered == ["When was he born?"]


async def test_a_first_question_is_never_rewritten() -> None:
    recorder, llm = Recorder(), ScriptedLLM([])
    reply = await chat(recorder, llm).ask("Who wrote Faust?")
    assert not reply.condensed
    assert llm.calls == []


async def test_a_model_makes_a_follow_up_stand_alone() -> None:
    recorder = Recorder()
    llm = ScriptedLLM([json.dumps({"question": "When was Goethe born?"}, separators=(",", ":"))])
    reply = await chat(recorder, llm).ask("When was he born?", HISTORY)
    assert (reply.query, reply.condensed) == ("When was Goethe born?", True)
    assert recorder.searched == recorder.answered == ["When was Goethe born?"]
    assert "Goethe wrote it." in llm.calls[0].prompt
    assert reply.usage.completion > reply.answer.usage.completion


async def test_the_text_comes_before_the_whole() -> None:
    pieces = [delta async for delta in chat(Recorder()).stream("Why?")]
    assert "".join(piece.text for piece in pieces) == "answer to Why?"
    assert [piece.reply is not None for piece in pieces] == [False, True]


@pytest.mark.parametrize("question", ["", " \n"])
async def test_an_empty_question_is_refused(question: str) -> None:
    with pytest.raises(InputError, match="question is empty"):
        await chat(Recorder()).ask(question)


async def test_a_failing_model_is_an_error_and_not_an_unrewritten_question() -> None:
    def fails(_: object) -> str:
        raise ProviderError("down", provider="llm")

    recorder = Recorder()
    with pytest.raises(ProviderError, match="down"):
        await chat(recorder, ScriptedLLM(fails)).ask("And he?", HISTORY)
    assert recorder.searched == []


def test_a_history_is_trimmed_to_its_newest_turns() -> None:
    long = [Message(role="user", content=f"{n} " + "word " * 50) for n in range(20)]
    kept = trimmed(long, 300)
    assert 0 < len(kept) < 20
    assert kept == tuple(long[-len(kept) :])
    assert trimmed(long, 0) == ()
