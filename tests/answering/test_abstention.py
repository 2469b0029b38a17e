import math
from collections.abc import Sequence

import pytest

from ragkit.answering.abstention import ABSTENTION, AbstainingAnswerer, Draft, probability
from ragkit.core.settings import AnswerSettings
from ragkit.core.types import AnswerSpan, Chunk, Citation, Hit

CHUNK = Chunk(id="c", uri="doc", title="Doc", text="It is so.", start=0, end=9)
HIT = Hit(chunk=CHUNK, score=1.0, trace={})


class SureAnswerer(AbstainingAnswerer):
    """Answers every hit in its words, with the confidence that the question names."""

    least_confidence = 0.4

    async def draft(self, question: str, hits: Sequence[Hit]) -> Draft | None:
        if not hits:
            return None
        chunk = hits[0].chunk
        return Draft(
            text=chunk.text,
            citations=(Citation.of(chunk, 0, len(chunk.text)),),
            confidence=float(question),
            span=AnswerSpan(text=chunk.text[:2], start=0, end=2),
        )


def _answerer(threshold: float | None) -> SureAnswerer:
    return SureAnswerer(AnswerSettings(threshold=threshold), "english")


@pytest.mark.parametrize(
    ("threshold", "confidence", "abstained"),
    [
        (None, 0.39, True),
        (None, 0.4, False),
        (0.8, 0.79, True),
        (0.8, 0.8, False),
        (0.0, 0.0, False),
    ],
)
async def test_the_threshold_decides_and_is_the_answerers_own_if_not_set(
    threshold: float | None, confidence: float, abstained: bool
) -> None:
    answer = await _answerer(threshold).answer(str(confidence), [HIT])
    assert answer.abstained is abstained
    assert answer.confidence == confidence
    assert answer.hits == (HIT,)


async def test_an_abstention_has_neither_text_of_its_own_nor_citations_nor_a_span() -> None:
    answer = await _answerer(1.0).answer("0.5", [HIT])
    assert (answer.text, answer.citations, answer.span) == (ABSTENTION, (), None)


async def test_an_answer_is_its_draft() -> None:
    answer = await _answerer(0.0).answer("0.5", [HIT])
    assert (answer.text, answer.citations[0].quote) == ("It is so.", "It is so.")
    assert answer.span == AnswerSpan(text="It", start=0, end=2)


@pytest.mark.parametrize("threshold", [0.0, None, 1.0])
async def test_without_hits_it_abstains_whatever_the_threshold(threshold: float | None) -> None:
    answer = await _answerer(threshold).answer("1.0", [])
    assert (answer.abstained, answer.confidence) == (True, 0.0)


def test_a_probability_is_the_logistic_function_of_the_log_odds() -> None:
    assert probability(0.0) == 0.5
    assert probability(math.log(3)) == pytest.approx(0.75)
