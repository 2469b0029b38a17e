import asyncio
import dataclasses
from collections.abc import Mapping

import pytest

from ragkit import InputError, ProviderError
from ragkit.core.types import Answer, AnswerSpan, Citation, Document, Timings, Usage
from ragkit.evaluation.answers import evaluate_answers
from ragkit.evaluation.checkpoint import Checkpoint
from ragkit.evaluation.qa_systems import AnswerQuestion, Evidence, MeasuredAnswer
from ragkit.evaluation.questions import GoldQuestion, QuestionSet

PARAGRAPH = Document(uri="p", title="Zebra", text="The zebra has black stripes.", content_hash="h")
ITEMS = (
    GoldQuestion(
        id="right", question="What has it?", gold=("black stripes", "stripes"), paragraph="p"
    ),
    GoldQuestion(id="wrong", question="What colour?", gold=("black",), paragraph="p"),
    GoldQuestion(id="low", question="Which animal?", gold=("zebra",), paragraph="p"),
    GoldQuestion(id="silent", question="Whose stripes?", gold=("zebra",), paragraph="p"),
    GoldQuestion(id="none", question="How old?", gold=(), paragraph="p"),
    GoldQuestion(id="made up", question="How tall?", gold=(), paragraph="p"),
)
SET = QuestionSet(name="animals", paragraphs={"p": PARAGRAPH}, items=ITEMS)
SAID: Mapping[str, tuple[str | None, Evidence]] = {
    "right": ("the black stripes", "given"),
    "wrong": ("white", "given"),
    "low": ("a horse", "low"),
    "silent": (None, "missing"),
    "none": (None, "given"),
    "made up": ("two metres", "given"),
}


def answer_of(text: str | None, *quotes: tuple[int, str]) -> Answer:
    """An answer, or None for an abstention, with quotes from the paragraph."""
    return Answer(
        text=text or "The documents do not answer this.",
        citations=tuple(
            Citation(chunk_id="c", uri="p", quote=quote, start=start, end=start + len(quote))
            for start, quote in quotes
        ),
        abstained=text is None,
        confidence=1.0,
        hits=(),
        usage=Usage(),
        timings=Timings(total_s=0.0),
    )


def _ask(item: GoldQuestion) -> MeasuredAnswer:
    text, evidence = SAID[item.id]
    quotes = {"right": [(14, "black stripes")], "wrong": [(14, "black"), (0, "white")]}
    answer = answer_of(text, *quotes.get(item.id, []))
    return MeasuredAnswer(answer=answer, seconds=0.5, evidence=evidence)


async def _say(item: GoldQuestion) -> MeasuredAnswer:
    return _ask(item)


async def test_every_measure_has_the_questions_that_it_applies_to() -> None:
    values = (await evaluate_answers(SET, _say)).per_query
    assert values["em"] == {
        "right": 1.0, "wrong": 0.0, "low": 0.0, "silent": 0.0, "none": 1.0, "made up": 0.0
    }  # fmt: skip
    assert values["abstention"] == {"none": 1.0, "made up": 0.0}
    assert values["false_abstention"] == {"right": 0.0, "wrong": 0.0, "low": 0.0, "silent": 1.0}
    assert values["answerable_f1"] == values["holds"] == {
        "right": 1.0, "wrong": 0.0, "low": 0.0, "silent": 0.0
    }  # fmt: skip
    assert values["evidence"] == {"right": 1.0, "wrong": 1.0, "low": 0.0, "silent": 0.0}
    assert values["verbatim"] == {"right": 1.0, "wrong": 0.5, "low": 0.0, "made up": 0.0}
    assert values["lexical_support"]["right"] == 1.0


async def test_means_have_intervals_and_latency_is_that_of_the_answers() -> None:
    result = await evaluate_answers(SET, _say)
    found = result.measures["em"]
    assert found.low < found.value < found.high
    assert found.value == pytest.approx(2 / 6)
    assert (result.p50_ms, result.p95_ms) == (500.0, 500.0)
    assert result.outputs["right"] == ["the black stripes"]


async def test_failures_are_told_apart() -> None:
    failures = (await evaluate_answers(SET, _say)).failures
    assert {kind: [item.query for item in found.examples] for kind, found in failures.items()} == {
        "not retrieved": ["silent"],
        "ranked low": ["low"],
        "not read": ["wrong"],
        "answered without an answer there": ["made up"],
    }
    assert failures["not read"].examples[0].detail == "said 'white'; wanted 'black'"
    assert failures["not retrieved"].examples[0].detail == "abstained; wanted 'zebra'"


async def test_a_judges_measures_are_reported_where_there_are_any() -> None:
    async def judged(item: GoldQuestion) -> MeasuredAnswer:
        asked = _ask(item)
        measures = {"faithfulness": 1.0} if item.id == "right" else {}
        return MeasuredAnswer(answer=asked.answer, seconds=0.1, evidence="given", judged=measures)

    assert (await evaluate_answers(SET, judged)).per_query["faithfulness"] == {"right": 1.0}


async def test_a_question_that_cannot_be_asked_is_listed_and_scores_nothing() -> None:
    async def refuses(item: GoldQuestion) -> MeasuredAnswer:
        if item.id == "right":
            raise InputError("The query has no words.")
        return _ask(item)

    result = await evaluate_answers(SET, refuses)
    assert result.failed == {"right": "The query has no words."}
    assert result.per_query["em"]["right"] == 0.0
    assert result.per_query["false_abstention"]["right"] == 1.0


def _dies_after(count: int, asked: list[str]) -> AnswerQuestion:
    async def ask(item: GoldQuestion) -> MeasuredAnswer:
        if len(asked) == count:
            raise ProviderError("gone", provider="x")
        asked.append(item.id)
        return _ask(item)

    return ask


async def test_a_run_goes_on_where_it_was_broken_off() -> None:
    checkpoint = Checkpoint({}, identity="x")
    before: list[str] = []
    with pytest.raises(ProviderError):
        await evaluate_answers(SET, _dies_after(2, before), checkpoint=checkpoint)
    after: list[str] = []
    again = await evaluate_answers(SET, _dies_after(9, after), checkpoint=checkpoint)
    assert (before, after) == (["right", "wrong"], ["low", "silent", "none", "made up"])
    assert again == await evaluate_answers(SET, _say)


async def test_questions_run_beside_each_other_up_to_the_limit() -> None:
    running, most = 0, 0
    together = asyncio.Event()

    async def ask(item: GoldQuestion) -> MeasuredAnswer:
        nonlocal running, most
        running += 1
        most = max(most, running)
        if running == 3:
            together.set()
        await together.wait()
        await asyncio.sleep(0.01)  # one too many would begin now
        running -= 1
        return _ask(item)

    result = await evaluate_answers(SET, ask, concurrency=3)
    assert most == 3
    assert result.per_query == (await evaluate_answers(SET, _say)).per_query


async def test_f1_is_that_of_the_short_answer_that_a_sentence_marks() -> None:
    answer = dataclasses.replace(
        answer_of("It has black stripes.", (0, "The zebra has black stripes.")),
        span=AnswerSpan(text="black stripes", start=7, end=20),
    )

    async def say(_: GoldQuestion) -> MeasuredAnswer:
        return MeasuredAnswer(answer=answer, seconds=0.5, evidence="given")

    one = QuestionSet(name="animals", paragraphs={"p": PARAGRAPH}, items=ITEMS[:1])
    values = (await evaluate_answers(one, say)).per_query
    assert (values["f1"], values["em"], values["holds"]) == ({"right": 1.0},) * 3
