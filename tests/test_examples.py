import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
SCRIPTS = sorted(EXAMPLES.glob("*.py"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_an_example_is_short(script: Path) -> None:
    assert len(script.read_text().splitlines()) < 60


@pytest.mark.slow
def test_the_demo_answers_six_questions_and_declines_the_seventh(tmp_path: Path) -> None:
    command = [sys.executable, str(EXAMPLES / "demo.py")]
    shown = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    flat = " ".join(shown.split())
    assert "28 added" in flat
    for answer in ("Enric Miralles", "patented the Tesla coil.", "Duisburg", "BankAmericard"):
        assert answer in flat
    assert flat.count("fusion #") >= 6
    assert flat.count("rerank #") >= 6
    assert "The documents do not answer this." in flat.split("not in the documents")[1]
    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert "28 unchanged" in " ".join(again.split())


@pytest.mark.slow
def test_the_langgraph_example_runs(tmp_path: Path) -> None:
    command = [sys.executable, str(EXAMPLES / "langgraph_workflow.py")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[0] == "retrieve"
    assert "Bayeux Tapestry" in done.stdout


def test_the_corpus_has_the_documents_and_questions_that_it_promises() -> None:
    corpus = EXAMPLES / "corpus"
    documents = [p for p in corpus.rglob("*.*") if p.suffix in {".md", ".html", ".pdf", ".txt"}]
    assert len(documents) >= 20
    assert len({path.suffix for path in documents}) == 4
    lines = (corpus.parent / "questions.jsonl").read_text(encoding="utf-8").splitlines()
    questions = [json.loads(line) for line in lines]
    assert len(questions) >= 60
    assert any(not item["answerable"] for item in questions)
    licence = (EXAMPLES / "CORPUS-LICENSE.md").read_text(encoding="utf-8")
    for path in documents:
        assert path.name in licence
    for item in questions:
        assert item["answerable"] == bool(item["answers"]) == bool(item["source"])
        if item["answerable"]:
            assert (corpus / item["source"]).is_file()
