import json
from pathlib import Path

import pytest

from ragkit.core.settings import Settings
from ragkit.evaluation.plots import difference_plot, histograms, measure_plots
from ragkit.evaluation.runs import Evaluation, load_run, save_run, stage_result
from ragkit.ui.charts import difference_chart, histogram_chart, interval_chart, latency_chart
from ragkit.ui.evaluation_runs import (
    EvaluationChoices,
    EvaluationRun,
    kept_runs,
    lowest,
    measure_table,
    stage_results,
)
from ragkit.ui.views.evaluate import inspect_link


def write_run(path: Path, shift: float = 0.0) -> None:
    """Write a run of three queries."""
    questions = {"q1": "How long?", "q2": "<b>Where?</b>", "q3": "When & why?"}
    values = {"q1": 0.2 + shift, "q2": 1.0, "q3": 0.5}
    result = stage_result(
        {"ndcg@10": values, "recall@100": values},
        [0.1],
        failed={},
        failures={},
        outputs={"q1": ["d8"]},
    )
    save_run(
        Evaluation(
            dataset="shop",
            documents=3,
            chunks=4,
            queries=3,
            stages={"bm25": result, "hybrid": result},
            questions=questions,
            fingerprints={},
        ),
        path,
    )


def _beir(folder: Path) -> Path:
    folder.mkdir()
    (folder / "qrels").mkdir()
    rows = [
        {"_id": f"d{n}", "title": "", "text": text} for n, text in enumerate(("a cat", "a dog"))
    ]
    (folder / "corpus.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (folder / "queries.jsonl").write_text(json.dumps({"_id": "q", "text": "cat"}))
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq\td0\t1\n")
    return folder


def test_a_kept_run_is_shown_with_intervals(tmp_path: Path) -> None:
    write_run(tmp_path / "run.json")
    run = load_run(tmp_path / "run.json")
    head, rows = measure_table(stage_results(run))
    assert head == ["stage", "ndcg@10", "recall@100"]
    assert rows[0][0] == "bm25"
    assert rows[0][1].startswith("0.567 (")
    assert [low.query for low in lowest(run, "bm25")] == ["q1", "q3"]
    assert lowest(run, "bm25")[0].output == "d8"


def test_retrieval_is_measured_in_the_background_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    choices = EvaluationChoices(
        measured="retrieval", path=_beir(tmp_path / "set"), stages=("bm25",)
    )
    run = EvaluationRun(Settings(), choices, tmp_path / "runs")
    assert run.job.wait(120)
    assert run.job.error == ""
    assert [file.path for file in kept_runs(tmp_path / "runs")] == [run.job.result]
    assert kept_runs(tmp_path / "runs")[0].label.endswith("retrieval set")


def test_a_set_that_is_none_is_a_sentence(tmp_path: Path) -> None:
    choices = EvaluationChoices(measured="retrieval", path=tmp_path, stages=("bm25",))
    run = EvaluationRun(Settings(), choices, tmp_path / "runs")
    assert run.job.wait(60)
    assert run.job.state == "failed"
    assert "corpus.jsonl" in run.job.error


def test_a_question_links_to_its_search_and_cannot_break_the_page() -> None:
    assert inspect_link('a "b" & <c>') == (
        '<a href="inspect?q=a%20%22b%22%20%26%20%3Cc%3E">a &quot;b&quot; &amp; &lt;c&gt;</a>'
    )


def test_charts_show_the_data_of_the_plots(tmp_path: Path) -> None:
    write_run(tmp_path / "run.json")
    stages = stage_results(load_run(tmp_path / "run.json"))
    (first, _), (spread, _) = measure_plots(stages), histograms(stages)
    drawn = json.dumps(interval_chart(first).to_dict())
    assert first.axis.title in drawn
    assert str(first.rows[0].value) in drawn
    counts = json.dumps(histogram_chart(spread).to_dict())
    assert '"title": "queries"' in counts
    differences = difference_chart(difference_plot("x", [-0.5, 0.25])).to_dict()
    assert "-0.5" in json.dumps(differences)
    assert '"type": "log"' in json.dumps(latency_chart({"search": [0.01]}).to_dict())
