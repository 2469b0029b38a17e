"""The listing of sources ahead of their reading, so that their number is known early."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from ragkit.ingest.sources.file import FileSource
from ragkit.ingest.sources.source import DocumentSource
from ragkit.ingest.sources.stream import SourceStream

_AHEAD = 1000
"""Groups that are listed ahead at most."""


class Lookahead:
    """The groups of a stream; files are listed ahead, and whatever may hold texts is not.

    Attributes:
        complete: Whether everything has been listed.
    """

    def __init__(self, stream: SourceStream) -> None:
        """Prepare; nothing is listed yet."""
        self._stream = stream
        self.complete = False

    async def groups(self) -> AsyncGenerator[Sequence[DocumentSource]]:
        """Yield the groups of the stream, in its order; an error comes where it occurred."""
        listed: asyncio.Queue[Sequence[DocumentSource] | Exception] = asyncio.Queue(_AHEAD)
        task = asyncio.create_task(self._list(listed))
        try:
            while True:
                group = await listed.get()
                if isinstance(group, Exception):
                    raise group
                if not group:
                    return
                yield group
                listed.task_done()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _list(self, listed: "asyncio.Queue[Sequence[DocumentSource] | Exception]") -> None:
        """List groups, an empty one at the end."""
        try:
            async with aclosing(self._stream.groups()) as groups:
                async for group in groups:
                    await listed.put(group)
                    if not all(isinstance(source, FileSource) for source in group):
                        await listed.join()
        except Exception as error:  # noqa: BLE001 - an iterable of sources may raise anything
            await listed.put(error)
        else:
            self.complete = True
            await listed.put(())
