"""An `AsyncRAG` with settings of its own over the index and the models of another one."""

from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from ragkit.core.protocols import LLM, Index, LegQuery, Legs, Reranker
from ragkit.core.settings import Settings
from ragkit.core.types import FloatArray
from ragkit.core.vectors import unit
from ragkit.sdk import AsyncRAG


class SharedRAG(AsyncRAG):
    """Searches and answers by other settings; never opens the index or loads a model again."""

    def __init__(
        self,
        base: AsyncRAG,
        settings: Settings,
        *,
        reranker: Reranker | None = None,
        llm: LLM | None = None,
        prefix: "DensePrefix | None" = None,
    ) -> None:
        """Share the parts of `base`.

        Args:
            base: Owner of index and embedder.
            settings: Choices of search and answers.
            reranker: The reranker, where one is wanted.
            llm: The language model, where one is set.
            prefix: Rank the dense leg by a prefix of the vectors.
        """
        super().__init__(
            settings,
            embedder=base.embedder,
            reranker=reranker,
            llm=llm,
        )
        self._base, self._prefix = base, prefix

    async def index(self, *, create: bool = False) -> Index:
        """Return the shared index."""
        index = await self._base.index(create=create)
        if self._prefix is None:
            return index
        # It forwards what it does not define.
        return cast("Index", PrefixIndex(index, self._prefix))

    async def close(self) -> None:
        """Do nothing: the parts belong to `base`."""


class PassageVectors:
    """Vectors of passages by chunk id, read when first needed and kept."""

    def __init__(self, *, size: int = 20_000) -> None:
        """Keep at most `size` vectors."""
        self._size = size
        self._kept: dict[str, FloatArray] = {}

    async def of(self, index: Index, ids: list[str], tenant: str) -> dict[str, FloatArray]:
        """Return the whole vectors of these chunks; ids of no chunk are left out."""
        missing = [item for item in ids if item not in self._kept]
        if missing:
            found = [chunk.id for chunk in await index.fetch(missing, tenant=tenant)]
            rows = await index.vectors(found, tenant=tenant)
            if len(self._kept) + len(found) > self._size:
                self._kept.clear()
            self._kept.update(zip(found, rows, strict=True))
        return {item: self._kept[item] for item in ids if item in self._kept}


@dataclass(frozen=True, slots=True, kw_only=True)
class DensePrefix:
    """The first `dimensions` of vectors."""

    vectors: PassageVectors
    dimensions: int


class PrefixIndex:
    """An index whose dense candidates are ranked by the first dimensions of their vectors."""

    def __init__(self, inner: Index, prefix: DensePrefix) -> None:
        """Rank what `inner` finds by a prefix."""
        self._inner, self._vectors, self._dimensions = inner, prefix.vectors, prefix.dimensions

    def __getattr__(self, name: str) -> Any:  # Any: the attributes of an index
        """Forward everything else."""
        return getattr(self._inner, name)

    async def search(self, query: LegQuery) -> Legs:
        """Search as `inner` does, then rank its dense candidates again."""
        legs = await self._inner.search(query)
        if query.vector is None or not legs.dense:
            return legs
        ids = [item for item, _ in legs.dense]
        vectors = await self._vectors.of(self._inner, ids, query.tenant)
        asked = unit(query.vector[: self._dimensions])
        scores = {
            item: float(np.dot(unit(vector[: self._dimensions]), asked))
            for item, vector in vectors.items()
        }
        ranked = sorted(scores.items(), key=lambda pair: -pair[1])
        return Legs(dense=tuple(ranked), bm25=legs.bm25, chunks=legs.chunks)
