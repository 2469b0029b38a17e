import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from ragkit import InputError, __version__
from ragkit.cli.documents import INCOMPLETE, parse_metadata
from ragkit.cli.main import app
from ragkit.core.protocols import Index
from ragkit.core.settings import IngestSettings, SqlSettings
from ragkit.index.integrity import Fault
from ragkit.ingest.build import build_source
from ragkit.ingest.sources import SqlSource
from ragkit.testing import web_site


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hashing: None) -> None:
    monkeypatch.chdir(tmp_path)
    Path("docs/drafts").mkdir(parents=True)
    Path("docs/river.md").write_text("# Rivers\n\nThe longest river of Europe is the Volga.")
    Path("docs/lake.txt").write_text("Lake Victoria is the largest lake of Africa.")
    Path("docs/drafts/idea.md").write_text("# Idea\n\nA draft about rivers.")


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def _json(*arguments: str) -> Any:  # JSON of any shape
    result = _run(*arguments, "--json")
    return json.loads(result.stdout)


def _uris() -> list[str]:
    return [record["uri"] for record in _json("list")["documents"]]


def test_the_version_is_shown() -> None:
    assert _run("--version").stdout.strip() == f"ragkit {__version__}"


def test_patterns_choose_files() -> None:
    assert _run("ingest", "docs", "--exclude", "drafts/", "--exclude", "*.txt").exit_code == 0
    assert _uris() == ["docs/river.md"]
    assert _run("ingest", "docs", "--include", "*.txt").exit_code == 0
    assert _uris() == ["docs/lake.txt", "docs/river.md"]


def test_metadata_is_added_and_can_be_filtered_on() -> None:
    Path("ragkit.toml").write_text('[index.fields]\nyear = "integer"\nlang = "keyword"\n')
    metadata = ("--metadata", "year=2024", "--metadata", 'lang=["en", "de"]')
    assert _run("ingest", "docs", *metadata).exit_code == 0
    assert _json("search", "river", "--where", 'year = 2024 and lang = "de"')["hits"]
    assert not _json("search", "river", "--where", "year = 2023")["hits"]
    hit = _json("search", "river")["hits"][0]
    assert hit["metadata"] == {"year": 2024, "lang": ["en", "de"]}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("year=2024", 2024),
        ("share=0.5", 0.5),
        ("open=true", True),
        ("name=Anna = Bo", "Anna = Bo"),
        ('name="2024"', "2024"),
        ('tags=["a", "b"]', ("a", "b")),
        ("empty=", ""),
    ],
)
def test_a_value_of_metadata_is_json_or_text(text: str, value: object) -> None:
    assert list(parse_metadata([text]).values()) == [value]


@pytest.mark.parametrize("text", ["year", "=3", "a=null", "a=[1, 2]", 'a={"b": 1}'])
def test_something_else_than_metadata_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"--metadata is .* Fix: "):
        parse_metadata([text])


def test_a_dry_run_changes_nothing() -> None:
    report = _json("ingest", "docs", "--dry-run")
    assert (len(report["added"]), report["dry_run"]) == (3, True)
    assert not Path(".ragkit").exists()


def test_files_of_other_formats_are_named_and_counted() -> None:
    for number in range(12):
        Path(f"docs/image{number:02}.xyz").write_bytes(b"\0")
    result = _run("ingest", "docs")
    assert result.exit_code == 0
    shown = " ".join(result.stdout.split())
    assert "skipped 12 files of other formats: docs/image00.xyz, docs/image01.xyz" in shown
    assert "and 2 more" in shown
    assert len(_json("ingest", "docs")["skipped"]) == 12


def test_a_run_in_which_nothing_was_readable_ends_with_status_3() -> None:
    Path("images").mkdir()
    Path("images/a.xyz").write_bytes(b"\0")
    result = _run("ingest", "images")
    assert result.exit_code == 3
    assert "images/a.xyz" in result.stdout
    assert _json("ingest", "images")["skipped"] == ["images/a.xyz"]
    Path("empty").mkdir()
    for source in ("empty", "images/*.md"):
        said = _run("ingest", source)
        assert (said.exit_code, "No document was found. Fix:" in said.stderr) == (3, True)


def test_documents_are_listed_with_their_chunks() -> None:
    _run("ingest", "docs")
    shown = _run("list")
    assert shown.exit_code == 0
    assert [line.split() for line in shown.stdout.splitlines()] == [
        ["1", "docs/drafts/idea.md"],
        ["1", "docs/lake.txt"],
        ["1", "docs/river.md"],
        ["3", "documents"],
    ]
    record = _json("list")["documents"][0]
    assert (record["uri"], record["title"], record["chunks"]) == ("docs/drafts/idea.md", "Idea", 1)
    assert _json("list", "--tenant", "other")["documents"] == []


