import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from ragkit.cli.main import app
from ragkit.core.settings import LLMSettings
from ragkit.testing.agents import says_action
from ragkit.testing.llm import ScriptedLLM


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hashing: None) -> None:
    monkeypatch.chdir(tmp_path)


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["eval", *arguments])


def _json(*arguments: str) -> Any:  # JSON of any shape
    return json.loads(_run(*arguments, "--json").stdout)


@pytest.fixture(name="questions")
def _questions() -> Path:
    """Two answerable questions and one without an answer, as SQuAD lays them out."""
    answers = {
        "Which river is the longest of Europe?": ["Volga", "the Volga"],
        "Which lake is the largest of Africa?": ["Lake Victoria"],
        "Who ruled the kingdom of Prussia?": [],
    }
    contexts = ["The longest river of Europe is the Volga.", "Lake Victoria is Africa's largest."]
    qas = [
        {"id": f"q{i}", "question": question, "answers": [{"text": text} for text in texts]}
        for i, (question, texts) in enumerate(answers.items())
    ]
    paragraphs = [
        {"context": contexts[0], "qas": [qas[0], qas[2]]},
        {"context": contexts[1], "qas": [qas[1]]},
    ]
    path = Path("waters.json")
    path.write_text(json.dumps({"data": [{"title": "Waters", "paragraphs": paragraphs}]}))
    return path


def test_a_folder_is_measured_with_and_without_the_commands_name(beir_set: Path) -> None:
    plain = _json(str(beir_set), "--stages", "bm25")
    assert _json("retrieval", str(beir_set), "--stages", "bm25") == plain
    assert _json("--stages", "bm25", str(beir_set)) == plain
    stage = plain["stages"]["bm25"]
    assert stage["per_query"]["ndcg@10"] == {"q1": 1.0, "q2": 1.0}
    assert stage["failures"]["not retrieved"] == {"count": 0, "examples": []}
    assert stage["outputs"] == {"q1": ["d1"], "q2": ["d2"]}
    assert plain["questions"] == {"q1": "striped zebra", "q2": "galloping horse"}


