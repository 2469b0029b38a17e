"""The loading of documents, in processes of their own or in this one."""

import asyncio
from collections.abc import Callable
from typing import TypeGuard, cast

from ragkit.core.types import Document
from ragkit.ingest.preparation import ReadSource
from ragkit.ingest.sources.source import LoadCall
from ragkit.ingest.workers.process import ParserLimits, ParserProcess

_OWN = "ragkit.ingest.loaders."
_TEXT = frozenset(
    f"{_OWN}{name}"
    for name in (
        *("text", "markdown", "restructured_text", "asciidoc", "source_code"),
        *("subtitles", "csv_table", "json_records", "notebook"),
    )
)
"""Modules of loaders that are Python alone and take time in proportion to the text."""
SMALL = 256 * 1024
"""Bytes of such a text up to which it is loaded here, faster than it is handed over."""


class ParserPool:
    """Loads documents with ragkit's own loaders in up to `workers` processes.

    Processes start when there is something to load. Small texts, documents made in code and loaders
    of other packages are left to the caller's process, where no limits hold.
    """

    def __init__(self, *, workers: int = 0, limits: ParserLimits | None = None) -> None:
        """Configure the pool; nothing is started yet."""
        self.workers = workers
        self._limits = limits or ParserLimits()
        self._room = asyncio.Semaphore(max(1, workers))
        self._idle: list[ParserProcess] = []
        self._all: set[ParserProcess] = set()

    def takes(self, load: Callable[[], Document]) -> TypeGuard[LoadCall]:
        """Return whether a document is loaded by a process of the pool."""
        if not self.workers or not is_own_loader(load):
            return False
        return not (type(load.loader).__module__ in _TEXT and len(load.data) <= SMALL)

    async def load(self, read: ReadSource) -> Document:
        """Load a document that the pool takes.

        Raises:
            InputError: The document cannot be loaded within its limits.
            RagkitError: The loader needs a setting or a package, or no process can be started.
        """
        async with self._room:
            process = self._idle.pop() if self._idle else await ParserProcess.start(self._limits)
            self._all.add(process)
            try:
                return await process.load(cast("LoadCall", read.opened.load))
            finally:
                if process.is_usable:
                    self._idle.append(process)
                else:
                    self._all.discard(process)

    async def close(self) -> None:
        """End the processes."""
        processes, self._all, self._idle = self._all, set(), []
        await asyncio.gather(*(process.close() for process in processes))


def is_own_loader(load: Callable[[], Document]) -> TypeGuard[LoadCall]:
    """Return whether a document is loaded by one of ragkit's loaders, which any process has.

    A caller's own class may stand in a script or a notebook, which others cannot import.
    """
    return isinstance(load, LoadCall) and type(load.loader).__module__.startswith(_OWN)
