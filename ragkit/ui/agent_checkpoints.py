"""Checkpoints of agents' runs in a file: one that waits for a person outlives the process."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from ragkit.core.errors import InputError

if TYPE_CHECKING:
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver


class AgentCheckpoints:
    """LangGraph's checkpoints in a folder; everything is called on ragkit's loop."""

    def __init__(self, folder: Path) -> None:
        """Name the folder; it is made when first needed."""
        self._folder = folder
        self._opened: asyncio.Task[AsyncSqliteSaver] | None = None

    async def saver(self) -> "AsyncSqliteSaver":
        """Return the checkpoints, opened on first use.

        Raises:
            InputError: The folder cannot be written.
        """
        if self._opened is None or (self._opened.done() and self._opened.exception()):
            self._opened = asyncio.create_task(self._open())
        # A run that is stopped meanwhile does not leave a file half open.
        return await asyncio.shield(self._opened)

    async def _open(self) -> "AsyncSqliteSaver":
        import aiosqlite
        from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            connection = await aiosqlite.connect(self._folder / "checkpoints.sqlite")
            saver = AsyncSqliteSaver(connection)
            try:
                await saver.setup()
            except aiosqlite.Error:
                await connection.close()  # it has a thread, which would keep the process alive
                raise
        except (OSError, aiosqlite.Error) as error:
            raise InputError(
                f"Runs cannot be kept in {str(self._folder)!r}: {error}. "
                "Fix: give a folder that can be written with --data."
            ) from error
        return saver

    async def forget(self, thread: str) -> None:
        """Delete what is kept of a run that is over."""
        await (await self.saver()).adelete_thread(thread)

    async def close(self) -> None:
        """Close the file."""
        opened, self._opened = self._opened, None
        if opened is None:
            return
        await asyncio.wait([opened])
        if opened.exception() is None:
            await opened.result().conn.close()
