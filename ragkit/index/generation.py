"""The next generation of an index: built beside the one in use, and put in its place at once."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Protocol

from ragkit.core.errors import InputError
from ragkit.core.protocols import Index
from ragkit.core.settings import IndexSettings
from ragkit.core.types import DocumentRecord, FieldType, IndexIdentity, stable_id
from ragkit.index.build import MEMORY, REMOTE, folder, server_url


class NextGeneration(Protocol):
    """An index in use, and the one that is to take its place."""

    @property
    def current(self) -> Index:
        """The index in use."""
        ...

    @property
    def identity(self) -> IndexIdentity:
        """The parts that the next generation is built with."""
        ...

    @property
    def fields(self) -> Mapping[str, FieldType]:
        """The filterable fields of the next generation."""
        ...

    async def following(self) -> Index:
        """Return the one that is built, made if missing.

        What an earlier run stored in it, which broke off, is there.
        """
        ...

    async def snapshot(self) -> tuple[str, list[DocumentRecord]]:
        """Return the records of the index in use, of all tenants, with a text for this moment.

        It is another text after each document that was stored or deleted since.
        """
        ...

    async def switch(self, moment: str) -> bool:
        """Put the new generation in the place of the old one, unless that was written since.

        Args:
            moment: Of the snapshot whose documents the new generation has, all and no others.

        A crash at any point leaves the one or the other in use.
        """
        ...


@asynccontextmanager
async def next_generation(
    settings: IndexSettings, wanted: IndexIdentity, *, divided_by: str
) -> AsyncGenerator[NextGeneration]:
    """Open an index with the next generation of it, and close both.

    What was built for other settings, and was broken off, is removed.

    Args:
        settings: Of the index; the declared fields take the place of those that are stored.
        wanted: The parts to build it with.
        divided_by: The identity of the chunker.

    Raises:
        InputError: The index is of a kind that cannot be built again.
        IndexMissing: There is no index.
        IndexMismatch: It has another layout, or is not one of ragkit's.
        IndexLocked: Another process is building it again.
    """
    if settings.location == MEMORY:
        raise InputError("An index in memory is not built again. Fix: ingest its documents again.")
    if settings.location.startswith(REMOTE):
        raise InputError(
            f"The index at {settings.location!r} is another server's. Fix: run ragkit reindex "
            "where its folder is, with the settings of that server."
        )
    parts = [*asdict(wanted).values(), divided_by, settings.quantization, dict(settings.fields)]
    name = stable_id(*map(str, parts))[:13]
    if url := server_url(settings.location):
        from ragkit.index.server_generation import ServerGeneration

        at_url = settings.model_copy(update={"location": url})
        async with ServerGeneration.opened(at_url, wanted, name=name) as on_server:
            yield on_server
        return
    from ragkit.index.edge_generation import EdgeGeneration

    async with EdgeGeneration.opened(
        folder(settings.location), wanted, settings=settings, name=name
    ) as generation:
        yield generation
