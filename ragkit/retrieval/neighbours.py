"""Neighbour expansion: the chunks before and after each hit, in the same document."""

import time
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass

from ragkit.core.filters import Filter, parse_filter, passes
from ragkit.core.protocols import Index
from ragkit.core.types import DEFAULT_TENANT, Chunk, Hit, StageRank
from ragkit.retrieval.hybrid import BOTH, Hits, Leg
from ragkit.retrieval.protocol import Wrapper
from ragkit.retrieval.query import Query

STAGE = "neighbours"


@dataclass(frozen=True, slots=True, kw_only=True)
class WithNeighbours(Wrapper):
    """Puts the chunks around each hit behind it, with its score and only the stage `neighbours`.

    So a search for `k` hits gives up to `k * (1 + 2 * reach)`. The chunks of each hit's whole
    document are read for it.

    Attributes:
        index: Where the hits come from.
        reach: How many chunks before, and how many after each hit.
    """

    index: Index
    reach: int = 1

    async def search(
        self,
        query: str | Query,
        *,
        k: int | None = None,
        where: Filter | str | None = None,
        tenant: str = DEFAULT_TENANT,
        legs: Sequence[Leg] = BOTH,
        explain: bool = False,
    ) -> Hits:
        """See `HybridRetriever.search`; filter and tenant bind neighbours too."""
        found = await self.inner.search(
            query, k=k, where=where, tenant=tenant, legs=legs, explain=explain
        )
        started = time.perf_counter()
        uris = list(dict.fromkeys(hit.chunk.uri for hit in found))
        chunks = await self.index.chunks(uris, tenant=tenant) if uris else []
        hits = list(self._expanded(found, _in_order(chunks), self._allowed(chunks, where)))
        before, seconds = found.explanation, time.perf_counter() - started
        return Hits(hits, before and before.followed_by(STAGE, hits, seconds))

    def _allowed(self, chunks: Sequence[Chunk], where: Filter | str | None) -> set[str]:
        condition = parse_filter(where) if isinstance(where, str) else where
        return {one.id for one in chunks if passes(one, condition, self.index.fields)}

    def _expanded(
        self, found: Sequence[Hit], documents: Mapping[str, list[Chunk]], allowed: Set[str]
    ) -> Iterator[Hit]:
        shown = {hit.chunk.id for hit in found}
        rank = 0
        for hit in found:
            yield hit
            for chunk in self._around(hit.chunk, documents.get(hit.chunk.uri, [])):
                if chunk.id in allowed and chunk.id not in shown:
                    shown.add(chunk.id)
                    rank += 1
                    trace = {STAGE: StageRank(rank, hit.score)}
                    yield Hit(chunk=chunk, score=hit.score, trace=trace)

    def _around(self, chunk: Chunk, document: Sequence[Chunk]) -> list[Chunk]:
        places = (place for place, other in enumerate(document) if other.id == chunk.id)
        place = next(places, None)
        if place is None:
            return []
        first = max(0, place - self.reach)
        return [*document[first:place], *document[place + 1 : place + 1 + self.reach]]


def _in_order(chunks: Sequence[Chunk]) -> dict[str, list[Chunk]]:
    """Chunks of each document in reading order."""
    documents: dict[str, list[Chunk]] = {}
    for chunk in sorted(chunks, key=lambda chunk: (chunk.start, chunk.end)):
        documents.setdefault(chunk.uri, []).append(chunk)
    return documents
