import re
from collections.abc import Callable
from pathlib import Path

import pytest

from ragkit.core.types import Answer, Chunk, Citation, Hit, Timings, Usage
from ragkit.evaluation.judge import Judge, judged
from ragkit.llm import Cache
from ragkit.llm.wrappers.cache import FileReplies
from ragkit.testing.llm import ScriptedCall, ScriptedLLM

PASSAGE = "The zebra has stripes. The lion sleeps."


def _says(supported: Callable[[str, str], bool]) -> Callable[[ScriptedCall], str]:
    """A judge without position bias."""

    def reply(call: ScriptedCall) -> str:
        parts = dict(
            re.findall(
                r"(Evidence|Claim):\n(.*?)\n\n(?=Evidence|Claim|Your)",
                call.prompt + "\n\n",
                re.DOTALL,
            )
        )
        return "supported" if supported(parts["Evidence"], parts["Claim"]) else "unsupported"

    return reply


def _first_option(call: ScriptedCall) -> str:
    return call.prompt.rpartition("one of: ")[2].split(",")[0]


def _answer(text: str, *quotes: str, abstained: bool = False) -> Answer:
    chunk = Chunk(id="c", uri="u", title="", text=PASSAGE, start=0, end=len(PASSAGE))
    return Answer(
        text=text,
        citations=tuple(
            Citation(chunk_id="c", uri="u", quote=quote, start=0, end=len(quote))
            for quote in quotes
        ),
        abstained=abstained,
        confidence=1.0,
        hits=(Hit(chunk=chunk, score=1.0, trace={}),),
        usage=Usage(),
        timings=Timings(total_s=0.0),
    )


async def test_a_verdict_is_asked_for_in_both_orders() -> None:
    llm = ScriptedLLM(["supported", "supported"])
    assert await Judge(llm).supports("The zebra has stripes.", "Zebras are striped.") is True
    prompts = sorted(call.messages[1].content for call in llm.calls)
    assert [prompt.split("\n")[0] for prompt in prompts] == ["Claim:", "Evidence:"]
    assert [prompt.rpartition(": ")[2] for prompt in prompts] == [
        "unsupported, supported",
        "supported, unsupported",
    ]


async def test_a_judge_that_takes_the_first_option_has_no_verdict() -> None:
    assert await Judge(ScriptedLLM(_first_option)).supports("a", "b") is None


async def test_a_judge_that_prefers_the_first_answer_has_no_preference() -> None:
    judge = Judge(ScriptedLLM(_first_option))
    assert await judge.prefers("Which?", "one", "two") is None


@pytest.mark.parametrize(("better", "expected"), [("one", "first"), ("two", "second")])
async def test_a_preference_that_follows_the_answer_counts(better: str, expected: str) -> None:
    def reply(call: ScriptedCall) -> str:
        return "first" if f"First answer:\n{better}" in call.prompt else "second"

    assert await Judge(ScriptedLLM(reply)).prefers("Which?", "one", "two") == expected


async def test_a_tie_both_times_is_a_tie() -> None:
    assert await Judge(ScriptedLLM(["tie", "tie"])).prefers("Which?", "one", "two") == "tie"


async def test_faithfulness_recall_and_precision_of_an_answer() -> None:
    judge = Judge(ScriptedLLM(_says(lambda evidence, claim: claim in evidence)))
    answer = _answer(
        "The zebra has stripes. The lion sleeps. The lion flies.",
        "The zebra has stripes.",
        "Something else.",
    )
    found = await judged(answer, judge)
    assert found is not None
    assert found.faithfulness == pytest.approx(2 / 3)
    assert found.citation_recall == pytest.approx(1 / 3)
    assert found.citation_precision == pytest.approx(1 / 2)
    assert found.undecided == 0
    assert set(found.measures) == {
        "faithfulness",
        "citation_recall",
        "citation_precision",
        "undecided",
    }


async def test_a_quote_that_is_needed_beside_others_is_precise() -> None:
    both = ("It has stripes", "it is a zebra")
    judge = Judge(
        ScriptedLLM(_says(lambda evidence, claim: all(part in evidence for part in both)))
    )
    found = await judged(_answer("The zebra has stripes.", *both, "It sleeps"), judge)
    assert found is not None
    assert found.citation_recall == 1.0
    assert found.citation_precision == pytest.approx(2 / 3)


async def test_verdicts_that_depend_on_the_order_do_not_count() -> None:
    found = await judged(_answer("It sleeps.", "It sleeps."), Judge(ScriptedLLM(_first_option)))
    assert found is not None
    assert found.undecided == 1.0
    assert found.measures == {"undecided": 1.0}


async def test_a_quote_of_which_the_others_verdict_is_open_does_not_count() -> None:
    together = _says(lambda evidence, _: "stripes" in evidence and "sleeps" in evidence)

    def reply(call: ScriptedCall) -> str:
        evidence = call.prompt.partition("Evidence:\n")[2].partition("\n")[0]
        return _first_option(call) if evidence == "It sleeps." else together(call)

    found = await judged(_answer("A zebra.", "stripes", "It sleeps."), Judge(ScriptedLLM(reply)))
    assert found is not None
    assert found.citation_precision is None


async def test_an_answer_without_quotes_has_no_recall_and_no_precision() -> None:
    found = await judged(_answer("It sleeps."), Judge(ScriptedLLM(lambda call: "supported")))
    assert found is not None
    assert (found.faithfulness, found.citation_recall, found.citation_precision) == (1.0, 0.0, None)


async def test_an_abstention_is_not_judged() -> None:
    llm = ScriptedLLM([])
    assert await judged(_answer("Not there.", abstained=True), Judge(llm)) is None
    assert llm.calls == []


async def test_verdicts_are_asked_for_once_with_a_cache(tmp_path: Path) -> None:
    llm = ScriptedLLM(["supported", "supported"])
    store = FileReplies(tmp_path / "replies.sqlite")
    for _ in range(3):
        assert await Judge(Cache(llm, store)).supports("a", "b") is True
    assert len(llm.calls) == 2
    store.close()
