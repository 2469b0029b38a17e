import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from ragkit.cli.main import app


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hashing: None) -> None:
    monkeypatch.chdir(tmp_path)
    Path("docs").mkdir()
    Path("docs/river.md").write_text("# Rivers\n\nThe longest river of Europe is the Volga.")
    Path("docs/lake.html").write_text("<h1>Lakes</h1><p>The largest lake is the Ladoga.</p>")


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def _json(*arguments: str) -> Any:  # JSON of any shape
    return json.loads(_run(*arguments, "--json").stdout)


def test_an_index_follows_its_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    _run("ingest", "docs", "--index", "my index")
    same = _run("reindex", "--index", "my index")
    assert "Nothing has changed: the index (2 documents with 2 chunks) is as" in same.stdout
    monkeypatch.setenv("RAGKIT_INDEX__LANGUAGE", "german")
    monkeypatch.setenv("RAGKIT_INGEST__CHUNK_TOKENS", "50")
    refused = _run("search", "Volga", "--index", "my index").stderr
    assert "ragkit reindex --index 'my index'" in refused
    built = _run("reindex", "--index", "my index")
    assert "2 documents with 2 chunks are in the new index" in built.stdout
    assert "divided as before 1 documents" in " ".join(built.stdout.split())
    assert "reindex 2/2" in built.stderr
    assert _json("search", "Volga", "--index", "my index")["hits"][0]["uri"] == "docs/river.md"
    again = _json("reindex", "--index", "my index")
    assert (again["changed"], again["undivided"]) == (False, ["docs/lake.html"])


def test_a_missing_index_is_one_sentence() -> None:
    failed = _run("reindex", "--index", "none")
    assert failed.exit_code == 1
    assert "No index at 'none'. Fix: ragkit ingest" in failed.stderr
