"""The chunks before and after a chunk in its document, for reading on."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ragkit.core.filters import Filter, passes
from ragkit.core.protocols import Index
from ragkit.core.types import DEFAULT_TENANT, Chunk, chunk_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """Reads the chunks around a chunk, of the very version of the document that it belongs to.

    Attributes:
        index: The index that the chunk comes from.
        tenant: The tenant that was searched.
        where: The filter of the search, which binds what is around too.
    """

    index: Index
    tenant: str = DEFAULT_TENANT
    where: Filter | None = None

    async def around(self, chunks: Sequence[Chunk], *, reach: int) -> list[Chunk]:
        """Return up to `reach` chunks before and after each, without the given ones."""
        known = {chunk.id for chunk in chunks}
        around = (ids_around(chunk, reach, tenant=self.tenant) for chunk in chunks)
        wanted = dict.fromkeys(itertools.chain.from_iterable(around))
        ids = [item for item in wanted if item not in known]
        fetched = await self.index.fetch(ids, tenant=self.tenant) if ids else []
        return [one for one in fetched if passes(one, self.where, self.index.fields)]


def ids_around(chunk: Chunk, reach: int, *, tenant: str) -> Iterator[str]:
    """Yield the ids of the chunks before and after one, and of its window, in reading order."""
    first, last = chunk.ordinal - reach, chunk.ordinal + reach
    if chunk.window is not None:
        first, last = min(first, chunk.window[0]), max(last, chunk.window[1])
    for ordinal in range(max(0, first), last + 1):
        if ordinal != chunk.ordinal:
            yield chunk_id(chunk.generation, ordinal, tenant=tenant)