def test_the_chunks_of_a_document_are_shown() -> None:
    _run("ingest", "docs")
    shown = _run("chunks", "docs/river.md").stdout
    assert "1. Rivers" in shown
    assert "Volga" in shown
    found = _json("chunks", "docs/river.md")
    assert [chunk["text"] for chunk in found["chunks"]] == [Path("docs/river.md").read_text()]
    missing = _run("chunks", "river.md")
    assert missing.exit_code == 1
    assert "No document 'river.md' in the index. Fix: ragkit list" in missing.stderr


def test_statistics_name_the_parts_of_the_index() -> None:
    _run("ingest", "docs")
    found = _json("stats")
    assert (found["documents"], found["chunks"], found["tenant"]) == (3, 3, "default")
    assert found["identity"]["dimensions"] > 0
    shown = _run("stats").stdout
    assert "documents 3" in " ".join(shown.split())


def test_documents_are_deleted_by_their_uris() -> None:
    _run("ingest", "docs")
    assert _json("delete", "docs/river.md", "docs/lake.txt") == {"deleted": 2, "unknown": []}
    assert _uris() == ["docs/drafts/idea.md"]
    result = _run("delete", "docs/drafts", "docs/drafts/idea.md")
    assert result.exit_code == 1
    assert "1 documents deleted" in result.stdout
    assert "not in the index: docs/drafts" in result.stderr
    assert _uris() == []


@pytest.mark.parametrize("option", ["--tenant", "--index"])
def test_an_empty_name_is_an_error_and_not_the_default(option: str) -> None:
    _run("ingest", "docs")
    result = _run("list", option, "")
    assert result.exit_code == 1
    assert "''" in result.stderr


def test_verify_names_the_command_that_repairs(monkeypatch: pytest.MonkeyPatch) -> None:
    async def faulty(index: Index) -> list[Fault]:
        return [Fault(kind="orphan", tenant="default", generation="g", expected=0, found=2)]

    _run("ingest", "docs", "--index", "store")
    monkeypatch.setattr("ragkit.sdk.rag.verify", faulty)
    result = _run("verify", "--index", "store")
    assert result.exit_code == 4
    assert "1 faults" in result.stdout
    assert "Fix: ragkit verify --repair --index store" in result.stdout


@pytest.mark.enable_socket
def test_web_pages_are_ingested_by_their_urls() -> None:
    with web_site.serving() as site:
        site.html("/a", "The longest river of Europe is the Volga.")
        site.sitemap("/a")
        report = _json("ingest", f"{site.url}/sitemap.xml", "docs/lake.txt", "--sync")
        assert sorted(report["added"]) == sorted([f"{site.url}/a", "docs/lake.txt"])
        failed = _run("ingest", f"{site.url}/gone")
    assert failed.exit_code == INCOMPLETE
    assert "answers 404 Not Found" in " ".join(failed.output.split())


def test_rows_of_a_query_of_the_settings_are_ingested() -> None:
    with closing(sqlite3.connect("x.db")) as database, database:
        database.execute("CREATE TABLE notes (id, text, year)")
        database.execute("INSERT INTO notes VALUES ('a', 'The Volga is long.', 2024)")
    Path("ragkit.toml").write_text(
        '[index.fields]\nyear = "integer"\n'
        '[ingest.sql.notes]\ndatabase = "x.db"\nquery = "SELECT * FROM notes"\n'
        'metadata = ["year"]\n'
    )
    assert _json("ingest", "sql:notes", "--sync")["added"] == ["notes/a"]
    assert _json("search", "Volga", "--where", "year = 2024")["hits"]
    unknown = _run("ingest", "sql:other")
    assert isinstance(unknown.exception, SystemExit)
    assert "no query 'other' (known: notes). Fix: " in " ".join(unknown.output.split())


def test_the_password_of_a_database_stands_in_no_settings_that_are_shown() -> None:
    url = "postgresql://user:secret-word@host/x"
    settings = IngestSettings(sql={"notes": SqlSettings(database=url, query="SELECT 1")})
    assert "secret-word" not in f"{settings!r} {settings.model_dump_json()}"
    source = build_source("sql:notes", settings)
    assert isinstance(source, SqlSource)
    assert (source.database, "secret-word" in repr(source)) == (url, False)
