import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from ragkit.evaluation.report import comparison_html, evaluation_html
from ragkit.evaluation.run_comparison import compare_runs
from ragkit.evaluation.runs import (
    Evaluation,
    Example,
    Failures,
    load_run,
    save_run,
    stage_result,
)


def _evaluation() -> Evaluation:
    values = {"q1": 0.0, "q2": 1.0, "q3": 0.25}
    example = Example(query="q1", question="<script>x</script>", detail="d1 not in the first 100")
    result = stage_result(
        {"ndcg@10": values},
        [0.1, 0.2],
        failed={"q9": "The query has no words."},
        failures={"not retrieved": Failures(count=7, examples=(example,))},
        outputs={"q1": ["d8"]},
    )
    return Evaluation(
        dataset="animals & plants",
        documents=3,
        chunks=4,
        queries=3,
        stages={"bm25": result, "hybrid": result},
        questions={"q1": "<script>x</script>", "q2": "b", "q3": "c"},
        fingerprints={},
    )


@pytest.fixture(name="pages")
def _pages(tmp_path: Path) -> tuple[str, str]:
    run = _evaluation()
    save_run(run, tmp_path / "a.json")
    worse = replace(run.stages["bm25"], per_query={"ndcg@10": {"q1": 0.5, "q2": 0.0, "q3": 0.25}})
    save_run(replace(run, stages={"bm25": worse}), tmp_path / "b.json")
    compared = compare_runs(load_run(tmp_path / "a.json"), load_run(tmp_path / "b.json"))
    return evaluation_html(run), comparison_html(compared, a="a.json", b="b.json")


def test_pages_load_nothing_and_run_nothing(pages: tuple[str, str]) -> None:
    for page in pages:
        assert not re.search(r"https?:|src=|href=|@import|url\(|<script", page)
        assert "&lt;script&gt;" in page


def test_every_plot_is_well_formed(pages: tuple[str, str]) -> None:
    for page, expected in zip(pages, (3, 2), strict=True):
        plots = re.findall(r"<figure>.*?</figure>", page, flags=re.DOTALL)
        assert len(plots) == expected
        for plot in plots:
            assert len(list(ElementTree.fromstring(plot).iter())) >= 8


def test_plots_are_as_wide_as_the_page_and_their_letters_keep_their_size(
    pages: tuple[str, str],
) -> None:
    for page in pages:
        assert "viewBox" not in page  # which would scale letters with the width
        assert page.count('<svg width="100%"') == page.count("<figure>")
        assert "max-width: 72rem" not in page


def test_plots_have_axes_with_titles(pages: tuple[str, str]) -> None:
    assert "mean over queries, 95% interval" in pages[0]
    assert "> queries</text>" in re.sub(r">[\d.]+ queries<", "> queries<", pages[0])
    assert "queries, from the greatest loss to the greatest gain" in pages[1]


def test_the_report_shows_measures_failures_and_the_worst_queries(pages: tuple[str, str]) -> None:
    page = pages[0]
    for text in (
        "animals &amp; plants",
        "0.417 (",
        "bm25: 7 not retrieved",
        "d1 not in the first 100",
        "q9 could not be run: The query has no words.",
        "<td>d8</td>",
    ):
        assert text in page, text


def test_the_comparison_shows_the_verdict_and_what_changed(pages: tuple[str, str]) -> None:
    page = pages[1]
    assert "ndcg@10: no difference can be seen in these 3 queries: -0.167" in page
    assert "<td>1.000</td><td>0.000</td>" in page
