"""Neighbour expansion: the chunks before and after each hit, in the same document."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Unpack

from ragkit.core.filters import passes
from ragkit.core.protocols import Index
from ragkit.core.types import Chunk, Hit, StageRank, chunk_id
from ragkit.retrieval.query import Query
from ragkit.retrieval.request import SearchOptions, SearchRequest
from ragkit.retrieval.results import Hits
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
        request = SearchRequest.of(options, self.settings)
        found = await self.inner.search(query, **options)
        started = time.perf_counter()
        shown = {hit.chunk.id for hit in found}
        wanted = dict.fromkeys(item for hit in found for item in self._around(hit.chunk))
        ids = [item for item in wanted if item not in shown]
        fetched = await self.index.fetch(ids, tenant=request.tenant) if ids else []
        fields = self.index.fields
        allowed = {one.id: one for one in fetched if passes(one, request.where, fields)}
        hits = list(self._expanded(found, allowed))
        before, seconds = found.explanation, time.perf_counter() - started
        return Hits(hits, before and before.followed_by(STAGE, hits, seconds))

    def _around(self, chunk: Chunk) -> Iterator[str]:
        first, last = chunk.ordinal - self.reach, chunk.ordinal + self.reach
        if chunk.window is not None:
            first, last = min(first, chunk.window[0]), max(last, chunk.window[1])
        for ordinal in range(max(0, first), last + 1):
            if ordinal != chunk.ordinal:
                yield chunk_id(chunk.generation, ordinal)

    def _expanded(self, found: Sequence[Hit], allowed: Mapping[str, Chunk]) -> Iterator[Hit]:
        left = dict(allowed)
        for hit in found:
            yield hit
            for chunk in (left.pop(item) for item in self._around(hit.chunk) if item in left):
                trace = {STAGE: StageRank(len(allowed) - len(left), hit.score)}
                yield Hit(chunk=chunk, score=hit.score, trace=trace)
