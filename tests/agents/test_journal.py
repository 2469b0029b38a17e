from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver

from ragkit.agents import (
    Journal,
    MemoryJournal,
    PostgresJournal,
    SQLiteJournal,
    plan_and_execute,
    react,
    rewoo,
    run,
)
from ragkit.agents.journal import CallOutcome, JournalEntry
from ragkit.core.errors import InputError, ProviderError
from ragkit.core.types import Citation, ToolResult
from ragkit.testing.agents import RecordingTool
from ragkit.testing.llm import ScriptedLLM, random_replies

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


async def test_the_end_of_a_call_whose_run_is_over_is_not_recorded(journal: Journal) -> None:
    await journal.begin(JournalEntry(key="t:1:1.1", tool="t", arguments="{}"))
    await journal.forget("t:1:")
    await journal.end("t:1:1.1", CallOutcome(result=RESULT))
    assert await journal.entries() == []


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


def kept_for(keep: timedelta, kind: str, place: str) -> SQLiteJournal:
    """A journal of a kind at a place."""
    return (
        PostgresJournal(place, keep=keep)
        if kind == "postgresql"
        else SQLiteJournal(place, keep=keep)
    )


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_the_calls_of_a_run_that_is_over_are_deleted_when_their_time_has_come(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    place = str(tmp_path / "j.db") if kind == "sqlite" else request.getfixturevalue("postgres")
    over, waiting, alike = "thé:1:ab:", "thé:2:cd:", "thé:1:ab"
    async with kept_for(timedelta(days=7), kind, place) as journal:
        await journal.prune(before=datetime.now(UTC) + timedelta(days=1))
        for run in (over, waiting, alike):
            await journal.begin(JournalEntry(key=f"{run}1.1", tool="t", arguments="{}"))
        await journal.end_run(over)
        await journal.end_run(over)
        assert len(await journal.entries()) == 3
    async with kept_for(timedelta(0), kind, place) as journal:
        await journal.end_run("another:")
        assert {entry.key for entry in await journal.entries()} == {f"{waiting}1.1", f"{alike}1.1"}
        await journal.end_run(waiting)
        assert [entry.key for entry in await journal.entries()] == [f"{alike}1.1"]
        await journal.forget("")


@pytest.mark.parametrize("kind", ["memory", "sqlite", "postgresql"])
@pytest.mark.parametrize("make", [react, rewoo, plan_and_execute])
async def test_nothing_stays_of_runs_that_ended_and_all_of_one_that_waits(
    kind: str, make: Any, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    place = str(tmp_path / "j.db") if kind != "postgresql" else request.getfixturevalue("postgres")
    journal = MemoryJournal() if kind == "memory" else kept_for(timedelta(0), kind, place)
    send = RecordingTool(name="send", permission="approve")
    agent: Any = make(
        ScriptedLLM(random_replies(1)), [send], checkpointer=InMemorySaver(), journal=journal
    )
    look: Any = make(ScriptedLLM(random_replies(1)), [RecordingTool(name="look")], journal=journal)
    try:
        await journal.forget("")
        await run(look, "Q")
        assert await journal.entries() == []
        waiting = await run(agent, "Q", thread="t")
        assert (bool(waiting.pending)) == bool(await journal.entries())
    finally:
        if isinstance(journal, SQLiteJournal):
            await journal.close()


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
