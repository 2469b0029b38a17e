"""Checkpoints and journal of runs in one file of SQLite, over one connection."""

import sqlite3
from collections.abc import AsyncIterator, Generator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    DeltaChannelHistory,
)

from ragkit.agents.journal import JOURNAL_TABLES, KEEP, SQLiteJournal
from ragkit.core.database import Database, DatabaseThread
from ragkit.core.errors import MissingExtraError

try:
    from langgraph.checkpoint.sqlite import SqliteSaver
except ImportError as error:
    raise MissingExtraError("langgraph-checkpoint-sqlite", extra="agents") from error


class SQLiteCheckpoints(SqliteSaver):
    """LangGraph's checkpoints in a file of SQLite, for synchronous and asynchronous graphs.

    A checkpoint survives the end of the process at once. It does not wait for the disk: after a
    power failure the latest may be missing, and a run goes on from the one before.
    """

    def __init__(self, database: Database, thread: DatabaseThread) -> None:
        """Keep checkpoints in a database, whose file is opened when it is first needed."""
        super().__init__(None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # set later
        self._database = database
        self._thread = thread

    @contextmanager
    def cursor(self, transaction: bool = True) -> Generator[sqlite3.Cursor]:
        """Run statements as one transaction, which writes if `transaction`."""
        with self.lock:
            if not self.is_setup:
                with self._database.alone() as self.conn:
                    self.setup()
            with (
                self._database.transaction(write=transaction, synced=False) as self.conn,
                closing(self.conn.cursor()) as cursor,
            ):
                yield cursor

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """See `BaseCheckpointSaver`."""
        return await self._thread.run(lambda: self.get_tuple(config))

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002  # LangGraph's name
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """See `BaseCheckpointSaver`."""
        found = self.list(config, filter=filter, before=before, limit=limit)
        for one in await self._thread.run(lambda: [*found]):
            yield one

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """See `BaseCheckpointSaver`."""
        return await self._thread.run(lambda: self.put(config, checkpoint, metadata, new_versions))

    async def aput_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """See `BaseCheckpointSaver`."""
        await self._thread.run(lambda: self.put_writes(config, writes, task_id, task_path))

    async def adelete_thread(self, thread_id: str) -> None:
        """See `BaseCheckpointSaver`."""
        await self._thread.run(lambda: self.delete_thread(thread_id))

    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """See `BaseCheckpointSaver`."""
        return await self._thread.run(
            lambda: self.get_delta_channel_history(config=config, channels=channels)
        )


class SQLiteRuns:
    """The checkpoints and the journal of an agent's runs in one file of SQLite.

    Both share a connection and the thread that works on it.

    Attributes:
        checkpoints: For the option `checkpointer`.
        journal: For the option `journal`.
    """

    def __init__(self, file: str | Path, *, keep: timedelta = KEEP) -> None:
        """Set the path; the file is created when first needed.

        Args:
            file: The path.
            keep: Time after the end of a run for which its journal is kept; see `SQLiteJournal`.
        """
        database = Database(file, JOURNAL_TABLES)
        self._thread = DatabaseThread(database)
        self.checkpoints = SQLiteCheckpoints(database, self._thread)
        self.journal = SQLiteJournal(self._thread, keep=keep)

    async def __aenter__(self) -> Self:
        """Return the object; leaving the block closes it."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close."""
        await self.close()

    async def close(self) -> None:
        """Close the file; safe to call twice."""
        await self._thread.close()
