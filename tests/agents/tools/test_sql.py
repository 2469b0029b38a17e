import hashlib
import sqlite3
from collections.abc import Mapping
from pathlib import Path

import pytest

from ragkit.agents.tools.sql import sql
from ragkit.core.errors import InputError, ToolError
from ragkit.core.protocols import Tool
from ragkit.core.types import Json
from ragkit.testing.tool_contract import ToolContract


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Rivers and a secret."""
    path = tmp_path / "rivers of #1?.db"
    connection = sqlite3.connect(path)
    connection.executescript(
        "CREATE TABLE river (name TEXT, km INTEGER, map BLOB);"
        "INSERT INTO river VALUES ('Volga', 3530, x'00ff'), ('Danube', 2850, NULL);"
        "CREATE TABLE secret (word TEXT);"
        "INSERT INTO secret VALUES ('hidden');"
        "CREATE VIEW long_river AS SELECT name FROM river WHERE km > 3000;"
    )
    connection.close()
    return path


class TestSql(ToolContract):
    @pytest.fixture(autouse=True)
    def _open(self, database: Path) -> None:
        self.path = database

    def make_tool(self) -> Tool:
        return sql(self.path)

    def arguments(self) -> Mapping[str, Json]:
        return {"statement": "SELECT name FROM river"}


async def ask(tool: Tool, statement: str) -> Json:
    return (await tool.call({"statement": statement}, key="k")).value


async def test_rows_come_with_their_columns(database: Path) -> None:
    result = await sql(database).call({"statement": "SELECT * FROM river ORDER BY km"}, key="k")
    assert result.value == {
        "columns": ["name", "km", "map"],
        "rows": [["Danube", 2850, None], ["Volga", 3530, "(2 bytes)"]],
        "complete": True,
    }
    assert (
        result.text == "name | km | map\nDanube | 2850 | NULL\nVolga | 3530 | (2 bytes)\n(2 rows)"
    )


def test_the_model_is_told_the_tables(database: Path) -> None:
    description = sql(database).description
    assert "CREATE TABLE river (name TEXT, km INTEGER, map BLOB)" in description
    assert "CREATE VIEW long_river" in description
    assert "secret" not in sql(database, tables=["River"]).description


async def test_rows_beyond_the_cap_are_left_out_and_said_to_be(database: Path) -> None:
    made = sql(database, max_rows=3)
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {})"
    result = await made.call({"statement": f"{numbers.format(10**6)} SELECT i FROM n"}, key="k")
    assert result.value == {"columns": ["i"], "rows": [[1], [2], [3]], "complete": False}
    assert "the first 3 rows of more" in result.text
    exact = await ask(made, f"{numbers.format(3)} SELECT i FROM n")
    assert isinstance(exact, dict)
    assert exact["complete"] is True


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM river",
        "UPDATE river SET km = 1",
        "INSERT INTO river VALUES ('x', 1, NULL)",
        "INSERT INTO river VALUES ('x', 1, NULL) RETURNING name",
        "REPLACE INTO river VALUES ('x', 1, NULL)",
        "DROP TABLE river",
        "ALTER TABLE river ADD COLUMN x",
        "CREATE TABLE x (y)",
        "CREATE TEMP TABLE x (y)",
        "CREATE TEMP VIEW x AS SELECT 1",
        "CREATE VIRTUAL TABLE x USING fts5(y)",
        "CREATE INDEX i ON river (km)",
        "ATTACH DATABASE '{new}' AS x",
        "VACUUM INTO '{new}'",
        "VACUUM",
        "REINDEX",
        "ANALYZE",
        "PRAGMA writable_schema = ON",
        "PRAGMA journal_mode = DELETE",
        "PRAGMA table_info(river)",
        "SELECT * FROM pragma_table_info('river')",
        "BEGIN",
        "COMMIT",
        "SAVEPOINT x",
        "SELECT load_extension('x')",
        "SELECT LOAD_EXTENSION('x', 'y')",
        "SELECT fts3_tokenizer('x')",
        "SELECT writefile('{new}', 'x')",
        "SELECT 1; DELETE FROM river",
        "EXPLAIN DELETE FROM river",
        "WITH x AS (SELECT 1) DELETE FROM river",
        "",
        " ",
        "--",
        "SELECT",
        "\x00",
    ],
)
async def test_nothing_but_reading_is_allowed(database: Path, statement: str) -> None:
    before = hashlib.sha256(database.read_bytes()).hexdigest()
    new = database.with_name("new.db")
    with pytest.raises(ToolError):
        await ask(sql(database), statement.format(new=new))
    assert hashlib.sha256(database.read_bytes()).hexdigest() == before
    assert list(database.parent.iterdir()) == [database]


async def test_the_authorizer_refuses_before_the_file_mode_does(database: Path) -> None:
    for statement in ("DELETE FROM river", "ATTACH DATABASE ':memory:' AS x", "PRAGMA cache_size"):
        with pytest.raises(ToolError, match="Fix: use SELECT on the tables listed"):
            await ask(sql(database), statement)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT word FROM secret",
        "SELECT count(*) FROM secret",
        "SELECT name FROM river UNION SELECT word FROM secret",
        "SELECT (SELECT word FROM secret) FROM river",
        "SELECT x.word FROM main.secret AS x",
        "WITH river AS (SELECT word FROM secret) SELECT * FROM river",
        "SELECT sql FROM sqlite_master",
        'SELECT name FROM river WHERE EXISTS (SELECT 1 FROM "SECRET")',
    ],
)
async def test_other_tables_than_those_named_cannot_be_read(database: Path, statement: str) -> None:
    made = sql(database, tables=["river"])
    assert await ask(made, "SELECT count(*) FROM river") is not None
    with pytest.raises(ToolError, match="Fix: use SELECT on the tables listed"):
        await ask(made, statement)


@pytest.mark.parametrize("tables", [None, ["note", "river"]])
async def test_full_text_and_json_can_be_searched(database: Path, tables: list[str] | None) -> None:
    connection = sqlite3.connect(database)
    connection.executescript(
        "CREATE VIRTUAL TABLE note USING fts5(body); INSERT INTO note VALUES ('wolf and sheep'), "
        "('cat'); CREATE VIRTUAL TABLE hidden USING fts5(body); INSERT INTO hidden VALUES ('key');"
    )
    connection.close()
    made = sql(database, tables=tables)
    for statement, row in {
        "SELECT body FROM note WHERE note MATCH 'wolf' ORDER BY bm25(note)": ["wolf and sheep"],
        "SELECT sum(value) FROM river, json_each('[1, 2]')": [6],
    }.items():
        value = await ask(made, statement)
        assert isinstance(value, dict)
        assert value["rows"] == [row]
    for statement in ("SELECT * FROM hidden", "SELECT * FROM hidden_content"):
        if tables is not None:
            with pytest.raises(ToolError, match="Fix: use SELECT on the tables listed"):
                await ask(made, statement)
    for statement in ("INSERT INTO note VALUES ('x')", "INSERT INTO note(note) VALUES ('rebuild')"):
        with pytest.raises(ToolError, match="Fix: use SELECT on the tables listed"):
            await ask(made, statement)


@pytest.mark.parametrize(
    "statement",
    [
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000) "
        "SELECT count(*) FROM n a, n b, n c",
    ],
)
async def test_a_query_ends_in_time(database: Path, statement: str) -> None:
    with pytest.raises(ToolError, match=r"longer than 0\.2 s\. Fix: narrow it down"):
        await ask(sql(database, timeout_s=0.2), statement)


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("SELECT zeroblob(1000000000)", "too big"),
        ("SELECT replace(hex(zeroblob(90000)), '0', 'xxxx')", "too big"),
        ("SELECT printf('%.*c', 1000000000, 'x')", "function: printf"),
        ("SELECT format('%.*c', 1000000000, 'x')", "function: format"),
    ],
)
async def test_a_query_cannot_make_up_huge_values(
    database: Path, statement: str, message: str
) -> None:
    with pytest.raises(ToolError, match=message):
        await ask(sql(database), statement)


async def test_text_that_is_no_utf_8_is_shown_all_the_same(database: Path) -> None:
    value = await ask(sql(database), "SELECT CAST(x'61ff62' AS TEXT) AS t")
    assert isinstance(value, dict)
    assert value["rows"] == [["a\ufffdb"]]


def test_a_missing_database_or_table_is_refused(database: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        sql(tmp_path / "none.db")
    (tmp_path / "text.db").write_text("no database " * 100)
    with pytest.raises(InputError, match="is not a SQLite database"):
        sql(tmp_path / "text.db")
    with pytest.raises(InputError, match="no table 'lakes'"):
        sql(database, tables=["river", "lakes"])
