"""The JSON that an index by URL and the server in front of it send each other.

A filter is an object of one key: `{"eq": [field, value]}`, `{"in": [field, values]}`,
`{"range": [field, {"gte": ...}]}`, `{"and": [...]}`, `{"or": [...]}` or `{"not": {...}}`.
"""

import base64
from typing import Annotated, TypeAlias

import numpy as np
from pydantic import Base64Bytes, BaseModel, ConfigDict, Field

from ragkit.core.errors import InputError
from ragkit.core.filters import And, Eq, Filter, In, Not, Or, Range, Scalar
from ragkit.core.protocols import Entry, LegQuery, Legs, StoredVersion
from ragkit.core.tenant import check_tenant
from ragkit.core.types import (
    DEFAULT_TENANT,
    Chunk,
    DocumentRecord,
    FieldType,
    FloatArray,
    IndexIdentity,
)

WRONG_TENANT = "wrong_tenant"
"""The code of a refusal because the key belongs to another tenant."""


class WireModel(BaseModel):
    """A body without unknown fields."""

    model_config = ConfigDict(extra="forbid", validate_by_name=True, validate_by_alias=True)


class EqJson(WireModel):
    """`Eq`: a field and its value."""

    eq: tuple[str, Scalar]


class InJson(WireModel):
    """`In`: a field and its values."""

    among: Annotated[tuple[str, list[Scalar]], Field(alias="in")]


class RangeBounds(WireModel):
    """The bounds of a `Range`."""

    gt: float | str | None = None
    gte: float | str | None = None
    lt: float | str | None = None
    lte: float | str | None = None


class RangeJson(WireModel):
    """`Range`: a field and its bounds."""

    range: tuple[str, RangeBounds]


class AndJson(WireModel):
    """`And`."""

    every: Annotated[list["FilterJson"], Field(alias="and")]


class OrJson(WireModel):
    """`Or`."""

    some: Annotated[list["FilterJson"], Field(alias="or")]


class NotJson(WireModel):
    """`Not`."""

    negated: Annotated["FilterJson", Field(alias="not")]


FilterJson: TypeAlias = EqJson | InJson | RangeJson | AndJson | OrJson | NotJson


class IndexFacts(WireModel):
    """The identity of an index, its filterable fields, and whether the key may change documents."""

    identity: IndexIdentity
    fields: dict[str, FieldType]
    writable: bool


class VectorRows(WireModel):
    """Vectors, `[rows, dimensions]`; `data` is their float32 in little-endian order, in Base64."""

    rows: Annotated[int, Field(ge=0)]
    dimensions: Annotated[int, Field(ge=0)]
    data: Base64Bytes

    @classmethod
    def of(cls, vectors: FloatArray) -> "VectorRows":
        """Encode an array."""
        rows, dimensions = vectors.shape
        data = base64.b64encode(np.ascontiguousarray(vectors, dtype="<f4").tobytes())
        return cls(rows=rows, dimensions=dimensions, data=data)

    def array(self) -> FloatArray:
        """Decode the array.

        Raises:
            InputError: The data has another length.
        """
        if len(self.data) != 4 * self.rows * self.dimensions:
            raise InputError("The vectors have another length than their shape says.")
        flat = np.frombuffer(self.data, dtype="<f4").astype(np.float32)
        return flat.reshape(self.rows, self.dimensions)


class TenantCall(WireModel):
    """A call that concerns one tenant."""

    tenant: str = DEFAULT_TENANT


class SearchCall(TenantCall):
    """`Index.search`."""

    depth: int
    text: str | None = None
    vector: VectorRows | None = None
    where: FilterJson | None = None

    @classmethod
    def of(cls, query: LegQuery) -> "SearchCall":
        """Encode a query."""
        vector = None if query.vector is None else VectorRows.of(query.vector[None])
        where = None if query.where is None else filter_json(query.where)
        return cls(
            depth=query.depth, text=query.text, vector=vector, where=where, tenant=query.tenant
        )

    def query(self) -> LegQuery:
        """Decode the query.

        Raises:
            InputError: The vector or the tenant cannot be read.
        """
        return LegQuery(
            vector=None if self.vector is None else self.vector.array().reshape(-1),
            text=self.text,
            depth=self.depth,
            where=None if self.where is None else read_filter(self.where),
            tenant=check_tenant(self.tenant),
        )


