"""The fixtures of the `IndexContract`, and the features that a store may leave out."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import ClassVar, Protocol

import pytest
from hypothesis import HealthCheck

from ragkit.core.protocols import Entry, Index
from ragkit.core.types import FieldType, IndexIdentity
from ragkit.testing.index_examples import FIELDS, IDENTITY

# All examples of a property use one index, each with documents of its own; and every store's suite
# inherits the same property.
SHARED = (HealthCheck.function_scoped_fixture, HealthCheck.differing_executors)


class MakeIndex(Protocol):
    """Makes new, empty indexes; the fixture closes them."""

    async def __call__(
        self, *, identity: IndexIdentity = IDENTITY, fields: Mapping[str, FieldType] = FIELDS
    ) -> Index:
        """A new index."""
        ...


class IndexFixtures(ABC):
    """The index under test; class attributes name the features that a store leaves out."""

    analyses_text: ClassVar[bool] = True
    """Words are stemmed, and stop words dropped, as the identity's language has it."""
    folds_accents: ClassVar[bool] = True
    """`cafe` finds `café`."""
    separates_statistics: ClassVar[bool] = True
    """A tenant's BM25 scores do not depend on what other tenants store."""

    leaves_orphans: ClassVar[bool] = True
    """A crash can leave chunks without a record."""

    @abstractmethod
    async def open_index(
        self, place: Path, identity: IndexIdentity, fields: Mapping[str, FieldType]
    ) -> Index:
        """Return a new, empty index; `place` is a path of its own where nothing is yet."""

    async def store_chunks(self, index: Index, entry: Entry) -> None:
        """Store an entry's chunks as a crash leaves them: without a record, and no lease on them.

        Override it where `leaves_orphans`.
        """
        raise NotImplementedError

    @pytest.fixture
    async def make_index(self, tmp_path: Path) -> AsyncIterator[MakeIndex]:
        """Makes indexes, and closes them after the test."""
        made: list[Index] = []

        async def make(
            *, identity: IndexIdentity = IDENTITY, fields: Mapping[str, FieldType] = FIELDS
        ) -> Index:
            place = tmp_path / f"index-{len(made)}"
            made.append(await self.open_index(place, identity, fields))
            return made[-1]

        yield make
        for index in made:
            await index.close()

    @pytest.fixture
    async def index(self, make_index: MakeIndex) -> Index:
        """An index of `IDENTITY` and `FIELDS`."""
        return await make_index()
