"""What is sent to a Qdrant server and what comes back, in the client's models: pure functions."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import TypeAlias, TypeVar, cast

import httpx
from qdrant_client import models
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.conversions.common_types import QueryResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from ragkit.core.errors import ProviderError
from ragkit.core.filters import BUILT_IN_FIELDS
from ragkit.core.protocols import Entry, LegQuery, Legs
from ragkit.core.types import (
    DocumentRecord,
    FieldType,
    FloatArray,
    IndexIdentity,
    Quantization,
)
from ragkit.index import layout
from ragkit.index.filter_translation import Dialect, translate

PROVIDER = "qdrant"
OLDEST_SERVER = (1, 20)
"""The first release with BM25 over a text index."""
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
    identity: IndexIdentity, quantization: Quantization = "int8"
) -> dict[str, models.VectorParams]:
    """The named vectors of a collection."""
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
            hnsw_config=models.HnswConfigDiff(m=16, ef_construct=128),
            quantization_config=_QUANTIZATIONS[quantization],
        ),
    }


def has_vectors_of(found: object, identity: IndexIdentity) -> bool:
    """Whether a collection's vectors are those that an index of this identity has."""
    if not isinstance(found, Mapping):
        return False
    named = cast("Mapping[str, models.VectorParams]", found)
    wanted = {name: params.size for name, params in vector_params(identity).items()}
    return wanted == {name: params.size for name, params in named.items()}


def text_params(language: str) -> models.TextIndexParams:
    """The full-text index with BM25 statistics."""
    return models.TextIndexParams(
        type=models.TextIndexType.TEXT,
        tokenizer=models.TokenizerType.WORD,
        lowercase=True,
        ascii_folding=True,
        stemmer=models.SnowballParams(
            type=models.Snowball.SNOWBALL, language=models.SnowballLanguage(language)
        ),
        stopwords=models.StopwordsSet(languages=[models.Language(language)]),
        scoring=True,
    )


