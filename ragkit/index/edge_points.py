"""What the Qdrant Edge engine is told: vectors, text analysis, points, filters, requests."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeAlias, cast

import numpy as np
import qdrant_edge as qe

from ragkit.core.filters import Scalar
from ragkit.core.protocols import Entry, LegQuery
from ragkit.core.types import DocumentRecord, FieldType, FloatArray, IndexIdentity, Quantization
from ragkit.index import layout
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
    """A payload's value is this one."""
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
    """Whole vectors on disk, and the prefixes that are searched, with a graph, in memory."""
    full, prefix = identity.dimensions, identity.search_dimensions
    vectors = {
        layout.FULL: qe.EdgeVectorParams(
            size=max(full, 1),
            distance=qe.Distance.Cosine,
            datatype=qe.VectorStorageDatatype.Float16,
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
    """How a language is analysed for BM25."""
    name = language.capitalize()
    return qe.TextIndexParams(
        tokenizer=qe.TokenizerType.Word,
        lowercase=True,
        ascii_folding=True,
        stemmer=qe.SnowballParams(getattr(qe.SnowballLanguage, name)),
        stopwords=qe.StopwordsSet(languages={getattr(qe.Language, name)}),
        scoring=True,
    )


def leg_requests(
    query: LegQuery,
    identity: IndexIdentity,
    condition: qe.Filter | None,
    bm25_params: qe.SearchParams | None,
) -> dict[str, qe.QueryRequest]:
    """The request of each leg that is asked, by the leg's name."""
    requests: dict[str, qe.QueryRequest] = {}
    if query.vector is not None:
        requests["dense"] = dense_request(query.vector, identity, query.depth, condition)
    if query.text is not None:
        requests["bm25"] = qe.QueryRequest(
            limit=query.depth,
            query=qe.TextQuery("text", query.text),
            filter=condition,
            params=bm25_params,
        )
    return requests


def dense_request(
    vector: FloatArray, identity: IndexIdentity, depth: int, condition: qe.Filter | None = None
) -> qe.QueryRequest:
    """Search by prefix for more than `depth` points, and rescore these by whole vectors."""
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
    """The points of a document's chunks."""
    record = entry.record
    for position, chunk in enumerate(entry.chunks):
        payload = layout.chunk_payload(chunk, tenant=record.tenant, generation=record.generation)
        vectors = {} if entry.vectors is None else named(entry.vectors[position], identity)
        yield qe.Point(chunk.id, vectors, payload)


def named(vector: FloatArray, identity: IndexIdentity) -> "dict[str, qe.NamedVector]":
    """A whole vector and its prefix."""
    values = vector.tolist()
    return {layout.FULL: values, layout.SEARCH: values[: identity.search_dimensions]}


def record_point(record: DocumentRecord) -> qe.Point:
    """The point of a document's record."""
    point_id = layout.record_id(record.uri, tenant=record.tenant)
    return qe.Point(point_id, {}, layout.record_payload(record))


def among(key: str, values: Sequence[str]) -> qe.FieldCondition:
    """A payload's keyword is one of these."""
    return qe.FieldCondition(key=key, match=qe.MatchAny(any=list(values)))


def chunks_of(uris: Sequence[str], tenant: str) -> qe.Filter:
    """All chunks of these documents."""
    return qe.Filter(must=[equals("kind", "chunk"), equals("tenant", tenant), among("uri", uris)])


def old_generations(records: Sequence[DocumentRecord]) -> qe.Filter:
    """The chunks of these documents, all of one tenant, that are of no current generation."""
    return qe.Filter(
        must=[chunks_of([record.uri for record in records], records[0].tenant)],
        must_not=[among("generation", [record.generation for record in records])],
    )
