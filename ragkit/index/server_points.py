"""Requests to a Qdrant server and its replies, in the client's models: pure functions."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias, TypeVar, cast

from qdrant_client import models
from qdrant_client.conversions.common_types import QueryResponse

from ragkit.core.filters import BUILT_IN_FIELDS
from ragkit.core.lexical_form import lexical_form
from ragkit.core.protocols import Entry, LegQuery, Legs
from ragkit.core.text import has_stems
from ragkit.core.types import (
    DocumentRecord,
    FieldType,
    FloatArray,
    IndexIdentity,
    Quantization,
)
from ragkit.index import layout
from ragkit.index.filter_translation import Dialect, translate
from ragkit.index.visibility import FoundVersion, found_versions

BATCH_POINTS = 500
BATCH_BYTES = 16 * 2**20
"""Points of one request; a server takes requests of up to 32 MiB."""

T = TypeVar("T")
_Schema: TypeAlias = models.PayloadSchemaParams

_FIELD_PARAMS: Mapping[FieldType, _Schema] = {
    "keyword": models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD),
    "integer": models.IntegerIndexParams(type=models.IntegerIndexType.INTEGER),
    "float": models.FloatIndexParams(type=models.FloatIndexType.FLOAT),
    "bool": models.BoolIndexParams(type=models.BoolIndexType.BOOL),
    "datetime": models.DatetimeIndexParams(type=models.DatetimeIndexType.DATETIME),
}
_TENANT_PARAMS = models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, is_tenant=True)

DIALECT: Dialect[models.Condition] = Dialect(
    equals=lambda key, value: models.FieldCondition(
        key=key, match=models.MatchValue(value=cast("str | int", value))
    ),
    any_of=lambda key, values: models.FieldCondition(
        key=key, match=models.MatchAny(any=cast("list[str]", values))
    ),
    number_range=lambda key, bounds: models.FieldCondition(key=key, range=models.Range(**bounds)),
    time_range=lambda key, bounds: models.FieldCondition(
        key=key, range=models.DatetimeRange.model_validate(bounds)
    ),
    combine=lambda must, should, must_not: models.Filter(
        must=must or None, should=should or None, must_not=must_not or None
    ),
)
"""ragkit's filters as a server's conditions."""


_QUANTIZATIONS: Mapping[Quantization, models.QuantizationConfig | None] = {
    "int8": models.ScalarQuantization(
        scalar=models.ScalarQuantizationConfig(
            type=models.ScalarType.INT8, quantile=0.99, always_ram=True
        )
    ),
    "binary": models.BinaryQuantization(binary=models.BinaryQuantizationConfig(always_ram=True)),
    "none": None,
}


def vector_params(
    identity: IndexIdentity, quantization: Quantization = "int8", *, many_tenants: bool = False
) -> dict[str, models.VectorParams]:
    """Return the named vectors of a collection.

    With `many_tenants` there is one HNSW graph for each tenant instead of one for all.
    """
    graph = models.HnswConfigDiff(m=16, ef_construct=128)
    if many_tenants:
        graph = models.HnswConfigDiff(m=0, payload_m=16, ef_construct=128)
    return {
        layout.FULL: models.VectorParams(
            size=max(identity.dimensions, 1),
            distance=models.Distance.COSINE,
            datatype=models.Datatype.FLOAT16,
            hnsw_config=models.HnswConfigDiff(m=0),
            on_disk=True,
        ),
        layout.SEARCH: models.VectorParams(
            size=max(identity.search_dimensions, 1),
            distance=models.Distance.COSINE,
            datatype=models.Datatype.FLOAT16,
            hnsw_config=graph,
            quantization_config=_QUANTIZATIONS[quantization],
        ),
    }


def has_vectors_of(found: object, identity: IndexIdentity) -> bool:
    """Return whether a collection has the vectors of an index of this identity."""
    if not isinstance(found, Mapping):
        return False
    named = cast("Mapping[str, models.VectorParams]", found)
    wanted = {name: params.size for name, params in vector_params(identity).items()}
    return wanted == {name: params.size for name, params in named.items()}


def text_params(language: str) -> models.TextIndexParams:
    """Return the full-text index with BM25 statistics."""
    params = models.TextIndexParams(
        type=models.TextIndexType.TEXT,
        tokenizer=models.TokenizerType.WORD,
        lowercase=True,
        ascii_folding=True,
        scoring=True,
    )
    if has_stems(language):
        params.stemmer = models.SnowballParams(
            type=models.Snowball.SNOWBALL, language=models.SnowballLanguage(language)
        )
        params.stopwords = models.StopwordsSet(languages=[models.Language(language)])
    return params


def field_params(fields: Mapping[str, FieldType]) -> dict[str, _Schema]:
    """Return the payload indexes: ragkit's own, and those of declared fields."""
    declared: dict[str, FieldType] = {
        layout.field_key(name): kind for name, kind in fields.items() if name not in BUILT_IN_FIELDS
    }
    keys: dict[str, FieldType] = {**layout.PAYLOAD_INDEXES, **declared}
    return {**{key: _FIELD_PARAMS[kind] for key, kind in keys.items()}, "tenant": _TENANT_PARAMS}