def field_params(fields: Mapping[str, FieldType]) -> dict[str, _Schema]:
    """The payload indexes: ragkit's own, and those of declared fields."""
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
) -> dict[str, models.QueryRequest]:
    """The request of each leg; filter and tenant bind every part of both."""
    tenant = models.Filter(must=[equals("tenant", query.tenant)])
    condition = tenant
    if query.where is not None:
        where = translate(query.where, fields, DIALECT)
        condition = models.Filter(must=[equals("tenant", query.tenant), where])
    requests: dict[str, models.QueryRequest] = {}
    if query.vector is not None:
        requests["dense"] = _dense_request(query.vector, query.depth, identity, condition)
    if query.text is not None:
        corpus = models.SearchParams(idf=models.IdfCorpusParams(corpus=tenant))
        requests["bm25"] = models.QueryRequest(
            query=models.TextQuery(text=query.text),
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


def read_legs(names: Iterable[str], answers: Iterable[QueryResponse]) -> Legs:
    """What the legs of these names found."""
    ranked: dict[str, tuple[tuple[str, float], ...]] = {}
    payloads: dict[str, layout.Payload | None] = {}
    for name, answer in zip(names, answers, strict=True):
        ranked[name] = tuple((str(point.id), point.score) for point in answer.points)
        payloads.update((str(point.id), point.payload) for point in answer.points)
    return Legs(
        dense=ranked.get("dense", ()),
        bm25=ranked.get("bm25", ()),
        chunks={item: layout.read_chunk(item, payload) for item, payload in payloads.items()},
    )


def chunk_points(entry: Entry, identity: IndexIdentity) -> Iterator[models.PointStruct]:
    """A document's chunks, as points."""
    record = entry.record
    for position, chunk in enumerate(entry.chunks):
        vectors: models.VectorStruct = {}
        if entry.vectors is not None:
            values: list[float] = entry.vectors[position].tolist()
            vectors = {layout.FULL: values, layout.SEARCH: values[: identity.search_dimensions]}
        yield models.PointStruct(
            id=chunk.id,
            vector=vectors,
            payload=layout.chunk_payload(chunk, tenant=record.tenant, generation=record.generation),
        )


def bare_point(point_id: str, payload: layout.Payload) -> models.PointStruct:
    """A record or the identity, as a point without vectors."""
    return models.PointStruct(id=point_id, vector={}, payload=payload)


def batches(points: Iterable[models.PointStruct]) -> Iterator[list[models.PointStruct]]:
    """Points in requests of up to `BATCH_POINTS`, and of about `BATCH_BYTES` at most."""
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
    """The items, `size` at a time."""
    for first in range(0, len(items), size):
        yield items[first : first + size]


def equals(key: str, value: str) -> models.FieldCondition:
    """The key has this value."""
    return models.FieldCondition(key=key, match=models.MatchValue(value=value))


def among(key: str, values: Sequence[str]) -> models.FieldCondition:
    """The key has one of these values."""
    return models.FieldCondition(key=key, match=models.MatchAny(any=list(values)))


def chunks_of(uris: Sequence[str], *, tenant: str) -> models.Filter:
    """The chunks of a tenant's documents."""
    return models.Filter(
        must=[equals("kind", "chunk"), equals("tenant", tenant), among("uri", uris)]
    )


def old_generations(records: Sequence[DocumentRecord]) -> models.Filter:
    """The chunks of these documents, all of one tenant, that are of no current generation."""
    current = chunks_of([record.uri for record in records], tenant=records[0].tenant)
    current.must_not = [among("generation", [record.generation for record in records])]
    return current


def check_version(version: str, location: str) -> None:
    """Raise `ProviderError` for a server that has no BM25 over text indexes."""
    numbers = version.split(".")[:2]
    if not all(number.isdecimal() for number in numbers):
        return  # a build of one's own
    if tuple(map(int, numbers)) < OLDEST_SERVER:
        raise ProviderError(
            f"The Qdrant server at {location!r} has version {version}, and ragkit needs "
            f"{'.'.join(map(str, OLDEST_SERVER))} or newer: docker compose pull qdrant",
            provider=PROVIDER,
        )


def provider_error(error: Exception, location: str) -> ProviderError:
    """An error of the client, in ragkit's terms."""
    where = f"The Qdrant server at {location!r}"
    if isinstance(error, UnexpectedResponse):
        status = error.status_code or 0
        return ProviderError(
            f"{where} answered {status}: {_reason(error)}{_REMEDIES.get(status, '')}",
            provider=PROVIDER,
            status=status,
            retryable=status == HTTPStatus.TOO_MANY_REQUESTS or status >= 500,
        )
    if isinstance(error, ResourceExhaustedResponse):
        return ProviderError(
            f"{where} is overloaded: {error}",
            provider=PROVIDER,
            status=HTTPStatus.TOO_MANY_REQUESTS,
            retryable=True,
        )
    source = error.source if isinstance(error, ResponseHandlingException) else error
    if isinstance(source, httpx.ConnectError | httpx.ConnectTimeout):
        message = f"cannot be reached ({source}). Start it with: docker compose up -d qdrant"
    elif isinstance(source, httpx.TimeoutException):
        message = "did not answer in time. Try again, or raise index.timeout_s."
    elif isinstance(source, httpx.TransportError):
        message = f"broke off: {source or type(source).__name__}"
    else:
        message = f"gave an answer that is not Qdrant's: {source}"
    retryable = isinstance(source, httpx.TransportError)
    return ProviderError(f"{where} {message}", provider=PROVIDER, retryable=retryable)


_REMEDIES: Mapping[int, str] = {
    401: ". Set its key: RAGKIT_INDEX__API_KEY",
    403: ". Set a key that may do this: RAGKIT_INDEX__API_KEY",
    404: ". Make the index with: ragkit ingest PATH --index URL",
}


def _reason(error: UnexpectedResponse) -> str:
    try:
        return str(error.structured()["status"]["error"])
    except (ValueError, KeyError, TypeError):
        return error.content[:200].decode(errors="replace") or error.reason_phrase
