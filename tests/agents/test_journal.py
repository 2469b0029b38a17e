from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ragkit.agents import Journal, MemoryJournal, PostgresJournal, SQLiteJournal
from ragkit.agents.journal import CallOutcome, JournalEntry
from ragkit.core.errors import InputError, ProviderError
from ragkit.core.types import Citation, ToolResult

RESULT = ToolResult(
    text='{"a": [1, null]}',
    value={"a": [1, None], "big": 2**80, "name": "é🐺"},
    trimmed=True,
    citations=(Citation(chunk_id="c", uri="u", quote="q", start=1, end=2),),
)


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
async def journal(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Journal]:
    if request.param == "memory":
        yield MemoryJournal()
        return
    if request.param == "postgresql":
        async with PostgresJournal(request.getfixturevalue("postgres")) as opened:
            await opened.forget("")
            yield opened
        return
    async with SQLiteJournal(tmp_path / "journal.db") as opened:
        yield opened


async def test_a_call_is_done_once_its_outcome_is_known(journal: Journal) -> None:
    entry = JournalEntry(key="k1", tool="t", arguments="{}")
    assert await journal.begin(entry) is None
    assert await journal.begin(entry) == entry
    await journal.end("k1", CallOutcome(result=RESULT))
    assert await journal.begin(entry) == replace(entry, outcome=CallOutcome(result=RESULT))


async def test_a_failure_is_an_outcome(journal: Journal) -> None:
    entry = JournalEntry(key="k", tool="t", arguments="{}")
    await journal.begin(entry)
    await journal.end("k", CallOutcome(error="no such file"))
    known = await journal.begin(entry)
    assert known is not None
    assert known.outcome == CallOutcome(error="no such file")


async def test_entries_come_by_key(journal: Journal) -> None:
    for key in ("b", "a"):
        await journal.begin(JournalEntry(key=key, tool="t", arguments="{}"))
    assert [entry.key for entry in await journal.entries()] == ["a", "b"]


async def test_a_file_remembers_after_it_was_closed(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    async with SQLiteJournal(path) as first:
        await first.begin(JournalEntry(key="k", tool="t", arguments="{}"))
        await first.end("k", CallOutcome(result=RESULT))
    async with SQLiteJournal(path) as second:
        assert (await second.entries())[0].outcome == CallOutcome(result=RESULT)


async def test_the_calls_of_a_run_are_forgotten_and_those_of_others_are_kept(
    journal: Journal,
) -> None:
    for key in ("t:1:a:1.1", "t:1:a:2.1", "t:1:ab:1.1", "t%:1.1", "t_1"):
        await journal.begin(JournalEntry(key=key, tool="t", arguments="{}"))
    await journal.forget("t:1:a:")
    await journal.forget("t%")
    assert [entry.key for entry in await journal.entries()] == ["t:1:ab:1.1", "t_1"]


async def test_a_file_is_pruned_by_the_time_of_the_calls(tmp_path: Path) -> None:
    async with SQLiteJournal(tmp_path / "journal.db") as journal:
        await journal.begin(JournalEntry(key="old", tool="t", arguments="{}"))
        assert await journal.prune(before=datetime.now(UTC) - timedelta(hours=1)) == 0
        assert await journal.prune(before=datetime.now(UTC) + timedelta(hours=1)) == 1
        assert await journal.entries() == []


async def test_two_processes_share_a_journal_of_postgresql(postgres: str) -> None:
    async with PostgresJournal(postgres) as one, PostgresJournal(postgres) as other:
        await one.forget("")
        entry = JournalEntry(key="k", tool="t", arguments='{"text":"\\u0000é"}')
        began = [await journal.begin(entry) for journal in (one, other)]
        assert began == [None, entry]
        await one.end("k", CallOutcome(result=RESULT))
        assert (await other.entries())[0].outcome == CallOutcome(result=RESULT)
        assert await other.prune(before=datetime.now(UTC) - timedelta(seconds=60)) == 0
        assert await other.prune(before=datetime.now(UTC) + timedelta(seconds=60)) == 1


async def test_a_journal_that_cannot_be_reached_says_so() -> None:
    with pytest.raises(InputError, match="needs a URL"):
        PostgresJournal("journal.db")
    async with PostgresJournal("postgresql://ann:swordfish@127.0.0.1:1/db") as journal:
        with pytest.raises(ProviderError, match="PostgreSQL server failed") as caught:
            await journal.entries()
    assert "swordfish" not in str(caught.value)
