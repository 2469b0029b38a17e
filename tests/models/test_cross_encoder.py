from pathlib import Path

import numpy as np
import pytest

from ragkit import ConfigError
from ragkit.core.settings import RerankerSettings
from ragkit.models import packaged
from ragkit.models.build import build_reranker
from ragkit.models.cross_encoder import CrossEncoderModel, packaged_cross_encoder
from ragkit.models.reranking import PackagedReranker

QUESTION = "When was the bridge opened?"
RIGHT = "The old bridge was rebuilt twice. It was opened in 1932 by the mayor of the town."
WRONG = "Bridges of steel are painted every few years, since rust weakens them."


@pytest.fixture(scope="module")
def model() -> CrossEncoderModel:
    return packaged_cross_encoder()


def test_the_span_that_answers_is_found(model: CrossEncoderModel) -> None:
    right, wrong = model.read(QUESTION, [RIGHT, WRONG])
    assert "1932" in RIGHT[right.start : right.end]
    assert right.relevance > wrong.relevance
    assert right.score > wrong.score


def test_a_reading_does_not_depend_on_the_other_passages(model: CrossEncoderModel) -> None:
    alone = model.read(QUESTION, [RIGHT])[0]
    among = model.read(QUESTION, [WRONG * 20, RIGHT, "", WRONG])[1]
    assert (among.start, among.end) == (alone.start, alone.end)
    assert among.relevance == pytest.approx(alone.relevance, abs=0.6)  # int8 scales are a batch's


def test_an_answer_deep_in_a_long_passage_is_found(model: CrossEncoderModel) -> None:
    text = f"{WRONG} " * 40 + RIGHT + f" {WRONG}" * 40
    reading = model.read(QUESTION, [text])[0]
    assert "1932" in text[reading.start : reading.end]


def test_a_header_helps_and_holds_no_answer(model: CrossEncoderModel) -> None:
    header = "Bridges opened in 1932"
    reading = model.read(QUESTION, [WRONG], headers=[header])[0]
    assert 0 <= reading.start <= reading.end <= len(WRONG)


@pytest.mark.parametrize("text", ["", " ", "\u200b", "\U0001f600"])
def test_odd_passages_are_read(model: CrossEncoderModel, text: str) -> None:
    reading = model.read(QUESTION, [text])[0]
    assert np.isfinite(reading.relevance)
    assert 0 <= reading.start <= reading.end <= len(text)


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