def leg_requests(
    query: LegQuery,
    identity: IndexIdentity,
    fields: Mapping[str, FieldType],
    *,
    tenant_idf: bool = True,
    hidden: Sequence[str] = (),
) -> dict[str, models.QueryRequest]:
    """Return the request of each leg; filter and tenant bind every part of both.

    Args:
        query: The search.
        identity: Of the index.
        fields: Filterable fields.
        tenant_idf: Take BM25's statistics from the tenant's passages alone.
        hidden: Versions whose chunks are left out.
    """
    tenant = models.Filter(must=[equals("tenant", query.tenant)])
    must: list[models.Condition] = [equals("tenant", query.tenant)]
    if query.where is not None:
        must.append(translate(query.where, fields, DIALECT))
    condition = models.Filter(must=must, must_not=[among("version", hidden)] if hidden else None)
    requests: dict[str, models.QueryRequest] = {}
    if query.vector is not None:
        requests["dense"] = _dense_request(query.vector, query.depth, identity, condition)
    if query.text is not None:
        corpus = models.SearchParams(idf=models.IdfCorpusParams(corpus=tenant))
        requests["bm25"] = models.QueryRequest(
            query=models.TextQuery(text=lexical_form(query.text)),
            using="text",
            filter=condition,
            params=corpus if tenant_idf else None,
            limit=query.depth,
            with_payload=True,
        )
    return requests


def _dense_request(
    vector: FloatArray, depth: int, identity: IndexIdentity, condition: models.Filter
) -> models.QueryRequest:
    values: list[float] = vector.tolist()
    prefetch = models.Prefetch(
        query=models.NearestQuery(nearest=values[: identity.search_dimensions]),
        using=layout.SEARCH,
        filter=condition,
        limit=depth * layout.PREFETCH_FACTOR,
    )
    return models.QueryRequest(
        prefetch=[prefetch],
        query=models.NearestQuery(nearest=values),
        using=layout.FULL,
        filter=condition,
        limit=depth,
        with_payload=True,
    )


def read_legs(
    names: Iterable[str], answers: Iterable[QueryResponse]
) -> tuple[Legs, dict[str, FoundVersion]]:
    """Return the results of the legs of these names, and the versions of the chunks found."""
    ranked: dict[str, tuple[tuple[str, float], ...]] = {}
    payloads: dict[str, layout.Payload | None] = {}
    for name, answer in zip(names, answers, strict=True):
        ranked[name] = tuple((str(point.id), point.score) for point in answer.points)
        payloads.update((str(point.id), point.payload) for point in answer.points)
    legs = Legs(
        dense=ranked.get("dense", ()),
        bm25=ranked.get("bm25", ()),
        chunks={item: layout.read_chunk(item, payload) for item, payload in payloads.items()},
    )
    return legs, found_versions(payloads)


def chunk_points(entry: Entry, identity: IndexIdentity) -> Iterator[models.PointStruct]:
    """Yield a document's chunks as points."""
    record = entry.record
    for position, chunk in enumerate(entry.chunks):
        vectors: models.VectorStruct = {}
        if entry.vectors is not None:
            values: list[float] = entry.vectors[position].tolist()
            vectors = {layout.FULL: values, layout.SEARCH: values[: identity.search_dimensions]}
        yield models.PointStruct(
            id=chunk.id,
            vector=vectors,
            payload=layout.chunk_payload(chunk, tenant=record.tenant, version=record.version),
        )


def bare_point(point_id: str, payload: layout.Payload) -> models.PointStruct:
    """Return a record, a change or the identity as a point without vectors."""
    return models.PointStruct(id=point_id, vector={}, payload=payload)


def record_point(record: DocumentRecord) -> models.PointStruct:
    """Return a document's record as a point."""
    point_id = layout.record_id(record.uri, tenant=record.tenant)
    return bare_point(point_id, layout.record_payload(record))


def batches(points: Iterable[models.PointStruct]) -> Iterator[list[models.PointStruct]]:
    """Yield points in batches of up to `BATCH_POINTS`, and of about `BATCH_BYTES` at most."""
    batch: list[models.PointStruct] = []
    size = 0
    for point in points:
        added = _json_bytes(point)
        if batch and (len(batch) == BATCH_POINTS or size + added > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(point)
        size += added
    if batch:
        yield batch


def _json_bytes(point: models.PointStruct) -> int:
    named = cast("Mapping[str, Sequence[float]]", point.vector)
    # A number takes up to 24 characters, and one of text up to 4 bytes.
    return 24 * sum(map(len, named.values())) + 4 * len(str(point.payload))


def pages(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Yield the items, `size` at a time."""
    for first in range(0, len(items), size):
        yield items[first : first + size]


def equals(key: str, value: str) -> models.FieldCondition:
    """Return the condition that a key has this value."""
    return models.FieldCondition(key=key, match=models.MatchValue(value=value))


def among(key: str, values: Sequence[str]) -> models.FieldCondition:
    """Return the condition that a key has one of these values."""
    return models.FieldCondition(key=key, match=models.MatchAny(any=list(values)))


def of_kind(kind: str, *, tenant: str | None, **keys: str) -> models.Filter:
    """Return the filter for points of a kind, of a tenant, with these values of other keys."""
    conditions: list[models.Condition] = [equals("kind", kind)]
    if tenant is not None:
        conditions.append(equals("tenant", tenant))
    conditions += [equals(key, value) for key, value in keys.items()]
    return models.Filter(must=conditions)


def of_versions(kind: str, versions: Sequence[str], *, tenant: str) -> models.Filter:
    """Return the filter for a tenant's points of a kind that carry one of these versions."""
    return models.Filter(
        must=[equals("kind", kind), equals("tenant", tenant), among("version", versions)]
    )
