"""Neighbour expansion: the chunks before and after each hit, in the same document."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Unpack

from ragkit.core.operation import Operation
from ragkit.core.protocols import Index
from ragkit.core.types import Chunk, Hit, StageRank
from ragkit.retrieval.query import Query
from ragkit.retrieval.request import SearchOptions, SearchRequest
from ragkit.retrieval.results import Hits
from ragkit.retrieval.surroundings import Surroundings, ids_around
from ragkit.retrieval.wrapper import RetrieverWrapper

STAGE = "neighbours"


@dataclass(frozen=True, slots=True, kw_only=True)
class WithNeighbours(RetrieverWrapper):
    """Puts the chunks around each hit behind it, with its score and only the stage `neighbours`.

    So a search for `k` hits gives up to `k * (1 + 2 * reach)`. Neighbours are fetched by id, of the
    very version of the document that the hit belongs to.

    Attributes:
        index: The index that the hits come from.
        reach: Number of chunks before, and after, each hit; a hit with a window has its chunks too.
    """

    index: Index
    reach: int = 1

    async def search(self, query: str | Query, **options: Unpack[SearchOptions]) -> Hits:
        """Search as `Retriever.search` does; filter and tenant bind neighbours too."""
        found = await self.inner.search(query, **options)
        if not self.reach and all(hit.chunk.window is None for hit in found):
            return found
        request = SearchRequest.of(options, self.settings)
        with Operation(kind="search stage", name=STAGE) as timed:
            near = Surroundings(index=self.index, tenant=request.tenant, where=request.where)
            fetched = await near.around([hit.chunk for hit in found], reach=self.reach)
            allowed = {one.id: one for one in fetched}
            hits = list(self._expanded(found, allowed, request.tenant))
        before = found.explanation
        return Hits(hits, before and before.followed_by(STAGE, hits, timed.seconds))

    def _expanded(
        self, found: Sequence[Hit], allowed: Mapping[str, Chunk], tenant: str
    ) -> Iterator[Hit]:
        left = dict(allowed)
        for hit in found:
            yield hit
            near = ids_around(hit.chunk, self.reach, tenant=tenant)
            for chunk in (left.pop(item) for item in near if item in left):
                trace = {STAGE: StageRank(len(allowed) - len(left), hit.score)}
                yield Hit(chunk=chunk, score=hit.score, trace=trace)
