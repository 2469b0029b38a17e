"""`sql`: read-only queries of a SQLite database."""

import contextlib
import functools
import sqlite3
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from ragkit.agents.tools.function import tool
from ragkit.agents.tools.function.runner import tool_result, trimmed
from ragkit.core.errors import InputError, ToolError
from ragkit.core.protocols import Tool
from ragkit.core.types import Json, ToolResult

_MAX_CHARACTERS = 2000
_MAX_SCHEMA_CHARACTERS = 4000
_STEPS_BETWEEN_CHECKS = 200
_ALLOWED = frozenset(
    {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
)
_DENIED_FUNCTIONS = frozenset(
    {
        "load_extension", "fts3_tokenizer", "readfile", "writefile", "edit",
        "printf", "format",  # a width of a billion keeps them busy and no time limit ends that
    }
)  # fmt: skip
_TABLE_FUNCTIONS = frozenset({"json_each", "json_tree"})
_VIRTUAL = "SELECT name FROM sqlite_master WHERE sql LIKE 'CREATE VIRTUAL TABLE%'"
_ENGINE_LIMITS = {
    sqlite3.SQLITE_LIMIT_LENGTH: 200_000,  # some functions take quadratic time in it
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 100_000,
    sqlite3.SQLITE_LIMIT_COLUMN: 200,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 100,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 50,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 200,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _SqliteDatabase:
    """A database file and the tables that may be read; all of them if `tables` is None."""

    uri: str
    tables: frozenset[str] | None
    max_rows: int
    timeout_s: float

    def connect(self) -> sqlite3.Connection:
        """Open a read-only connection."""
        connection = sqlite3.connect(self.uri, uri=True, timeout=self.timeout_s)
        connection.text_factory = functools.partial(str, encoding="utf-8", errors="replace")
        for limit, value in _ENGINE_LIMITS.items():
            connection.setlimit(limit, value)
        ends = time.monotonic() + self.timeout_s
        connection.set_progress_handler(lambda: int(time.monotonic() > ends), _STEPS_BETWEEN_CHECKS)
        return connection

    def authorize(
        self, action: int, first: str | None, second: str | None, *, virtual: Collection[str] = ()
    ) -> bool:
        """Return True if a statement may do this; `virtual` names the virtual tables."""
        if action == sqlite3.SQLITE_FUNCTION:
            return (second or "").lower() not in _DENIED_FUNCTIONS
        if action == sqlite3.SQLITE_PRAGMA:
            return first == "data_version"  # the full-text index asks for it
        if action == sqlite3.SQLITE_READ and self.tables is not None:
            table = (first or "").lower()
            own = (f"{name}_" for name in virtual if name in self.tables)
            return table in self.tables | _TABLE_FUNCTIONS or table.startswith(tuple(own))
        return action in _ALLOWED

    def query(self, statement: str) -> tuple[list[str], list[list[Json]], bool]:
        """Run a statement; return columns, rows, and True if there are more rows."""
        with contextlib.closing(self.connect()) as connection:
            virtual = _connected_tables(connection)

            def decide(action: int, first: str | None, second: str | None, *_: object) -> int:
                allowed = self.authorize(action, first, second, virtual=virtual)
                return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY

            connection.set_authorizer(decide)
            cursor = connection.execute(statement)
            if cursor.description is None:
                raise ToolError("The statement returns no rows. Fix: use SELECT.")
            rows = cursor.fetchmany(self.max_rows + 1)
        columns = [str(column[0]) for column in cursor.description]
        plain = [[_cell(value) for value in row] for row in rows[: self.max_rows]]
        return columns, plain, len(rows) > self.max_rows

    def schema(self) -> str:
        """Return the statements that created the tables and views."""
        with contextlib.closing(self.connect()) as connection:
            created = connection.execute(
                "SELECT name, sql FROM sqlite_master WHERE type IN ('table', 'view') "
                "AND sql IS NOT NULL AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name"
            ).fetchall()
        known = {str(name).lower() for name, _ in created}
        if self.tables is not None and (missing := sorted(self.tables - known)):
            raise InputError(
                f"The database has no table {missing[0]!r}; it has {', '.join(sorted(known))}."
            )
        wanted = known if self.tables is None else self.tables
        return "\n".join(str(sql) for name, sql in created if str(name).lower() in wanted)


def _connected_tables(connection: sqlite3.Connection) -> frozenset[str]:
    # For the authorizer, connecting a virtual table is a change of the schema, so the tables are
    # connected before it is set.
    names = [str(name) for (name,) in connection.execute(_VIRTUAL)]
    quoted = ['"' + name.replace('"', '""') + '"' for name in names]
    for table in (*quoted, *_TABLE_FUNCTIONS):
        with contextlib.suppress(sqlite3.Error):  # of a missing module
            connection.execute(f"SELECT 1 FROM {table} LIMIT 0")
    return frozenset(name.lower() for name in names)


def sql(
    path: str | Path,
    *,
    tables: Collection[str] | None = None,
    max_rows: int = 50,
    timeout_s: float = 5.0,
    max_chars: int = 8000,
) -> Tool:
    """Make a tool that queries a SQLite file.

    The file is opened read-only, and the engine's authorizer refuses every action but reading.
    The definitions of the tables are part of the tool's description. Values of more than 200,000
    bytes cannot be read.

    Args:
        path: The database.
        tables: The tables and views that may be read; None for all. A view also needs the
            tables that it reads from.
        max_rows: Maximum rows of a result.
        timeout_s: Maximum seconds of a query.
        max_chars: Maximum length of the text that the model is shown.

    Raises:
        InputError: The database or a table does not exist.
    """
    if not Path(path).is_file():
        raise InputError(f"The database {str(path)!r} does not exist.")
    database = _SqliteDatabase(
        uri=f"{Path(path).resolve().as_uri()}?mode=ro",
        tables=None if tables is None else frozenset(name.lower() for name in tables),
        max_rows=max_rows,
        timeout_s=timeout_s,
    )
    try:
        schema = trimmed(database.schema(), _MAX_SCHEMA_CHARACTERS)[0]
    except sqlite3.Error as error:
        raise InputError(f"{str(path)!r} is not a SQLite database: {error}") from error

    @tool(
        description=f"{_DESCRIPTION}\nThe tables:\n{schema}",
        timeout_s=timeout_s + 2,
        max_chars=max_chars,
    )
    def sql(statement: Annotated[str, Field(min_length=1, max_length=_MAX_CHARACTERS)]) -> object:
        """Query a SQLite database.

        Args:
            statement: One SELECT statement in SQLite's dialect.
        """
        return _answer(database, statement, max_chars)

    return sql


_DESCRIPTION = (
    "Query a SQLite database, which cannot be changed. Returns an object with columns, rows (a "
    "list of lists) and complete, which is false if there are more rows than given."
)


def _answer(database: _SqliteDatabase, statement: str, max_chars: int) -> ToolResult:
    try:
        columns, rows, more = database.query(statement)
    except (sqlite3.Error, sqlite3.Warning, ValueError, OverflowError) as error:
        raise ToolError(_failure(error, database.timeout_s)) from error
    return tool_result(
        {"columns": columns, "rows": rows, "complete": not more},
        max_chars=max_chars,
        text=_table(columns, rows, more=more),
    )


def _failure(error: Exception, timeout_s: float) -> str:
    message = str(error)
    if message == "interrupted":
        return f"The query took longer than {timeout_s:g} s. Fix: narrow it down."
    if message == "not authorized" or "prohibited" in message:
        return f"Not allowed ({message}). Fix: use SELECT on the tables listed."
    return f"The query failed: {message}"


def _table(columns: Sequence[str], rows: Sequence[Sequence[Json]], *, more: bool) -> str:
    lines = [" | ".join("NULL" if cell is None else str(cell) for cell in row) for row in rows]
    end = (
        f"(the first {len(rows)} rows of more; aggregate, or use LIMIT and OFFSET)"
        if more
        else f"({len(rows)} rows)"
    )
    return "\n".join([" | ".join(columns), *lines, end])


def _cell(value: object) -> Json:
    if isinstance(value, bytes):
        return f"({len(value)} bytes)"
    return value if isinstance(value, str | int | float) else None