class FoundLegs(WireModel):
    """The result of `Index.search`."""

    dense: list[tuple[str, float]]
    bm25: list[tuple[str, float]]
    chunks: list[Chunk]

    @classmethod
    def of(cls, legs: Legs) -> "FoundLegs":
        """Encode legs."""
        return cls(dense=list(legs.dense), bm25=list(legs.bm25), chunks=list(legs.chunks.values()))

    def legs(self) -> Legs:
        """Decode the legs."""
        chunks = {chunk.id: chunk for chunk in self.chunks}
        return Legs(dense=tuple(self.dense), bm25=tuple(self.bm25), chunks=chunks)


class IdsCall(TenantCall):
    """`Index.fetch` and `Index.vectors`."""

    ids: list[str]


class UrisCall(TenantCall):
    """`Index.chunks` and `Index.delete`."""

    uris: list[str]


class RecordsCall(WireModel):
    """`Index.records`; a tenant of None is every tenant that the caller reaches."""

    uris: list[str] | None = None
    tenant: str | None = DEFAULT_TENANT
    source: str | None = None


class VersionsCall(WireModel):
    """`Index.versions`; a tenant of None is every tenant that the caller reaches."""

    tenant: str | None = DEFAULT_TENANT


class EntryBody(WireModel):
    """A version of a document, ready to commit."""

    record: DocumentRecord
    chunks: list[Chunk]
    vectors: VectorRows | None

    @classmethod
    def of(cls, entry: Entry) -> "EntryBody":
        """Encode an entry."""
        vectors = None if entry.vectors is None else VectorRows.of(entry.vectors)
        return cls(record=entry.record, chunks=list(entry.chunks), vectors=vectors)

    def entry(self) -> Entry:
        """Decode the entry."""
        vectors = None if self.vectors is None else self.vectors.array()
        return Entry(record=self.record, chunks=tuple(self.chunks), vectors=vectors)


class CommitCall(WireModel):
    """`Index.commit`."""

    entries: list[EntryBody]


class RecordsBody(WireModel):
    """Records: a call of `Index.touch`, `discard` and `incomplete`, a result of `records`."""

    records: list[DocumentRecord]


class VersionsBody(WireModel):
    """Stored writes: a call of `Index.drop`, a result of `Index.versions`."""

    versions: list[StoredVersion]


class ChunksBody(WireModel):
    """The result of `Index.fetch` and `Index.chunks`."""

    chunks: list[Chunk]


class CountBody(WireModel):
    """The number of documents that a call removed."""

    count: int


class DoneBody(WireModel):
    """The result of a call that returns nothing."""


def filter_json(where: Filter) -> "FilterJson":
    """Encode a filter."""
    match where:
        case Eq():
            return EqJson(eq=(where.field, where.value))
        case In():
            return InJson(among=(where.field, list(where.values)))
        case Range():
            bounds = RangeBounds(gt=where.gt, gte=where.gte, lt=where.lt, lte=where.lte)
            return RangeJson(range=(where.field, bounds))
        case And():
            return AndJson(every=[filter_json(part) for part in where.parts])
        case Or():
            return OrJson(some=[filter_json(part) for part in where.parts])
        case Not():
            return NotJson(negated=filter_json(where.part))


def read_filter(encoded: "FilterJson") -> Filter:
    """Decode a filter."""
    match encoded:
        case EqJson():
            return Eq(*encoded.eq)
        case InJson():
            field, values = encoded.among
            return In(field, tuple(values))
        case RangeJson():
            field, bounds = encoded.range
            return Range(field=field, **bounds.model_dump())
        case AndJson():
            return And(tuple(map(read_filter, encoded.every)))
        case OrJson():
            return Or(tuple(map(read_filter, encoded.some)))
        case NotJson():
            return Not(read_filter(encoded.negated))
