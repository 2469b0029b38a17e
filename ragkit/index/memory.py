"""The store for notebooks and tests: numpy and rank-bm25, nothing on disk, exact search."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
from rank_bm25 import BM25Okapi

from ragkit.core.errors import InputError
from ragkit.core.filters import passes
from ragkit.core.protocols import Entry, LegQuery, Legs, StoredVersion
from ragkit.core.tenant import check_tenant, check_tenants
from ragkit.core.text import terms
from ragkit.core.types import (
    DEFAULT_TENANT,
    Chunk,
    DocumentRecord,
    FieldType,
    FloatArray,
    IndexIdentity,
)
from ragkit.index.changes import by_tenant
from ragkit.index.layout import stacked
from ragkit.index.validation import check_entries, check_fields, check_leg_query, check_uris


@dataclass(frozen=True, slots=True, kw_only=True)
class _StoredChunk:
    """A chunk of a tenant with its vector and its words."""

    chunk: Chunk
    vector: FloatArray | None
    words: list[str]


class MemoryIndex:
    """Chunks in this process's memory; the other stores are tested against it.

    A commit or deletion has no moment in which another call could see half of it.
    """

    def __init__(
        self, identity: IndexIdentity, *, fields: Mapping[str, FieldType] | None = None
    ) -> None:
        """Start empty."""
        self._identity = identity
        self._fields = check_fields(fields or {})
        self._records: dict[tuple[str, str], DocumentRecord] = {}
        self._chunks: dict[str, dict[str, _StoredChunk]] = {}
        self._lexicons: dict[str, BM25Okapi] = {}
        self._closed = False

    @property
    def identity(self) -> IndexIdentity:
        """The parts that the index was built with."""
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
        found = {item for leg in legs for item, _ in leg}
        tenant = self._chunks[query.tenant]
        return Legs(
            dense=legs[0], bm25=legs[1], chunks={item: tenant[item].chunk for item in found}
        )

    def _bm25(self, stored: Sequence[_StoredChunk], query: LegQuery) -> FloatArray:
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
        """Return the tenant's chunks with these ids, in that order, without those unknown."""
        self._check_open()
        stored = self._chunks.get(check_tenant(tenant), {})
        return [stored[item].chunk for item in ids if item in stored]

    async def chunks(self, uris: Sequence[str], *, tenant: str = DEFAULT_TENANT) -> list[Chunk]:
        """Return all chunks of the tenant's documents, by uri, then in the order of reading."""
        records = await self.records(uris, tenant=tenant)
        ids = [item for one in records for item in one.chunk_ids]
        return await self.fetch(ids, tenant=tenant)

    async def vectors(self, ids: Sequence[str], *, tenant: str = DEFAULT_TENANT) -> FloatArray:
        """Return the whole vectors of chunks, float32 `[n, dimensions]`, by their ids."""
        self._check_open()
        stored = self._chunks.get(check_tenant(tenant), {})
        vectors = {item: stored[item].vector for item in ids if item in stored}
        return stacked(ids, vectors, self._identity.dimensions)

    async def records(
        self,
        uris: Sequence[str] | None = None,
        *,
        tenant: str | None = DEFAULT_TENANT,
        source: str | None = None,
    ) -> list[DocumentRecord]:
        """Return the records of documents: of these uris, of a tenant or of all, of a source."""
        self._check_open()
        check_tenants(tenant)
        if uris is None:
            records = [one for one in self._records.values() if tenant in {None, one.tenant}]
        else:
            keys = [(check_tenant(tenant or ""), uri) for uri in check_uris(uris)]
            records = [self._records[key] for key in keys if key in self._records]
        return [one for one in records if source is None or one.source == source]

    async def commit(self, entries: Sequence[Entry]) -> None:
        """Store documents, each in the place of its old generation."""
        self._check_open()
        check_entries(entries, self._identity)
        for tenant, group in by_tenant(entries).items():
            self._remove(tenant, [entry.record.uri for entry in group])
            stored = self._chunks.setdefault(tenant, {})
            for entry in group:
                self._records[tenant, entry.record.uri] = entry.record
                for position, chunk in enumerate(entry.chunks):
                    vector = None if entry.vectors is None else entry.vectors[position]
                    words = terms(
                        f"{chunk.lead} {chunk.text}",
                        language=self._identity.language,
                        passage=True,
                    )
                    stored[chunk.id] = _StoredChunk(chunk=chunk, vector=vector, words=words)

    def _remove(self, tenant: str, uris: Sequence[str]) -> int:
        self._lexicons.pop(tenant, None)
        removed = 0
        for uri in uris:
            record = self._records.pop((tenant, uri), None)
            if record is None:
                continue
            removed += 1
            for item in record.chunk_ids:
                # A record may promise more chunks than came with it.
                self._chunks[tenant].pop(item, None)
        return removed

    async def touch(self, records: Sequence[DocumentRecord]) -> None:
        """Overwrite records whose generation is still the stored one; leave the others."""
        self._check_open()
        for record in records:
            key = check_tenant(record.tenant), record.uri
            stored = self._records.get(key)
            if stored is not None and stored.generation == record.generation:
                self._records[key] = replace(record, version=stored.version)

    async def delete(self, uris: Sequence[str], *, tenant: str = DEFAULT_TENANT) -> int:
        """Remove documents with their chunks, and return the number of those removed."""
        self._check_open()
        return self._remove(check_tenant(tenant), check_uris(uris))

    async def versions(self, *, tenant: str | None = DEFAULT_TENANT) -> list[StoredVersion]:
        """Return every stored write of a generation; each is the current one."""
        self._check_open()
        check_tenants(tenant)
        counts: dict[tuple[str, str], int] = {}
        for name, chunks in self._chunks.items():
            for item in chunks.values():
                key = name, item.chunk.generation
                counts[key] = counts.get(key, 0) + 1
        versions = {(one.tenant, one.generation): one.version for one in self._records.values()}
        return [
            StoredVersion(tenant=name, version=versions[key], generation=key[1], chunks=count)
            for key, count in counts.items()
            if tenant in {None, (name := key[0])}
        ]

    async def drop(self, versions: Sequence[StoredVersion]) -> None:
        """Do nothing: there are no chunks beside those of current generations."""
        self._check_open()

    async def discard(self, records: Sequence[DocumentRecord]) -> int:
        """Remove documents that are still as these records say, and return their number."""
        self._check_open()
        removed = 0
        for record in records:
            stored = self._records.get((record.tenant, record.uri))
            if stored is not None and stored.version == record.version:
                removed += self._remove(record.tenant, [record.uri])
        return removed

    async def incomplete(self, records: Sequence[DocumentRecord]) -> list[DocumentRecord]:
        """Return those of these records that are stored, and not all of their chunks are."""
        self._check_open()
        return [
            record
            for record in records
            if (stored := self._records.get((record.tenant, record.uri)))
            and stored.version == record.version
            and not self._chunks.get(record.tenant, {}).keys() >= set(record.chunk_ids)
        ]

    async def optimize(self) -> None:
        """Do nothing: search is exact."""
        self._check_open()

    async def close(self) -> None:
        """Refuse further use; safe to call twice."""
        self._closed = True

    def _check_open(self) -> None:
        if self._closed:
            raise InputError("The index in memory is closed.")


def _dense(stored: Sequence[_StoredChunk], vector: FloatArray) -> FloatArray:
    scores = np.full(len(stored), -np.inf, dtype=np.float32)
    for position, item in enumerate(stored):
        if item.vector is not None:
            scores[position] = item.vector @ vector
    return scores


def _top(
    stored: Sequence[_StoredChunk],
    scores: FloatArray | None,
    allowed: "np.ndarray[tuple[int], np.dtype[np.bool_]]",
    depth: int,
) -> tuple[tuple[str, float], ...]:
    if scores is None:
        return ()
    masked = np.where(allowed, scores, -np.inf)
    best: list[int] = np.argsort(-masked, kind="stable")[:depth].tolist()
    return tuple((stored[i].chunk.id, float(masked[i])) for i in best if np.isfinite(masked[i]))
