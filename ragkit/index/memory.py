"""The store for notebooks and tests: numpy and rank-bm25, nothing on disk, exact search."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from rank_bm25 import BM25Okapi

from ragkit.core.errors import InputError
from ragkit.core.filters import passes
from ragkit.core.protocols import Entry, LegQuery, Legs
from ragkit.core.text import terms
from ragkit.core.types import (
    DEFAULT_TENANT,
    Chunk,
    DocumentRecord,
    FieldType,
    FloatArray,
    IndexIdentity,
)
from ragkit.index.layout import check_entries, check_fields, check_leg_query


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stored:
    """A chunk of a tenant with its vector and its words."""

    chunk: Chunk
    generation: str
    vector: FloatArray | None
    words: list[str]


class MemoryIndex:
    """Chunks in this process's memory; the reference that the other stores are held to."""

    def __init__(
        self, identity: IndexIdentity, *, fields: Mapping[str, FieldType] | None = None
    ) -> None:
        """Start empty."""
        self._identity = identity
        self._fields = check_fields(fields or {})
        self._records: dict[tuple[str, str], DocumentRecord] = {}
        self._chunks: dict[str, dict[str, _Stored]] = {}
        self._lexicons: dict[str, BM25Okapi] = {}
        self._closed = False

    @property
    def identity(self) -> IndexIdentity:
        """What the index was built with."""
        return self._identity

    @property
    def fields(self) -> Mapping[str, FieldType]:
        """Filterable fields, built-in and declared."""
        return self._fields

    async def search(self, query: LegQuery) -> Legs:
        """Score every chunk of the tenant that passes the filter."""
        self._check_open()
        check_leg_query(query, self._identity, self._fields)
        stored = list(self._chunks.get(query.tenant, {}).values())
        if not stored:
            return Legs(chunks={})
        allowed = np.array([passes(item.chunk, query.where, self._fields) for item in stored])
        dense = _dense(stored, query.vector) if query.vector is not None else None
        bm25 = self._bm25(stored, query) if query.text is not None else None
        legs = [_top(stored, scores, allowed, query.depth) for scores in (dense, bm25)]
        found = {chunk_id for leg in legs for chunk_id, _ in leg}
        tenant = self._chunks[query.tenant]
        return Legs(
            dense=legs[0], bm25=legs[1], chunks={item: tenant[item].chunk for item in found}
        )

    def _bm25(self, stored: Sequence[_Stored], query: LegQuery) -> FloatArray:
        if query.tenant not in self._lexicons:
            # An index of nothing but empty passages has no average length to divide by.
            words = [item.words or [""] for item in stored]
            self._lexicons[query.tenant] = BM25Okapi(words, k1=1.2, b=0.75)
        wanted = terms(query.text or "", language=self._identity.language)
        # `Any`: rank-bm25 has no types.
        lexicon = cast("Any", self._lexicons[query.tenant])
        scores: FloatArray = np.asarray(lexicon.get_scores(wanted), dtype=np.float32)
        # rank-bm25 gives a term held by half of the chunks no weight at all: membership decides.
        holds = np.array([not set(wanted).isdisjoint(item.words) for item in stored])
        return np.where(holds, scores, np.float32(-np.inf))

    async def fetch(self, ids: Sequence[str], *, tenant: str = DEFAULT_TENANT) -> list[Chunk]:
        """The tenant's chunks with these ids, in that order; unknown ids are left out."""
        self._check_open()
        stored = self._chunks.get(tenant, {})
        return [stored[item].chunk for item in ids if item in stored]

    async def chunks(self, uris: Sequence[str], *, tenant: str = DEFAULT_TENANT) -> list[Chunk]:
        """All chunks of the tenant's documents at these uris, in no order."""
        self._check_open()
        wanted = set(uris)
        stored = self._chunks.get(tenant, {}).values()
        return [item.chunk for item in stored if item.chunk.uri in wanted]

    async def commit(self, entries: Sequence[Entry]) -> None:
        """Store documents: new chunks, then their records, then the old generation's deletion."""
        self._check_open()
        check_entries(entries, self._identity)
        for entry in entries:
            record = entry.record
            tenant = self._chunks.setdefault(record.tenant, {})
            tenant.update({item.chunk.id: item for item in self._stored(entry)})
            self._records[record.tenant, record.uri] = record
            self._keep(
                record.tenant,
                {
                    key: item
                    for key, item in tenant.items()
                    if item.chunk.uri != record.uri or item.generation == record.generation
                },
            )

    def _stored(self, entry: Entry) -> list[_Stored]:
        return [
            _Stored(
                chunk=chunk,
                generation=entry.record.generation,
                vector=None if entry.vectors is None else entry.vectors[position],
                words=terms(f"{chunk.header} {chunk.text}", language=self._identity.language),
            )
            for position, chunk in enumerate(entry.chunks)
        ]

    def _keep(self, tenant: str, chunks: dict[str, _Stored]) -> None:
        self._chunks[tenant] = chunks
        self._lexicons.pop(tenant, None)

    async def delete(self, uris: Sequence[str], *, tenant: str = DEFAULT_TENANT) -> None:
        """Remove documents with their chunks."""
        self._check_open()
        for uri in uris:
            self._records.pop((tenant, uri), None)
        gone = set(uris)
        chunks = self._chunks.get(tenant, {})
        self._keep(tenant, {k: item for k, item in chunks.items() if item.chunk.uri not in gone})

    async def records(self, *, tenant: str | None = DEFAULT_TENANT) -> list[DocumentRecord]:
        """The manifest, of one tenant or (None) of all."""
        self._check_open()
        return [item for item in self._records.values() if tenant in {None, item.tenant}]

    async def generations(self) -> Mapping[str, int]:
        """Number of stored chunks of every generation, over all tenants."""
        self._check_open()
        counts: dict[str, int] = {}
        for chunks in self._chunks.values():
            for item in chunks.values():
                counts[item.generation] = counts.get(item.generation, 0) + 1
        return counts

    async def drop_generations(self, generations: Sequence[str]) -> None:
        """Delete all chunks of these generations."""
        self._check_open()
        gone = set(generations)
        for tenant, chunks in list(self._chunks.items()):
            kept = {key: item for key, item in chunks.items() if item.generation not in gone}
            self._keep(tenant, kept)

    async def optimize(self) -> None:
        """Nothing to build: search is exact."""
        self._check_open()

    async def close(self) -> None:
        """Refuse further use; safe to call twice."""
        self._closed = True

    def _check_open(self) -> None:
        if self._closed:
            raise InputError("The index in memory is closed.")


def _dense(stored: Sequence[_Stored], vector: FloatArray) -> FloatArray:
    scores = np.full(len(stored), -np.inf, dtype=np.float32)
    for position, item in enumerate(stored):
        if item.vector is not None:
            scores[position] = item.vector @ vector
    return scores


def _top(
    stored: Sequence[_Stored],
    scores: FloatArray | None,
    allowed: "np.ndarray[tuple[int], np.dtype[np.bool_]]",
    depth: int,
) -> tuple[tuple[str, float], ...]:
    if scores is None:
        return ()
    masked = np.where(allowed, scores, -np.inf)
    best: list[int] = np.argsort(-masked, kind="stable")[:depth].tolist()
    return tuple((stored[i].chunk.id, float(masked[i])) for i in best if np.isfinite(masked[i]))
