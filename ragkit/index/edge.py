"""The embedded store: the Qdrant Edge engine in this process, in one folder."""

import asyncio
import errno
import logging
import shutil
import uuid
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self, TypeVar

import qdrant_edge as qe

from ragkit.core.errors import IndexLocked, IndexMismatch, InputError, ProviderError
from ragkit.core.filters import BUILT_IN_FIELDS
from ragkit.core.protocols import Entry, LegQuery, Legs
from ragkit.core.types import (
    DEFAULT_TENANT,
    Chunk,
    DocumentRecord,
    FieldType,
    IndexIdentity,
    Quantization,
)
from ragkit.index import layout
from ragkit.index.edge_points import (
    DIALECT,
    FIELD_PARAMS,
    Condition,
    among,
    chunk_points,
    chunks_of,
    equals,
    leg_requests,
    old_generations,
    record_point,
    text_params,
    vectors_config,
)
from ragkit.index.filter_translation import translate

logger = logging.getLogger(__name__)

PROVIDER = "qdrant-edge"
_EVERYTHING = 10**9
_MIN_FREE_BYTES = 128 * 2**20
_FETCHED_AT_ONCE = 64
_UPSERT_POINTS = 500

T = TypeVar("T")


class EdgeIndex:
    """An index in a folder, opened by one process at a time."""

    def __init__(self, shard: qe.EdgeShard, *, path: Path, stored: layout.StoredIdentity) -> None:
        """Wrap an open shard; use `EdgeIndex.open`."""
        self._shard = shard
        self._path = path
        self._identity, self._fields = stored
        # Grows only, and before a tenant's first point is stored.
        self._tenants = {str(hit.value) for hit in self._facet("tenant")}
        self._closed = False

    @classmethod
    async def open(
        cls,
        path: Path,
        identity: IndexIdentity,
        *,
        fields: Mapping[str, FieldType] | None = None,
        create: bool = True,
        quantization: Quantization = "int8",
    ) -> Self:
        """Open the index in a folder, and create it there if it may be, quantised so.

        Raises:
            InputError: There is no index, and `create` is False.
            IndexMismatch: It was built with another model, analysis, layout or field type.
            IndexLocked: It is open elsewhere.
        """
        checked = layout.check_fields(fields or {})
        config = vectors_config(identity, quantization) if create else None
        return await asyncio.to_thread(cls._open, path, identity, checked, config)

    @classmethod
    def _open(
        cls,
        path: Path,
        identity: IndexIdentity,
        fields: Mapping[str, FieldType],
        config: qe.EdgeConfig | None,
    ) -> Self:
        with _translated(path):
            if not (path / "edge_config.json").is_file():
                if config is None:
                    raise InputError(layout.no_index(str(path)))
                _create(path, identity, fields, config)
            shard = qe.EdgeShard.load(str(path))
            try:
                stored = _open_identity(shard, path, identity, fields)
                return cls(shard, path=path, stored=stored)
            except BaseException:
                shard.close()
                raise

    @property
    def identity(self) -> IndexIdentity:
        """What the index was built with."""
        return self._identity

    @property
    def fields(self) -> Mapping[str, FieldType]:
        """Filterable fields, built-in and declared."""
        return self._fields

    async def search(self, query: LegQuery) -> Legs:
        """Run both legs in one engine call; chunks are fetched apart, for the few that are kept."""
        layout.check_leg_query(query, self._identity, self._fields)
        return await self._run(self._search, query)

    def _search(self, query: LegQuery) -> Legs:
        # The folder is this process's alone, so its tenants are known: one tenant needs no filter.
        alone = self._tenants == {query.tenant}
        legs = self._ranked(query, alone=alone)
        if alone and self._tenants != {query.tenant}:
            # Another tenant's first chunks came in meanwhile.
            return self._ranked(query, alone=False)
        return legs

    def _ranked(self, query: LegQuery, *, alone: bool) -> Legs:
        tenant: list[Condition] = [] if alone else [equals("tenant", query.tenant)]
        where = [translate(query.where, self._fields, DIALECT)] if query.where else []
        requests = leg_requests(
            query,
            self._identity,
            qe.Filter(must=[*tenant, *where]) if tenant or where else None,
            None if alone else qe.SearchParams(idf=qe.IdfParams(corpus=qe.Filter(must=tenant))),
        )
        names = list(requests)
        ranked = self._shard.query_batch(qe.QueryBatchRequest(list(requests.values())))
        legs = {
            name: tuple((str(point.id), point.score) for point in points)
            for name, points in zip(names, ranked, strict=True)
        }
        return Legs(dense=legs.get("dense", ()), bm25=legs.get("bm25", ()), chunks={})

    async def fetch(self, ids: Sequence[str], *, tenant: str = DEFAULT_TENANT) -> list[Chunk]:
        """The tenant's chunks with these ids, in that order; unknown ids are left out."""
        if len(ids) <= _FETCHED_AT_ONCE:
            # A few points take less time than handing the work to a thread.
            self._check_open()
            with _translated(self._path):
                return self._fetch(ids, tenant)
        return await self._run(self._fetch, ids, tenant)

    def _fetch(self, ids: Sequence[str], tenant: str) -> list[Chunk]:
        found = self._shard.retrieve(list(ids), with_payload=True, with_vector=False)
        payloads = {str(point.id): point.payload for point in found}
        return layout.read_chunks(ids, payloads, tenant=tenant)

    async def chunks(self, uris: Sequence[str], *, tenant: str = DEFAULT_TENANT) -> list[Chunk]:
        """All chunks of the tenant's documents at these uris, in no order."""
        return await self._run(self._chunks_of, list(uris), tenant)

    def _chunks_of(self, uris: list[str], tenant: str) -> list[Chunk]:
        points, _ = self._shard.scroll(
            qe.ScrollRequest(
                filter=chunks_of(uris, tenant),
                limit=_EVERYTHING,
                with_payload=True,
                with_vector=False,
            )
        )
        return [layout.read_chunk(str(point.id), point.payload) for point in points]

    async def commit(self, entries: Sequence[Entry]) -> None:
        """Store documents: new chunks, then their records, then the old generation's deletion."""
        await self._run(self._commit, entries)

    def _commit(self, entries: Sequence[Entry]) -> None:
        if not entries:
            return
        layout.check_entries(entries, self._identity)
        _check_space(self._path, sum(map(_bytes, entries)), for_what=repr(entries[0].record.uri))
        self._tenants.update(entry.record.tenant for entry in entries)
        points = [point for entry in entries for point in chunk_points(entry, self._identity)]
        for first in range(0, len(points), _UPSERT_POINTS):
            self._upsert(points[first : first + _UPSERT_POINTS])
        self._upsert([record_point(entry.record) for entry in entries])
        for tenant in {entry.record.tenant for entry in entries}:
            records = [entry.record for entry in entries if entry.record.tenant == tenant]
            self._delete(old_generations(records))

    def _upsert(self, points: list[qe.Point]) -> None:
        self._shard.update(qe.UpdateOperation.upsert_points(points))

    def _delete(self, condition: qe.Filter) -> None:
        # Even a deletion is written to the log first.
        _check_space(self._path, 0, for_what="a deletion")
        self._shard.update(qe.UpdateOperation.delete_points_by_filter(condition))

    async def delete(self, uris: Sequence[str], *, tenant: str = DEFAULT_TENANT) -> None:
        """Remove documents: their records first, then their chunks."""
        await self._run(self._delete_documents, list(uris), tenant)

    def _delete_documents(self, uris: list[str], tenant: str) -> None:
        _check_space(self._path, 0, for_what="a deletion")
        ids: list[qe.PointId] = [layout.record_id(uri, tenant=tenant) for uri in uris]
        self._shard.update(qe.UpdateOperation.delete_points(ids))
        self._delete(chunks_of(uris, tenant))

    async def records(self, *, tenant: str | None = DEFAULT_TENANT) -> list[DocumentRecord]:
        """The manifest, of one tenant or (None) of all."""
        return await self._run(self._records, tenant)

    def _records(self, tenant: str | None) -> list[DocumentRecord]:
        must: list[Condition] = [equals("kind", "record")]
        if tenant is not None:
            must.append(equals("tenant", tenant))
        points, _ = self._shard.scroll(
            qe.ScrollRequest(
                filter=qe.Filter(must=must),
                limit=_EVERYTHING,
                with_payload=True,
                with_vector=False,
            )
        )
        return [layout.read_record(point.payload) for point in points]

    async def generations(self) -> Mapping[str, int]:
        """Number of stored chunks of every generation, over all tenants."""
        facets = await self._run(self._facet, "generation")
        return {str(hit.value): hit.count for hit in facets if hit.count}

    def _facet(self, key: str) -> list[qe.FacetHit]:
        request = qe.FacetRequest(key=key, limit=_EVERYTHING, exact=True)
        return list(self._shard.facet(request))

    async def drop_generations(self, generations: Sequence[str]) -> None:
        """Delete all chunks of these generations."""
        if generations:
            await self._run(self._delete, qe.Filter(must=[among("generation", generations)]))

    async def optimize(self) -> None:
        """Build the HNSW graph and merge segments where the engine finds it worth while."""
        await self._run(self._optimize)

    def _optimize(self) -> None:
        files = (file.stat() for file in self._path.rglob("*") if file.is_file())
        needed = _MIN_FREE_BYTES + sum(512 * file.st_blocks for file in files)
        free = shutil.disk_usage(self._path).free
        if free < needed:
            # Segments are rewritten beside the old ones. Search works without, only slower.
            logger.warning(
                "The index at %r is left unoptimized: %d MiB free, %d MiB needed.",
                str(self._path), free >> 20, needed >> 20,
            )  # fmt: skip
            return
        self._shard.optimize()

    async def close(self) -> None:
        """Flush and release the folder; safe to call twice."""
        if not self._closed:
            self._closed = True
            await asyncio.to_thread(self._shard.close)

    async def _run(self, job: Callable[..., T], *arguments: Any) -> T:
        # `Any`: the arguments are those of `job`, which each caller above states in full.
        self._check_open()
        with _translated(self._path):
            return await asyncio.to_thread(job, *arguments)

    def _check_open(self) -> None:
        if self._closed:
            raise InputError(f"The index at {str(self._path)!r} is closed.")


