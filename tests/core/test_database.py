import asyncio
import sqlite3
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ragkit.core.database import Database, DatabaseThread, Transaction
from ragkit.core.errors import InputError, ProviderError

SCHEMA = "CREATE TABLE IF NOT EXISTS rows (n INTEGER PRIMARY KEY)"
OPENS = (
    "import sys; from ragkit.core.database import Database; "
    f"Database(sys.argv[1], {SCHEMA!r}, exclusive=True).open()"
)


def numbers(database: Database) -> list[int]:
    with database.transaction() as db:
        return [n for (n,) in db.execute("SELECT n FROM rows ORDER BY n")]


def test_a_transaction_that_fails_leaves_nothing(tmp_path: Path) -> None:
    database = Database(tmp_path / "a" / "d.sqlite", SCHEMA)
    with pytest.raises(sqlite3.IntegrityError), database.transaction() as db:
        db.executemany("INSERT INTO rows VALUES (?)", [(1,), (1,)])
    with database.transaction() as db:
        db.execute("INSERT INTO rows VALUES (2)")
    assert numbers(database) == [2]
    database.close()
    assert numbers(database) == [2]
    database.close()


def test_a_reader_and_a_writer_of_another_process_do_not_wait_for_each_other(
    tmp_path: Path,
) -> None:
    file = tmp_path / "d.sqlite"
    mine, theirs = Database(file, SCHEMA), Database(file, SCHEMA)
    theirs.open()
    with mine.transaction() as writing:
        writing.execute("INSERT INTO rows VALUES (1)")
        with theirs.transaction(write=False) as reading:
            assert reading.execute("SELECT n FROM rows").fetchall() == []
    assert numbers(theirs) == [1]
    mine.close()
    theirs.close()


def test_a_file_that_another_process_holds_for_too_long_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ragkit.core.database._BUSY_S", 0)
    file = tmp_path / "d.sqlite"
    mine, theirs = Database(file, SCHEMA), Database(file, SCHEMA)
    theirs.open()
    with mine.transaction():
        with (
            pytest.raises(ProviderError, match=r"d\.sqlite.*locked.*Fix:") as caught,
            theirs.transaction(),
        ):
            pass
        assert caught.value.retryable
    assert numbers(theirs) == []
    mine.close()
    theirs.close()


def test_a_transaction_that_cannot_be_committed_does_not_block_the_next(tmp_path: Path) -> None:
    schema = (
        f"{SCHEMA}; CREATE TABLE IF NOT EXISTS more "
        "(n INTEGER REFERENCES rows (n) DEFERRABLE INITIALLY DEFERRED)"
    )
    database = Database(tmp_path / "d.sqlite", schema)
    with pytest.raises(sqlite3.IntegrityError), database.transaction() as db:
        db.execute("INSERT INTO more VALUES (1)")
    with database.transaction() as db:
        db.execute("INSERT INTO rows VALUES (2)")
    assert numbers(database) == [2]
    database.close()


def test_a_full_disk_and_a_value_that_cannot_be_stored_are_named(tmp_path: Path) -> None:
    database = Database(tmp_path / "d.sqlite", "CREATE TABLE IF NOT EXISTS texts (t TEXT)")
    with database.transaction() as db:
        db.execute("PRAGMA max_page_count = 4")
    with pytest.raises(ProviderError, match=r"full.*Fix: free"), database.transaction() as db:
        db.execute("INSERT INTO texts VALUES (?)", ("x" * 100_000,))
    with pytest.raises(InputError, match="cannot store"), database.transaction() as db:
        db.execute("INSERT INTO texts VALUES (?)", ("\ud800",))
    with database.transaction() as db:
        db.execute("INSERT INTO texts VALUES ('short')")
        assert db.execute("SELECT * FROM texts").fetchall() == [("short",)]
    database.close()


def test_an_empty_name_is_refused() -> None:
    with pytest.raises(InputError, match=r"is ''\. Fix: name a file"):
        Database("", SCHEMA)


def test_the_file_is_made_when_it_is_needed_and_is_its_owners(tmp_path: Path) -> None:
    file = tmp_path / "d.sqlite"
    database = Database(file, SCHEMA)
    assert not file.exists()
    database.open()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    database.close()


def test_an_exclusive_file_is_refused_to_another_process_until_it_is_closed(
    tmp_path: Path,
) -> None:
    file = tmp_path / "d.sqlite"
    database = Database(file, SCHEMA, exclusive=True)
    database.open()
    command = [sys.executable, "-c", OPENS, str(file)]
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "no other process holds" in refused.stderr
    database.close()
    assert subprocess.run(command, check=False).returncode == 0


@pytest.mark.parametrize("name", ["text.txt", "file/inside"])
def test_a_place_that_cannot_be_a_database_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "text.txt").write_text("no database " * 99)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot be opened.*Fix:"):
        Database(tmp_path / name, SCHEMA).open()


def test_a_damaged_file_is_named_with_its_fix(tmp_path: Path) -> None:
    file = tmp_path / "d.sqlite"
    database = Database(file, SCHEMA)
    with database.transaction() as db:
        db.executemany("INSERT INTO rows VALUES (?)", [(n,) for n in range(5000)])
    database.close()
    content = bytearray(file.read_bytes())
    content[3 * 4096 :] = b"\xa5" * (len(content) - 3 * 4096)
    file.write_bytes(content)
    with pytest.raises(InputError, match=r"is damaged: .*Fix: put a copy of it back"):
        numbers(database)
    database.close()


async def test_closing_waits_for_what_was_begun_and_refuses_what_comes_later(
    tmp_path: Path,
) -> None:
    database = Database(tmp_path / "d.sqlite", SCHEMA)
    thread, go_on = DatabaseThread(database), threading.Event()

    def insert(transaction: Transaction) -> None:
        go_on.wait(60)
        transaction.execute("INSERT INTO rows VALUES (1)")

    begun = asyncio.create_task(thread.transaction(insert))
    await asyncio.sleep(0)
    begun.cancel()  # the transaction goes on
    waiting = asyncio.create_task(thread.run(lambda: go_on.wait(60)))
    closing = asyncio.create_task(thread.close())
    await asyncio.sleep(0)
    go_on.set()
    await asyncio.gather(begun, waiting, closing, return_exceptions=True)
    await thread.close()
    assert numbers(Database(tmp_path / "d.sqlite", SCHEMA)) == [1]
    with pytest.raises(InputError, match=r"database is closed: .*Fix: use it before that"):
        await thread.run(lambda: None)
