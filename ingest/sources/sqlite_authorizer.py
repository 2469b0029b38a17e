"""The authorizer of SQLite that allows what a query reads with, and nothing else.

The file is opened for reading only, which alone does not keep a query from `ATTACH` and `VACUUM
INTO`: they write other files.
"""

import sqlite3
from collections.abc import Mapping

_READS = frozenset(
    {
        sqlite3.SQLITE_SELECT,
        sqlite3.SQLITE_READ,
        sqlite3.SQLITE_FUNCTION,
        sqlite3.SQLITE_RECURSIVE,
    }
)
_WRITES: Mapping[int, str] = {
    sqlite3.SQLITE_INSERT: "INSERT",
    sqlite3.SQLITE_UPDATE: "UPDATE",
    sqlite3.SQLITE_DELETE: "DELETE",
}
_NAMES: Mapping[int, str] = {
    **_WRITES,
    sqlite3.SQLITE_ATTACH: "ATTACH or VACUUM",
    sqlite3.SQLITE_DETACH: "DETACH",
    sqlite3.SQLITE_FUNCTION: "the function",
    sqlite3.SQLITE_PRAGMA: "PRAGMA",
    sqlite3.SQLITE_TRANSACTION: "the transaction",
    sqlite3.SQLITE_SAVEPOINT: "SAVEPOINT",
}
_REFUSED_FUNCTIONS = frozenset({"load_extension", "fts3_tokenizer", "writefile", "edit"})
# Virtual tables ask for these of their own database, when they are connected.
_VIRTUAL_TABLE_PRAGMAS = frozenset({"data_version", "page_size"})
_RTREE_TABLES = ("_node", "_rowid", "_parent")


class ReadOnlyAuthorizer:
    """An authorizer for `sqlite3.Connection.set_authorizer`.

    Attributes:
        refused: The last action that was refused, for messages.
    """

    def __init__(self) -> None:
        """Begin with nothing refused."""
        self.refused: str | None = None

    def __call__(
        self, action: int, first: str | None, second: str | None, schema: str | None, _: str | None
    ) -> int:
        """Return SQLite's code for whether an action is allowed."""
        if self._is_allowed(action, first or "", second, schema):
            return sqlite3.SQLITE_OK
        name = second if action == sqlite3.SQLITE_FUNCTION else first
        self.refused = f"{_NAMES.get(action, 'a change of the schema')} {name!r}"
        return sqlite3.SQLITE_DENY

    def _is_allowed(self, action: int, first: str, second: str | None, schema: str | None) -> bool:
        if action == sqlite3.SQLITE_FUNCTION:
            return (second or "").lower() not in _REFUSED_FUNCTIONS
        if action == sqlite3.SQLITE_PRAGMA:
            return first in _VIRTUAL_TABLE_PRAGMAS and second is None
        if action in _WRITES and schema == "main":
            return _is_of_virtual_table(action, first)
        return action in _READS


def _is_of_virtual_table(action: int, table: str) -> bool:
    """Return whether a statement may be one that a virtual table prepares to be connected.

    SQLite declares its columns with an UPDATE of the schema, and an R-tree prepares its writes
    ahead. A query of this kind fails when it runs, since the file is opened for reading only.
    """
    is_declaration = action == sqlite3.SQLITE_UPDATE and table == "sqlite_master"
    return is_declaration or table.endswith(_RTREE_TABLES)