def _create(
    path: Path, identity: IndexIdentity, fields: Mapping[str, FieldType], config: qe.EdgeConfig
) -> None:
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise InputError(f"{str(path)!r} holds other things: choose an empty or new folder.")
    path = path.absolute()
    if path.resolve() == Path.cwd():
        raise InputError("The working folder cannot become an index: name a folder in it.")
    path.parent.mkdir(parents=True, exist_ok=True)
    _check_space(path.parent, 0, for_what="a new index")
    # Built beside its place and renamed, so that a crash never leaves half an index.
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.new")
    draft.mkdir()
    try:
        _build(draft, identity, fields, config)
        draft.replace(path)
    except OSError as error:
        if error.errno in {errno.EBUSY, errno.EXDEV}:
            raise InputError(
                f"{str(path)!r} is a mount point or a folder in use: choose a folder inside it."
            ) from error
        if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
            raise
        # Another process made the index first: whether it fits is checked when it is loaded.
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _build(
    draft: Path, identity: IndexIdentity, fields: Mapping[str, FieldType], config: qe.EdgeConfig
) -> None:
    shard = qe.EdgeShard.create(str(draft), config)
    try:
        shard.update(qe.UpdateOperation.create_field_index("text", text_params(identity.language)))
        for key, kind in layout.PAYLOAD_INDEXES.items():
            _index_field(shard, key, kind)
        _store_fields(shard, identity, {}, fields)
    finally:
        shard.close()