@pytest.fixture(name="judged_set")
def _judged_set() -> Path:
    """Thirty documents, each with a query."""
    folder = Path("judged")
    names = [f"animal{number} place{number * 7}" for number in range(30)]
    lines = [
        {"_id": f"d{n}", "title": "", "text": f"About {name}."} for n, name in enumerate(names)
    ]
    asked = [{"_id": f"q{n}", "text": f"What of {name}?"} for n, name in enumerate(names)]
    (folder / "qrels").mkdir(parents=True)
    (folder / "corpus.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "queries.jsonl").write_text("".join(json.dumps(line) + "\n" for line in asked))
    rows = "".join(f"q{n}\td{n}\t1\n" for n in range(len(names)))
    (folder / "qrels/test.tsv").write_text(f"query-id\tcorpus-id\tscore\n{rows}")
    return folder


def test_fusion_is_tuned_and_nothing_is_written_unless_asked(judged_set: Path) -> None:
    before = set(Path().iterdir()) | {Path(".ragkit")}
    found = _json("tune", str(judged_set))
    assert (found["dataset"], found["measure"]) == ("judged", "ndcg@10")
    assert (found["fitted"], found["held_out"]) == (15, 15)
    assert found["comparison"]["queries"] == 15
    assert found["settings"] == found["tuned" if found["recommended"] else "current"]
    assert {"low", "high"} <= found["comparison"]["difference"].keys()
    assert set(Path().iterdir()) <= before
    shown = _run("tune", str(judged_set), "--out", "tuned.toml").stdout
    assert found["verdict"] in " ".join(shown.split())
    assert Path("tuned.toml").read_text().startswith("[retrieval]\nfusion = ")
    again = _run("tune", str(judged_set), "--out", "tuned.toml")
    assert (again.exit_code, "is there already" in again.stderr) == (1, True)


def test_help_names_the_commands_and_the_short_form() -> None:
    shown = " ".join(re.sub(r"[│╭╮╰╯─]", " ", _run("--help").stdout).split())
    assert "ragkit eval FOLDER" in shown
    for name in ("retrieval", "qa", "compare", "tune", "make"):
        assert name in shown
    assert "--fail-under" in _run("retrieval", "--help").stdout


def test_a_missed_threshold_is_reported_and_ends_with_1(beir_set: Path) -> None:
    low = _run(str(beir_set), "--stages", "bm25", "--fail-under", "bm25:ndcg@10=0.9")
    assert (low.exit_code, low.stderr.count("below threshold")) == (0, 0)
    options = ("--fail-under", "ndcg@10=1.1", "--fail-under", "mrr@10=2", "--out", "run.json")
    high = _run(str(beir_set), "--stages", "bm25", *options)
    assert high.exit_code == 1
    assert "below threshold: bm25: ndcg@10 is 1.0000 (1.0000 to 1.0000), below 1.1" in high.stderr
    assert "below threshold: bm25: mrr@10" in high.stderr
    assert Path("run.json").is_file()
    unknown = _run(str(beir_set), "--stages", "bm25", "--fail-under", "hybrid:f1=1", "--json")
    assert unknown.exit_code == 1
    assert json.loads(unknown.stdout)["error"]["type"] == "ConfigError"


def test_two_runs_are_compared_from_their_files(beir_set: Path) -> None:
    for name in ("a.json", "b.json"):
        assert _run(str(beir_set), "--stages", "bm25,dense", "--out", name).exit_code == 0
    table = _run("compare", "a.json", "b.json", "--html", "reports/c.html")
    assert table.exit_code == 0
    assert "ndcg@10: no difference can be seen in these 2 queries" in table.stdout
    assert "<svg" in Path("reports/c.html").read_text()
    found = _json("compare", "a.json", "b.json", "--stages", "bm25:dense")
    assert [(item["stage_a"], item["stage_b"]) for item in found["stages"]] == [("bm25", "dense")]
    assert found["stages"][0]["measures"]["ndcg@10"]["p_value"] == 1.0
    assert "cannot be read" in _run("compare", "a.json", "missing.json").stderr


def test_a_limit_samples_by_the_seed_and_the_report_is_written(beir_set: Path) -> None:
    samples = [
        list(
            _json(str(beir_set), "--limit", "1", "--seed", str(seed), "--stages", "bm25")[
                "questions"
            ]
        )
        for seed in range(6)
    ]
    assert {query for sample in samples for query in sample} == {"q1", "q2"}
    done = _run(str(beir_set), "--stages", "bm25", "--html", "r.html")
    assert "bm25: 0 not retrieved, 0 ranked low" in done.stdout
    assert "<svg" in Path("r.html").read_text()


def test_answers_are_measured_on_their_paragraphs_and_from_a_search(questions: Path) -> None:
    for given in ("paragraph", "search"):
        found = _json("qa", str(questions), "--given", given)
        assert (found["kind"], found["queries"], found["documents"]) == ("qa", 3, 2)
        stage = found["stages"]["answers"]
        assert set(stage["per_query"]["em"]) == {"q0", "q1", "q2"}
        assert set(stage["per_query"]["abstention"]) == {"q2"}
        assert stage["per_query"]["evidence"] == {"q0": 1.0, "q1": 1.0}
        assert set(stage["em"]) == {"value", "low", "high"}
        assert set(stage["per_query"].get("verbatim", {"": 1.0}).values()) == {1.0}


def test_a_run_over_answers_is_saved_gated_and_compared(questions: Path) -> None:
    options = ("--given", "paragraph", "--out", "a.json", "--html", "a.html")
    done = _run("qa", str(questions), *options, "--fail-under", "em=1.5")
    assert done.exit_code == 1
    assert "below threshold: answers: em is" in done.stderr
    assert "p95 ms" in done.stdout
    assert "answers: " in Path("a.html").read_text()
    assert "no difference" in _run("compare", "a.json", "a.json").stdout


def test_a_set_is_made_measured_and_not_overwritten() -> None:
    Path("docs").mkdir()
    for name in ("zebra", "lion", "horse"):
        words = " ".join(f"{name}{number}" for number in range(25))
        Path(f"docs/{name}.md").write_text(
            f"# About\n\n## Feeding the hungry {name}\n\n{name} {words}"
        )
    made = _run("make", "docs", "--out", "set")
    assert made.exit_code == 0
    assert "3 sections, 3 questions: 3 kept, 0 not found among the first 10" in made.stdout
    assert _json("set", "--stages", "bm25")["queries"] == 3
    assert "'set' is not empty" in _run("make", "docs", "--out", "set").stderr
    assert _json("make", "docs", "--out", "other", "--limit", "1")["kept"] == 1


@pytest.mark.slow
def test_a_model_asks_and_judges_under_a_real_grammar(questions: Path, random_model: Path) -> None:
    llm = f"local:{random_model}"
    sections = (
        f"## {name}\n\n" + f"The {name} has many stripes. " * 5 for name in ("Zebra", "Okapi")
    )
    Path("animals.md").write_text("\n\n".join(sections))
    made = _json("make", "animals.md", "--out", "set", "--llm", llm)
    assert made["asked"] == made["kept"] + made["repeated"] + made["unusable"] + made["lost"] == 2
    found = _json("qa", str(questions), "--given", "paragraph", "--judge", llm)
    assert 0 <= found["stages"]["answers"]["undecided"]["value"] <= 1


def test_an_agent_is_measured_on_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [{"question": f"What is 2 + {n}?", "answers": [str(2 + n)]} for n in range(3)]
    Path("tasks.jsonl").write_text("\n".join(map(json.dumps, lines)))
    agent = ("agent", "tasks.jsonl", "--tools", "calculator", "--llm", "local:scripted")
    said = [
        says_action("Sum.", ("calculator", {"expression": "2 + 0"})),
        *(says_action("Done.", ("finish", {"answer": text})) for text in ("2", "It is 4.", "4")),
    ]
    llm = ScriptedLLM(said)

    def scripted(_: LLMSettings) -> ScriptedLLM:
        return llm

    monkeypatch.setattr("ragkit.cli.agent.build_llm", scripted)
    found = _json(*agent, "--out", "a.json")
    assert (found["kind"], found["queries"], found["documents"]) == ("agents", 3, 0)
    measured = found["stages"]["react"]
    assert measured["per_query"]["success"] == {"1": 1.0, "2": 0.0, "3": 1.0}
    assert measured["per_query"]["steps"]["1"] > measured["per_query"]["steps"]["2"]
    assert measured["failures"]["not solved"]["count"] == 1
    # All of these are finished, and the script is at its end.
    assert _json(*agent, "--limit", "2")["stages"]["react"]["failed"] == {}
    assert "no difference" in _run("compare", "a.json", "a.json").stdout
    assert _run(*agent, "--fail-under", "success=0.9").exit_code == 1


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('{"question": "What?"}', "line 1: 'answers': Field required"),
        (
            '{"question": "What?", "answers": []}',
            "line 1: 'answers': Tuple should have at least 1 item",
        ),
        ("", "list of tasks is empty"),
    ],
)
def test_tasks_that_cannot_be_read_are_named(line: str, told: str) -> None:
    Path("tasks.jsonl").write_text(line)
    result = _run("agent", "tasks.jsonl", "--llm", "local:none")
    assert result.exit_code == 1
    assert told in result.stderr


def test_measuring_an_agent_takes_a_model_and_an_index(random_model: Path) -> None:
    Path("tasks.jsonl").write_text('{"id": "a", "question": "What?", "answers": ["That"]}')
    assert "llm" in _run("agent", "tasks.jsonl").stderr
    searching = _run("agent", "tasks.jsonl", "--llm", f"local:{random_model}")
    assert searching.exit_code == 1
    assert "ragkit ingest" in searching.stderr
