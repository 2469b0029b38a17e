"""Requests to the Qdrant Edge engine: vectors, text analysis, points, filters, searches."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeAlias, cast

import numpy as np
import qdrant_edge as qe

from ragkit.core.filters import Scalar
from ragkit.core.lexical_form import lexical_form
from ragkit.core.protocols import Entry, LegQuery
from ragkit.core.text import has_stems
from ragkit.core.types import DocumentRecord, FieldType, FloatArray, IndexIdentity, Quantization
from ragkit.index import layout
from ragkit.index.changes import Change, change_payload
from ragkit.index.filter_translation import Dialect

Condition: TypeAlias = "qe.ConditionType"
"""Any part of a filter."""

FIELD_PARAMS: Mapping[FieldType, "Callable[[], qe.PayloadSchemaParams]"] = {
    "keyword": qe.KeywordIndexParams,
    "integer": qe.IntegerIndexParams,
    "float": qe.FloatIndexParams,
    "bool": qe.BoolIndexParams,
    "datetime": qe.DatetimeIndexParams,
}


def equals(key: str, value: Scalar) -> qe.FieldCondition:
    """Return the condition that a key has this value."""
    # The bindings read a Python bool as an integer; numpy's they read as a bool.
    exact = cast("bool", np.bool_(value)) if isinstance(value, bool) else value
    return qe.FieldCondition(key=key, match=qe.MatchValue(value=cast("str | int", exact)))


DIALECT: "Dialect[Condition]" = Dialect(
    equals=equals,
    any_of=lambda key, values: qe.FieldCondition(
        key=key, match=qe.MatchAny(any=cast("list[str]", values))
    ),
    number_range=lambda key, bounds: qe.FieldCondition(key=key, range=qe.RangeFloat(**bounds)),
    time_range=lambda key, bounds: qe.FieldCondition(key=key, range=qe.RangeDateTime(**bounds)),
    combine=lambda must, should, must_not: qe.Filter(
        must=must or None, should=should or None, must_not=must_not or None
    ),
)

_Quantized: TypeAlias = "qe.ScalarQuantizationConfig | qe.BinaryQuantizationConfig | None"
_QUANTIZATIONS: "Mapping[Quantization, _Quantized]" = {
    "int8": qe.ScalarQuantizationConfig(type=qe.ScalarType.Int8, quantile=0.99, always_ram=True),
    "binary": qe.BinaryQuantizationConfig(always_ram=True),
    "none": None,
}


def vectors_config(identity: IndexIdentity, quantization: Quantization) -> qe.EdgeConfig:
    """Return whole vectors, on disk, and searched prefixes with a graph, in memory."""
    full, prefix = identity.dimensions, identity.search_dimensions
    vectors = {
        layout.FULL: qe.EdgeVectorParams(
            size=max(full, 1),
            distance=qe.Distance.Cosine,
            datatype=qe.VectorStorageDatatype.Float16,
            memory=qe.Memory.Cold,
            hnsw_config=qe.HnswIndexConfig(m=0, ef_construct=100, full_scan_threshold=10_000),
        ),
        layout.SEARCH: qe.EdgeVectorParams(
            size=max(prefix, 1),
            distance=qe.Distance.Cosine,
            datatype=qe.VectorStorageDatatype.Float16,
            hnsw_config=qe.HnswIndexConfig(m=16, ef_construct=128, full_scan_threshold=10_000),
            quantization_config=_QUANTIZATIONS[quantization],
        ),
    }
    return qe.EdgeConfig(vectors=vectors)


def text_params(language: str) -> qe.TextIndexParams:
    """Return the analysis of a language for BM25."""
    name, stemmed = language.capitalize(), has_stems(language)
    return qe.TextIndexParams(
        tokenizer=qe.TokenizerType.Word,
        lowercase=True,
        ascii_folding=True,
        stemmer=qe.SnowballParams(getattr(qe.SnowballLanguage, name)) if stemmed else None,
        stopwords=qe.StopwordsSet(languages={getattr(qe.Language, name)}) if stemmed else None,
        scoring=True,
    )


def leg_requests(
    query: LegQuery,
    identity: IndexIdentity,
    condition: qe.Filter | None,
    bm25_params: qe.SearchParams | None,
) -> dict[str, qe.QueryRequest]:
    """Return the request of each leg that the query asks for, by the leg's name."""
    requests: dict[str, qe.QueryRequest] = {}
    if query.vector is not None:
        requests["dense"] = dense_request(query.vector, identity, query.depth, condition)
    if query.text is not None:
        requests["bm25"] = qe.QueryRequest(
            limit=query.depth,
            query=qe.TextQuery("text", lexical_form(query.text)),
            filter=condition,
            params=bm25_params,
        )
    return requests


def dense_request(
    vector: FloatArray, identity: IndexIdentity, depth: int, condition: qe.Filter | None = None
) -> qe.QueryRequest:
    """Return a search by prefix for more than `depth` points, rescored by whole vectors."""
    values = vector.tolist()
    prefetch = qe.Prefetch(
        limit=depth * layout.PREFETCH_FACTOR,
        query=qe.Query.Nearest(values[: identity.search_dimensions], using=layout.SEARCH),
        filter=condition,
    )
    return qe.QueryRequest(
        limit=depth,
        query=qe.Query.Nearest(values, using=layout.FULL),
        prefetches=[prefetch],
    )


def chunk_points(entry: Entry, identity: IndexIdentity) -> Iterator[qe.Point]:
    """Yield the points of a document's chunks."""
    record = entry.record
    for position, chunk in enumerate(entry.chunks):
        payload = layout.chunk_payload(chunk, tenant=record.tenant, version=record.version)
        vectors = {} if entry.vectors is None else named(entry.vectors[position], identity)
        yield qe.Point(chunk.id, vectors, payload)


def named(vector: FloatArray, identity: IndexIdentity) -> "dict[str, qe.NamedVector]":
    """Return a whole vector and its prefix by their names."""
    values = vector.tolist()
    return {layout.FULL: values, layout.SEARCH: values[: identity.search_dimensions]}


def record_point(record: DocumentRecord) -> qe.Point:
    """Return the point of a document's record."""
    point_id = layout.record_id(record.uri, tenant=record.tenant)
    return qe.Point(point_id, {}, layout.record_payload(record))


def change_point(change: Change) -> qe.Point:
    """Return the point of a change."""
    return qe.Point(change.id, {}, change_payload(change))


def among(key: str, values: Sequence[str]) -> qe.FieldCondition:
    """Return the condition that a key has one of these values."""
    return qe.FieldCondition(key=key, match=qe.MatchAny(any=list(values)))


def of_kind(kind: str, *, tenant: str | None, **keys: str) -> qe.Filter:
    """Return the filter for points of a kind, of a tenant, with these values of other keys."""
    must: list[Condition] = [equals("kind", kind)]
    if tenant is not None:
        must.append(equals("tenant", tenant))
    must += [equals(key, value) for key, value in keys.items()]
    return qe.Filter(must=must)


def of_versions(versions: Sequence[str], *, tenant: str) -> qe.Filter:
    """Return the filter for a tenant's chunks of these versions."""
    return qe.Filter(
        must=[equals("kind", "chunk"), equals("tenant", tenant), among("version", versions)]
    )
