"""The next generation of an embedded index, in a folder within its own.

One process builds it; it has the file `ragkit.rebuild` locked. The index stays in use meanwhile, by
any number of processes. What takes its place is one renamed folder, while the index's lock is held;
whoever opens the index after a crash finishes the move.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

from ragkit.core.errors import IndexLocked, IndexMissing
from ragkit.core.settings import IndexSettings
from ragkit.core.types import DocumentRecord, IndexIdentity
from ragkit.index import edge_folder
from ragkit.index.edge import EdgeIndex
from ragkit.index.folder_lock import holder_of, sole
from ragkit.index.validation import check_fields

_LOCK = "ragkit.rebuild"


class EdgeGeneration:
    """An embedded index, and the one in a folder within its own that is to take its place."""

    def __init__(
        self, current: EdgeIndex, folder: Path, identity: IndexIdentity, *, settings: IndexSettings
    ) -> None:
        """Name both; use `EdgeGeneration.opened`."""
        self.current = current
        self.identity = identity
        self.fields = check_fields({**current.fields, **settings.fields})
        self._folder, self._settings = folder, settings
        self._following: EdgeIndex | None = None

    @classmethod
    @asynccontextmanager
    async def opened(
        cls, path: Path, identity: IndexIdentity, *, settings: IndexSettings, name: str
    ) -> AsyncGenerator[Self]:
        """Open the index in a folder with its next generation of this name, and close both.

        Raises:
            IndexMissing: There is no index.
            IndexLocked: Another process is building it again.
        """
        if not edge_folder.exists(path):
            raise IndexMissing(str(path))
        with sole(path / _LOCK) as lock:
            if lock is None:
                raise IndexLocked(
                    f"The index at {str(path)!r} is being built again by "
                    f"{holder_of(path / _LOCK) or 'another process'}. Fix: wait for its end."
                )
            current = await EdgeIndex.open_as_stored(path, wait_s=settings.wait_s)
            folder = edge_folder.generation_folder(path, name)
            generation = cls(current, folder, identity, settings=settings)
            try:
                yield generation
            finally:
                await generation._close()
                await current.close()

    async def following(self) -> EdgeIndex:
        """Return the one that is built, made if missing."""
        if self._following is None:
            self._following = await EdgeIndex.open(
                self._folder,
                self.identity,
                fields=self.fields,
                quantization=self._settings.quantization,
                wait_s=self._settings.wait_s,
            )
        return self._following

    async def snapshot(self) -> tuple[str, list[DocumentRecord]]:
        """Return the records of the index in use, after the count of the writes to it."""
        moment = str(edge_folder.read_writes(self._folder.parent).total)
        return moment, await self.current.records(tenant=None)

    async def switch(self, moment: str) -> bool:
        """Put the new generation in the place of the old one, unless that was written since."""
        await self._close()
        return await asyncio.to_thread(self._switched, moment)

    def _switched(self, moment: str) -> bool:
        path = self._folder.parent
        with edge_folder.translated(path), self.current.holding_folder():
            if str(edge_folder.read_writes(path).total) != moment:
                return False
            edge_folder.take_generation(path, self._folder)
        return True

    async def _close(self) -> None:
        if self._following is not None:
            await self._following.close()
            self._following = None
