from pathlib import Path

import numpy as np
import pytest

from ragkit import ConfigError
from ragkit.core.settings import RerankerSettings
from ragkit.models import packaged
from ragkit.models.build import build_reranker
from ragkit.models.cross_encoder import (
    CrossEncoderModel,
    Reading,
    SpanReading,
    packaged_cross_encoder,
)
from ragkit.models.reranking import PackagedReranker

QUESTION = "When was the bridge opened?"
RIGHT = "The old bridge was rebuilt twice. It was opened in 1932 by the mayor of the town."
WRONG = "Bridges of steel are painted every few years, since rust weakens them."


@pytest.fixture(scope="module")
def model() -> CrossEncoderModel:
    return packaged_cross_encoder()


def span(reading: Reading) -> SpanReading:
    found = reading.best()
    assert found is not None
    return found


def test_the_span_that_answers_is_found(model: CrossEncoderModel) -> None:
    right, wrong = model.read(QUESTION, [RIGHT, WRONG])
    assert "1932" in RIGHT[span(right).start : span(right).end]
    assert right.relevance > wrong.relevance
    assert span(right).score > span(wrong).score


def test_a_reading_does_not_depend_on_the_other_passages(model: CrossEncoderModel) -> None:
    alone = model.read(QUESTION, [RIGHT])[0]
    among = model.read(QUESTION, [WRONG * 20, RIGHT, "", WRONG])[1]
    assert (span(among).start, span(among).end) == (span(alone).start, span(alone).end)
    assert among.relevance == pytest.approx(alone.relevance, abs=0.6)  # int8 scales are a batch's


def test_an_answer_deep_in_a_long_passage_is_found(model: CrossEncoderModel) -> None:
    text = f"{WRONG} " * 40 + RIGHT + f" {WRONG}" * 40
    found = span(model.read(QUESTION, [text])[0])
    assert "1932" in text[found.start : found.end]


def test_a_span_may_be_asked_for_within_a_part_of_the_passage(model: CrossEncoderModel) -> None:
    reading = model.read(QUESTION, [RIGHT])[0]
    end = RIGHT.index("It was opened")
    within = reading.best(0, end)
    assert within is not None
    assert within.end <= end
    assert within.score < span(reading).score
    assert reading.best(3, 4) is None


def test_an_answer_is_not_taken_from_a_header(model: CrossEncoderModel) -> None:
    found = span(model.read(QUESTION, [WRONG], headers=["Bridges opened in 1932"])[0])
    assert 0 <= found.start < found.end <= len(WRONG)


@pytest.mark.parametrize("text", ["", " ", "\u200b", "\U0001f600"])
def test_odd_passages_are_read(model: CrossEncoderModel, text: str) -> None:
    reading = model.read(QUESTION, [text])[0]
    assert np.isfinite(reading.relevance)
    found = reading.best()
    assert found is None or 0 <= found.start <= found.end <= len(text)


def test_a_question_longer_than_the_network_reads_is_cut(model: CrossEncoderModel) -> None:
    assert len(model.read("why " * 1000, [RIGHT])) == 1


async def test_it_reranks() -> None:
    chosen = build_reranker(RerankerSettings(model="packaged:minilm-reader"))
    assert isinstance(chosen, PackagedReranker)
    scores = await chosen.rerank(QUESTION, [WRONG, RIGHT])
    assert scores.dtype == np.float32
    assert scores[1] > scores[0]
    assert (await chosen.rerank(QUESTION, [])).shape == (0,)


def test_changed_weights_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / packaged.CROSS_ENCODER.file).write_bytes(b"something else")
    monkeypatch.setattr(packaged, "WEIGHTS", tmp_path)
    packaged.verified_weights.cache_clear()
    try:
        with pytest.raises(ConfigError, match=r"minilm-reader\.onnx.*force-reinstall"):
            CrossEncoderModel().read(QUESTION, [RIGHT])
    finally:
        packaged.verified_weights.cache_clear()
