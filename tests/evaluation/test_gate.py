import pytest

from ragkit import ConfigError
from ragkit.evaluation.gate import check_thresholds, parse_threshold, shortfall
from ragkit.evaluation.runs import StageResult
from ragkit.evaluation.stats import Estimate


def _stage(value: float) -> StageResult:
    measures = {"ndcg@10": Estimate(value=value, low=value - 0.1, high=value + 0.1)}
    return StageResult(measures=measures, p50_ms=1.0, p95_ms=2.0, failed={})


STAGES = {"bm25": _stage(0.4), "hybrid": _stage(0.6)}


@pytest.mark.parametrize("text", ["ndcg@10=0.6", "hybrid:ndcg@10=0.6", "bm25:ndcg@10=.4"])
def test_a_value_that_reaches_its_threshold_passes(text: str) -> None:
    assert shortfall(parse_threshold(text), STAGES) is None


def test_what_fell_short_is_said_with_its_interval() -> None:
    assert shortfall(parse_threshold("ndcg@10=0.61"), STAGES) == (
        "hybrid: ndcg@10 is 0.6000 (0.5000 to 0.7000), below 0.61"
    )
    assert shortfall(parse_threshold("bm25:ndcg@10=0.5"), STAGES) == (
        "bm25: ndcg@10 is 0.4000 (0.3000 to 0.5000), below 0.5"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ndcg@10", "is not a threshold. Fix: write ndcg@10=0.45"),
        ("ndcg@10=high", "is not a threshold"),
        ("false_abstention=0.1", "Lower values of 'false_abstention' are better"),
    ],
)
def test_what_is_no_threshold_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_threshold(text)


def test_unknown_stages_and_measures_are_refused_with_those_that_there_are() -> None:
    with pytest.raises(
        ConfigError, match=r"There is no stage 'dense'\. Fix: use one of bm25, hybrid\."
    ):
        shortfall(parse_threshold("dense:ndcg@10=0.1"), STAGES)
    with pytest.raises(
        ConfigError, match=r"There is no measure of hybrid 'f1'\. Fix: use one of ndcg@10"
    ):
        shortfall(parse_threshold("f1=0.1"), STAGES)


@pytest.mark.parametrize("text", ["hybrid:ndcg@10=0.1", "ndcg=0.1"])
def test_a_threshold_that_will_not_be_measured_is_refused_beforehand(text: str) -> None:
    with pytest.raises(ConfigError, match="Fix: use one of"):
        check_thresholds([parse_threshold(text)], ["dense", "bm25"], ["ndcg@10"])
