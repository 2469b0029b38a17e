from collections.abc import Mapping
from pathlib import Path

import pytest

from ragkit import InputError
from ragkit.evaluation.run_comparison import compare_runs, parse_pairs
from ragkit.evaluation.runs import (
    Evaluation,
    SavedRun,
    StageResult,
    load_run,
    save_run,
    stage_result,
)


def evaluation(
    stages: Mapping[str, Mapping[str, float]],
    *,
    corpus: str = "c1",
    text: str = "What?",
    dataset: str = "animals",
) -> Evaluation:
    """A run with these values of nDCG@10 by stage and query."""
    results: dict[str, StageResult] = {}
    for stage, values in stages.items():
        results[stage] = stage_result(
            {"ndcg@10": values},
            [0.1],
            failed={},
            failures={},
            outputs={query: [f"{stage} gave {query}"] for query in values},
        )
    queries = next(iter(stages.values()))
    return Evaluation(
        dataset=dataset,
        corpus=corpus,
        documents=3,
        chunks=3,
        queries=len(queries),
        stages=results,
        questions=dict.fromkeys(queries, text),
        fingerprints=dict.fromkeys(queries, text),
    )


def _run(
    folder: Path,
    stages: Mapping[str, Mapping[str, float]],
    *,
    corpus: str = "c1",
    text: str = "What?",
) -> SavedRun:
    save_run(evaluation(stages, corpus=corpus, text=text), folder / "new" / "run.json")
    return load_run(folder / "new" / "run.json")


def test_runs_are_compared_query_by_query_as_saved(tmp_path: Path) -> None:
    a = _run(tmp_path, {"hybrid": {f"q{i}": 0.0 for i in range(10)}})
    b = _run(tmp_path, {"hybrid": {f"q{i}": 0.3 + i / 20 for i in range(10)}})
    found = compare_runs(a, b)
    stage = found.stages[0]
    assert (found.queries, found.notes, stage.measure) == (10, (), "ndcg@10")
    assert stage.verdicts["ndcg@10"].startswith("B is better: +0.525 (")
    first = stage.changed[0]
    assert (first.query, first.question, first.a, first.b) == ("q9", "What?", 0.0, 0.75)
    assert (first.output_a, first.output_b) == (("hybrid gave q9",), ("hybrid gave q9",))
    assert stage.differences == tuple(sorted(stage.differences))


def test_queries_that_did_not_change_are_not_listed(tmp_path: Path) -> None:
    run = _run(tmp_path, {"hybrid": {"q1": 0.5, "q2": 0.1}})
    assert compare_runs(run, run).stages[0].changed == ()


def test_the_common_part_is_compared_with_a_note(tmp_path: Path) -> None:
    a = _run(tmp_path, {"hybrid": {"q1": 0.1, "q2": 0.2}})
    b = _run(tmp_path, {"hybrid": {"q2": 0.2, "q3": 0.2, "q4": 0.9}})
    found = compare_runs(a, b)
    assert found.queries == 1
    assert found.notes == ("only the 1 queries in common are compared; A has 2 and B 3",)


def test_stages_of_other_names_are_compared_where_named(tmp_path: Path) -> None:
    run = _run(tmp_path, {"bm25": {"q1": 0.1}, "hybrid": {"q1": 0.4}})
    assert [stage.stage_a for stage in compare_runs(run, run).stages] == ["bm25", "hybrid"]
    stage = compare_runs(run, run, stages=parse_pairs("bm25:hybrid")).stages[0]
    assert (stage.stage_a, stage.stage_b) == ("bm25", "hybrid")
    assert stage.measures["ndcg@10"].difference.value == pytest.approx(0.3)
    assert parse_pairs("bm25, dense:hybrid") == [("bm25", "bm25"), ("dense", "hybrid")]


@pytest.mark.parametrize(
    ("stages", "corpus", "text", "message"),
    [
        ({"hybrid": {"q1": 1.0}}, "c2", "What?", "over different data"),
        ({"hybrid": {"q9": 1.0}}, "c1", "What?", "no query in common"),
        ({"hybrid": {"q1": 1.0}}, "c1", "Who?", "another text or judgement, the first is 'q1'"),
        ({"x": {"q1": 1.0}, "y": {"q1": 1.0}}, "c1", "What?", "no stage in common"),
    ],
)
def test_runs_that_cannot_be_compared_are_refused(
    tmp_path: Path, stages: dict[str, dict[str, float]], corpus: str, text: str, message: str
) -> None:
    a = _run(tmp_path, {"hybrid": {"q1": 0.1, "q2": 0.2}})
    b = _run(tmp_path, stages, corpus=corpus, text=text)
    with pytest.raises(InputError, match=message):
        compare_runs(a, b)


def test_an_unknown_stage_is_refused_with_those_that_there_are(tmp_path: Path) -> None:
    run = _run(tmp_path, {"hybrid": {"q1": 0.1}})
    with pytest.raises(InputError, match="Run B has no stage 'bm25'; it has hybrid"):
        compare_runs(run, run, stages=[("hybrid", "bm25")])


def test_a_file_that_is_no_run_is_refused_with_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    with pytest.raises(InputError, match=r"x\.json' cannot be read: No such file"):
        load_run(path)
    path.write_text('{"kind": "retrieval"}')
    with pytest.raises(InputError, match=r"not a saved run .*dataset: Field required.*--out FILE"):
        load_run(path)
