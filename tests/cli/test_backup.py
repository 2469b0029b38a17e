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


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def _json(*arguments: str) -> Any:  # JSON of any shape
    return json.loads(_run(*arguments, "--json").stdout)


def test_a_backup_is_restored_into_a_new_index_where_nothing_has_changed() -> None:
    _run("ingest", "docs")
    written = _json("backup", "docs.zip")
    assert written == {"file": "docs.zip", "documents": 1, "chunks": 1}
    restored = _json("restore", "docs.zip", "--index", "new")
    assert restored == written
    hits = _json("search", "longest river", "--index", "new")
    assert hits == _json("search", "longest river")
    again = _json("ingest", "docs", "--index", "new")
    assert len(again["unchanged"]) == 1
    assert _json("verify", "--index", "new")["faults"] == []


def test_what_cannot_be_done_is_one_sentence() -> None:
    assert "Fix: ragkit ingest" in _run("backup", "docs.zip").stderr
    _run("ingest", "docs")
    assert "is no whole backup" in _run("restore", "docs/river.md").stderr
    assert "The tenant ''" in _run("backup", "docs.zip", "--tenant", "").stderr
    _run("backup", "docs.zip")
    assert "exists" in _run("backup", "docs.zip").stderr


@pytest.mark.parametrize("file", ["docs/river.md", "none.zip"])
def test_what_is_no_backup_creates_no_index(file: str) -> None:
    assert "is no whole backup" in _run("restore", file, "--index", "new").stderr
    assert not Path("new").exists()
