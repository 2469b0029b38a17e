"""Checkpoints and journal in one file: resumed runs, other readers and writers, durability."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from ragkit.agents import Agent, SQLiteJournal, SQLiteRuns, approve, react, resume, run
from ragkit.agents.journal import JOURNAL_TABLES, JournalEntry
from ragkit.agents.sqlite_runs import SQLiteCheckpoints
from ragkit.core.database import Database, DatabaseThread
from ragkit.core.errors import InputError
from ragkit.core.types import Permission
from ragkit.testing.agents import RecordingTool, says_action, says_finish
from ragkit.testing.llm import ScriptedLLM


def asking(runs: SQLiteRuns, tool: RecordingTool, *replies: str) -> Agent:
    """An agent whose file keeps its runs."""
    llm = ScriptedLLM(replies)
    return react(llm, [tool], checkpointer=runs.checkpoints, journal=runs.journal)


async def test_a_run_that_waits_goes_on_in_another_process(tmp_path: Path) -> None:
    send = RecordingTool(name="send", permission="approve")
    async with SQLiteRuns(tmp_path / "new" / "runs.db") as runs:
        agent = asking(runs, send, says_action("", ("send", {"text": "é🐺"})))
        assert (await run(agent, "Q", thread="t")).stopped_by == "approval"
    async with SQLiteRuns(tmp_path / "new" / "runs.db") as runs:
        result = await resume(asking(runs, send, says_finish("Sent.")), "t", approve())
        assert result.answer == "Sent."
        assert [given for given, _ in send.calls] == [{"text": "é🐺"}]


async def test_threads_are_listed_followed_and_deleted(tmp_path: Path) -> None:
    async with SQLiteRuns(tmp_path / "runs.db") as runs:
        agent: Any = asking(runs, RecordingTool(name="look"), says_finish("ok"), says_finish("2"))
        for thread in ("a", "b"):
            await run(agent, "Q", thread=thread)
        config = {"configurable": {"thread_id": "a"}}
        states = [state async for state in agent.aget_state_history(config)]
        assert states[0].values["answer"] == "ok"
        assert len(states) > 2
        assert [one async for one in runs.checkpoints.alist(None, limit=1)]
        await runs.checkpoints.adelete_thread("a")
        assert [one async for one in agent.aget_state_history(config)] == []
        assert (await agent.aget_state({"configurable": {"thread_id": "b"}})).values[
            "answer"
        ] == "2"


def test_a_synchronous_graph_is_kept_too(tmp_path: Path) -> None:
    runs = SQLiteRuns(tmp_path / "runs.db")
    agent: Any = asking(
        runs,
        RecordingTool(name="look"),
        says_action("", ("look", {"text": "x"})),
        says_finish("ok"),
    )
    config: Any = {"configurable": {"thread_id": "a"}}
    assert agent.invoke({"question": "Q"}, config)["answer"] == "ok"
    assert agent.get_state(config).values["answer"] == "ok"
    assert len(list(agent.get_state_history(config))) > 2
    asyncio.run(runs.close())


async def test_two_writers_and_langgraph_s_own_saver_share_the_file(tmp_path: Path) -> None:
    path, look = tmp_path / "runs.db", RecordingTool(name="look")
    turns = [says_action("", ("look", {"text": "x"})), says_finish("ok")]
    async with SQLiteRuns(path) as one, SQLiteRuns(path) as other:
        both = [
            run(asking(runs, look, *turns), "Q", thread=name)
            for runs, name in ((one, "a"), (other, "b"))
        ]
        assert [result.answer for result in await asyncio.gather(*both)] == ["ok", "ok"]
        async with AsyncSqliteSaver.from_conn_string(str(path)) as saver:
            agent: Any = react(ScriptedLLM([]), [look], checkpointer=saver)
            state = await agent.aget_state({"configurable": {"thread_id": "b"}})
        assert state.values["answer"] == "ok"
        assert len({entry.key for entry in await one.journal.entries() if entry.tool}) == 2


@pytest.mark.parametrize(("permission", "waits"), [("read", 0), ("write", 1)])
async def test_only_the_beginning_of_a_call_that_writes_waits_for_the_disk(
    permission: Permission, waits: int, tmp_path: Path
) -> None:
    database = Database(tmp_path / "runs.db", JOURNAL_TABLES)
    thread, statements = DatabaseThread(database), list[str]()
    with database.alone() as connection:
        connection.set_trace_callback(statements.append)
    saver, journal = SQLiteCheckpoints(database, thread), SQLiteJournal(thread)
    tool = RecordingTool(name="save", permission=permission)
    llm = ScriptedLLM([says_action("", ("save", {"text": "x"})), says_finish("ok")])
    await run(react(llm, [tool], checkpointer=saver, journal=journal), "Q", thread="t")
    await journal.close()
    assert len(tool.calls) == 1
    assert statements.count("PRAGMA synchronous = FULL") == waits
    assert statements.count("PRAGMA synchronous = NORMAL") > 8


async def test_a_database_waits_for_the_disk_as_it_is_told(tmp_path: Path) -> None:
    database = Database(tmp_path / "d.db", "CREATE TABLE IF NOT EXISTS t (x)")
    found: list[int] = []
    for synced in (True, False, True):
        with database.transaction(synced=synced) as connection:
            found.append(connection.execute("PRAGMA synchronous").fetchone()[0])
    database.close()
    assert found == [2, 1, 2]


async def test_a_file_that_is_no_database_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "runs.db").write_text("not a database, " * 100)
    async with SQLiteRuns(tmp_path / "runs.db") as runs:
        agent = asking(runs, RecordingTool(name="look"), says_finish("ok"))
        with pytest.raises(InputError, match=r"runs\.db"):
            await run(agent, "Q", thread="t")
        with pytest.raises(InputError, match=r"runs\.db"):
            await runs.journal.begin(JournalEntry(key="k", tool="t", arguments="{}"))
