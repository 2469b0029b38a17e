"""Rows of a query as documents: read as they are needed, and deleted once they are surely gone."""

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from ragkit import InputError
from ragkit.ingest.deletion import MASS_DELETION
from ragkit.ingest.pipeline import RunOptions
from ragkit.ingest.sources import FileReader, SqlSource
from ragkit.testing.ingestion import IngestBench

SYNC = RunOptions(sync=True)
FORCED = RunOptions(sync=True, force=True)
QUERY = "SELECT id, body, subject, year, day FROM tickets ORDER BY id"


def run(place: str, *statements: str) -> None:
    """Run statements on either database."""
    if "://" in place:
        with psycopg.connect(place) as connection:
            for statement in statements:
                connection.execute(statement.encode())
        return
    with closing(sqlite3.connect(place)) as opened, opened:
        for statement in statements:
            opened.execute(statement)


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database with three rows."""
    kind: str = request.param
    found: str = (
        str(tmp_path / "a b?.db") if kind == "sqlite" else request.getfixturevalue("postgres")
    )
    run(
        found,
        "DROP TABLE IF EXISTS tickets",
        "CREATE TABLE tickets (id INTEGER, body TEXT, subject TEXT, year INTEGER, day DATE)",
        "INSERT INTO tickets VALUES (1, 'The pump is loud.', 'Pump', 2023, '2023-05-01'), "
        "(2, '水泵声音很大。', NULL, NULL, NULL), (3, NULL, 'Empty', 2025, '2025-01-01')",
    )
    return found


def tickets(place: str, query: str = QUERY) -> SqlSource:
    return SqlSource(
        name="tickets",
        database=place,
        query=query,
        text="body",
        title="subject",
        metadata=["year", "day"],
    )


@pytest.fixture
def bench() -> IngestBench:
    return IngestBench()


async def test_rows_are_documents_with_title_and_metadata(bench: IngestBench, place: str) -> None:
    report = await bench.ingest(tickets(place))
    assert (report.added, report.failed) == (["tickets/1", "tickets/2", "tickets/3"], [])
    first, second = await bench.index.chunks(["tickets/1", "tickets/2"])
    assert (first.text, first.title) == ("The pump is loud.", "Pump")
    assert first.metadata == {"year": 2023, "day": "2023-05-01"}
    assert (second.text, second.title, dict(second.metadata)) == ("水泵声音很大。", "2", {})


async def test_rows_get_the_metadata_of_the_run(place: str) -> None:
    bench = IngestBench(FileReader(metadata={"team": "pumps"}))
    await bench.ingest(tickets(place))
    (chunk,) = await bench.index.chunks(["tickets/1"])
    assert chunk.metadata == {"year": 2023, "day": "2023-05-01", "team": "pumps"}


async def test_only_rows_that_changed_are_embedded_and_those_gone_deleted(
    bench: IngestBench, place: str
) -> None:
    await bench.ingest(tickets(place), ("note", "made in code"))
    embedded = len(bench.embedder.texts)
    run(place, "DELETE FROM tickets WHERE id = 2", "UPDATE tickets SET body = 'x' WHERE id = 3")
    report = await bench.ingest(tickets(place), run=SYNC)
    assert (report.updated, report.unchanged) == (["tickets/3"], ["tickets/1"])
    assert report.deleted == ["tickets/2"]
    assert len(bench.embedder.texts) == embedded + 1
    assert await bench.uris() == ["note", "tickets/1", "tickets/3"]


@pytest.mark.parametrize(
    ("statement", "query", "reason"),
    [
        ("DELETE FROM tickets", QUERY, "it is empty or gone"),
        ("DROP TABLE tickets", QUERY, "tickets"),
        ("UPDATE tickets SET id = NULL WHERE id = 2", QUERY, "has no id. Fix: "),
        ("DELETE FROM tickets WHERE id = 2", "SELECT id, subject FROM tickets", "no column 'body'"),
        ("DELETE FROM tickets WHERE id = 2", "DELETE FROM tickets", "it may only read"),
        ("DELETE FROM tickets WHERE id = 2", "SELEC id", "it may only read"),
    ],
    ids=["empty", "no table", "no id", "no column", "a write", "no query"],
)
async def test_a_query_that_fails_or_finds_nothing_deletes_nothing(
    bench: IngestBench, place: str, statement: str, query: str, reason: str
) -> None:
    await bench.ingest(tickets(place))
    run(place, statement)
    report = await bench.ingest(tickets(place, query), ("note", "in the same run"), run=SYNC)
    assert report.deleted == []
    assert reason in report.failed[0].reason
    assert len(await bench.uris()) == 4


async def test_a_mass_deletion_is_refused(bench: IngestBench, place: str) -> None:
    numbers = range(10, 10 + MASS_DELETION)
    values = ", ".join(f"({number}, 'x', 'x', 1, NULL)" for number in numbers)
    run(place, f"INSERT INTO tickets VALUES {values}")
    await bench.ingest(tickets(place))
    run(place, "DELETE FROM tickets WHERE id >= 10")
    report = await bench.ingest(tickets(place), run=SYNC)
    assert (report.deleted, len(report.failed)) == ([], 1)
    assert len((await bench.ingest(tickets(place), run=FORCED)).deleted) == MASS_DELETION


async def test_the_query_cannot_write(bench: IngestBench, place: str) -> None:
    writing = "INSERT INTO tickets (id) VALUES (9) RETURNING id, body, subject, year, day"
    with pytest.raises(InputError, match="it may only read"):
        await bench.ingest(tickets(place, writing))
    run(place, "INSERT INTO tickets VALUES (4, 'x', 'x', 1, NULL)")  # nothing holds the database
    assert len((await bench.ingest(tickets(place))).added) == 4


@pytest.mark.parametrize(
    ("query", "refused"),
    [
        ("VACUUM INTO 'made.db'", "ATTACH or VACUUM 'made.db'"),
        ("ATTACH 'made.db' AS n", "ATTACH or VACUUM 'made.db'"),
        ("PRAGMA journal_mode = WAL", "PRAGMA 'journal_mode'"),
        ("CREATE TEMP TABLE made AS SELECT 1 AS id", "INSERT 'sqlite_temp_master'"),
        ("DELETE FROM t", "DELETE 't'"),
        ("BEGIN IMMEDIATE", "the transaction 'BEGIN'"),
        ("SELECT load_extension('made.so') AS id", "the function 'load_extension'"),
        ("SELECT fts3_tokenizer('simple') AS id, 'x' AS text", "the function 'fts3_tokenizer'"),
    ],
)
async def test_a_query_of_sqlite_reads_its_own_file_only(
    bench: IngestBench,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    query: str,
    refused: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    run("x.db", "CREATE TABLE t (id, text)", "INSERT INTO t VALUES (1, 'words')")
    before = Path("x.db").read_bytes()
    with pytest.raises(InputError, match=f"{re.escape(refused)}.* Fix: .*it may only read"):
        await bench.ingest(SqlSource(name="t", database="x.db", query=query))
    assert [path.name for path in tmp_path.iterdir()] == ["x.db"]
    assert Path("x.db").read_bytes() == before


@pytest.mark.parametrize(
    "query",
    [
        "WITH c AS MATERIALIZED (SELECT * FROM t) SELECT * FROM c",
        "SELECT * FROM seen",
        "SELECT value AS id, json_extract('{\"a\": \"x\"}', '$.a') AS text FROM json_each('[1]')",
        "SELECT row_number() OVER (ORDER BY id) AS id, max(text) OVER () AS text FROM t",
        "SELECT rowid AS id, text FROM f5 WHERE f5 MATCH 'words' ORDER BY rank",
        "SELECT rowid AS id, snippet(f4) AS text FROM f4 WHERE f4 MATCH 'words'",
        "SELECT id, 'x' AS text FROM r WHERE low < 3",
        "SELECT term AS id, term AS text FROM v5",
    ],
)
async def test_a_query_of_sqlite_reads_with_all_that_reading_needs(
    bench: IngestBench, tmp_path: Path, query: str
) -> None:
    run(
        place := str(tmp_path / "x.db"),
        "CREATE TABLE t (id, text)",
        "INSERT INTO t VALUES (1, 'words')",
        "CREATE VIEW seen AS SELECT id, upper(text) AS text FROM t",
        "CREATE VIRTUAL TABLE f5 USING fts5(text)",
        "INSERT INTO f5 VALUES ('words')",
        "CREATE VIRTUAL TABLE f4 USING fts4(text)",
        "INSERT INTO f4 VALUES ('words')",
        "CREATE VIRTUAL TABLE r USING rtree(id, low, high)",
        "INSERT INTO r VALUES (1, 2, 3)",
        "CREATE VIRTUAL TABLE v5 USING fts5vocab(f5, row)",
    )
    report = await bench.ingest(SqlSource(name="t", database=place, query=query))
    assert (len(report.added), report.failed) == (1, [])


@pytest.mark.parametrize("query", ["DELETE FROM r_node", "UPDATE sqlite_master SET name = 'x'"])
async def test_what_a_virtual_table_prepares_cannot_be_run_by_a_query(
    bench: IngestBench, tmp_path: Path, query: str
) -> None:
    run(place := str(tmp_path / "x.db"), "CREATE VIRTUAL TABLE r USING rtree(id, low, high)")
    before = Path(place).read_bytes()
    with pytest.raises(InputError, match="it may only read"):
        await bench.ingest(SqlSource(name="t", database=place, query=query))
    assert Path(place).read_bytes() == before


async def test_a_row_given_twice_is_one_document(bench: IngestBench, place: str) -> None:
    report = await bench.ingest(tickets(place, f"SELECT * FROM ({QUERY}) AS a UNION ALL {QUERY}"))
    assert len(report.added) == 3
    assert "was given twice" in report.failed[0].reason


async def test_rows_are_read_as_they_are_needed(bench: IngestBench, tmp_path: Path) -> None:
    """A query without an end, of which the run takes what it can use."""
    run(place := str(tmp_path / "x.db"), "CREATE TABLE t (id)")
    endless = (
        "WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n) "
        "SELECT id, 'words' AS text FROM n"
    )
    source = SqlSource(name="n", database=place, query=endless)
    with source.listing(bench.reader) as rows:
        first = next(rows)
    assert getattr(first, "uri", None) == "n/1"


async def test_what_is_no_value_of_metadata_is_named(bench: IngestBench, tmp_path: Path) -> None:
    run(place := str(tmp_path / "x.db"), "CREATE TABLE t (id, text)")
    run(place, "INSERT INTO t VALUES ('a', x'00'), ('b', 'words')")
    report = await bench.ingest(SqlSource(name="t", database=place, query="SELECT * FROM t"))
    assert report.added == ["t/b"]
    assert "The row 'a' of 't' has text = b'\\x00'" in report.failed[0].reason


async def test_a_database_that_is_not_there_is_an_error(
    bench: IngestBench, tmp_path: Path, socket_enabled: None
) -> None:
    with pytest.raises(InputError, match="No database at"):
        await bench.ingest(tickets(str(tmp_path / "nowhere.db")))
    (tmp_path / "text.db").write_text("no database " * 100)
    with pytest.raises(InputError, match="not a database"):
        await bench.ingest(tickets(str(tmp_path / "text.db")))
    with pytest.raises(InputError, match="PostgreSQL failed: ") as caught:
        await bench.ingest(tickets("postgresql://user:secret-word@127.0.0.1:1/x"))
    assert "secret-word" not in repr(caught.value)
    assert "secret-word" not in repr(tickets("postgresql://user:secret-word@127.0.0.1:1/x"))


def test_a_name_or_database_that_cannot_be_used_is_refused() -> None:
    for name, database in (("", "x"), ("a/b", "x"), ("a", "")):
        with pytest.raises(InputError, match="SqlSource has the name"):
            SqlSource(name=name, database=database, query="SELECT 1")
