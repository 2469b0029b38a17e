import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ragkit.cli.main import app

runner = CliRunner()


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hashing: None) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAGKIT_ANSWER__MODE", "extractive")
    monkeypatch.setenv("RAGKIT_ANSWER__THRESHOLD", "0")
    Path("docs").mkdir()
    Path("docs/river.md").write_text("# Rivers\n\nThe longest river of Europe is the Volga.\n")
    assert runner.invoke(app, ["ingest", "docs"]).exit_code == 0


def documents(output: str) -> list[dict[str, Any]]:
    decoder, found, rest = json.JSONDecoder(), list[dict[str, Any]](), output.strip()
    while rest:
        value, end = decoder.raw_decode(rest)
        found.append(value)
        rest = rest[end:].strip()
    return found


def test_each_line_is_answered_and_kept() -> None:
    done = runner.invoke(app, ["chat", "--json"], input="longest river?\n\nand its name?\n")
    assert done.exit_code == 0, done.output
    first, second = documents(done.stdout)
    assert "Volga" in str(first["text"])
    assert first["conversation"] == second["conversation"]
    assert (second["query"], second["condensed"]) == ("and its name?", False)
    listed = documents(runner.invoke(app, ["chat", "--list", "--json"]).stdout)[0]
    rows = listed["conversations"]
    assert [row["title"] for row in rows] == ["longest river?"]


def test_a_conversation_goes_on() -> None:
    first = documents(runner.invoke(app, ["chat", "--json"], input="rivers?\n").stdout)[0]
    again = ["chat", "--json", "--conversation", str(first["conversation"])]
    second = documents(runner.invoke(app, again, input="more?\n").stdout)[0]
    assert second["conversation"] == first["conversation"]


def test_an_unknown_conversation_is_one_sentence_with_the_fix() -> None:
    done = runner.invoke(app, ["chat", "--conversation", "nope"], input="x\n")
    assert done.exit_code == 1
    assert "No conversation 'nope'. Fix:" in done.stderr


def test_in_text_the_answer_stands_over_its_quotes() -> None:
    done = runner.invoke(app, ["chat"], input="longest river?\n")
    assert done.exit_code == 0
    assert "Volga" in done.stdout
    assert "[1] docs/river.md: " in done.stdout