def _index_field(shard: qe.EdgeShard, key: str, kind: FieldType) -> None:
    params = qe.KeywordIndexParams(is_tenant=True) if key == "tenant" else FIELD_PARAMS[kind]()
    shard.update(qe.UpdateOperation.create_field_index(key, params))


def _store_fields(
    shard: qe.EdgeShard,
    identity: IndexIdentity,
    old: Mapping[str, FieldType],
    new: Mapping[str, FieldType],
) -> None:
    for name in new.keys() - old.keys() - BUILT_IN_FIELDS.keys():
        _index_field(shard, layout.field_key(name), new[name])
    payload = layout.identity_payload(identity, new)
    point = qe.Point(layout.IDENTITY_ID, {}, payload)
    shard.update(qe.UpdateOperation.upsert_points([point]))
    shard.flush()


def _open_identity(
    shard: qe.EdgeShard,
    path: Path,
    wanted: IndexIdentity,
    declared: Mapping[str, FieldType],
) -> layout.StoredIdentity:
    found = shard.retrieve([layout.IDENTITY_ID], with_payload=True, with_vector=False)
    if not found:
        raise IndexMismatch(f"{str(path)!r} is a Qdrant Edge shard, but not one of ragkit's.")
    identity, fields = layout.read_identity(found[0].payload)
    layout.check_identity(identity, wanted, location=str(path))
    merged = layout.merge_fields(fields, declared)
    if merged != fields:
        _store_fields(shard, identity, fields, merged)
    return identity, merged


def _check_space(path: Path, size: int, *, for_what: str) -> None:
    # The engine maps its files into memory: on a full disk a write would end the process.
    needed = _MIN_FREE_BYTES + size
    free = shutil.disk_usage(path).free
    if free < needed:
        raise ProviderError(
            f"Not enough space for the index at {str(path)!r}: {free >> 20} MiB free, "
            f"{needed >> 20} MiB needed for {for_what} and what comes with it. "
            "Free some, or choose another disk with --index. What was stored is intact.",
            provider=PROVIDER,
        )


def _bytes(entry: Entry) -> int:
    vectors = 0 if entry.vectors is None else entry.vectors.nbytes
    return 4 * (vectors + sum(len(chunk.text) for chunk in entry.chunks))


@contextmanager
def _translated(path: Path) -> Generator[None, None, None]:
    try:
        yield
    except OSError as error:
        raise ProviderError(f"The index at {str(path)!r}: {error}", provider=PROVIDER) from error
    except Exception as error:
        # The engine raises bare `Exception`; ragkit's own errors and real bugs pass unchanged.
        if type(error) is not Exception:
            raise
        if "WouldBlock" in str(error):
            raise IndexLocked(
                f"The index at {str(path)!r} is open already, in another process or in this one. "
                "Close it there, or let several share a Qdrant server: --index http://HOST:6333"
            ) from error
        raise ProviderError(f"The index at {str(path)!r}: {error}", provider=PROVIDER) from error
