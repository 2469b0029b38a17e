"""How chunks, records and the index's identity lie in a Qdrant collection, embedded or served.

Every point has a `kind`. A `chunk` has vectors and text; a `record` (one per document and tenant)
and the one `identity` have payload only, so no search can return them.

```
chunk     {kind, tenant, uri, title, generation, text, body, start, end, headings, page, metadata}
record    {kind, tenant, record: {uri, title, content_hash, pipeline, chunks, generation}}
identity  {kind, identity: {...}, fields: {...}}
```
`text` is what BM25 sees: the chunk's header, a blank line, and from character `body` on the passage
itself. Floats in `metadata` come back to 15 significant digits: the engine's JSON keeps no more.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Annotated, Any, Literal, TypeAlias

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ragkit.core.errors import ConfigError, IndexMismatch, InputError
from ragkit.core.filters import BUILT_IN_FIELDS, INT64, check_filter
from ragkit.core.protocols import Entry, LegQuery
from ragkit.core.types import (
    Chunk,
    DocumentRecord,
    FieldType,
    IndexIdentity,
    MetadataValue,
    stable_id,
)

Payload = dict[str, Any]
"""JSON as the Qdrant clients take and give it; it is validated where it is read."""

FULL, SEARCH = "full", "search"
PREFETCH_FACTOR = 2
"""Candidates of the prefix search that are rescored in full, as a multiple of `depth`."""
StoredIdentity: TypeAlias = tuple[IndexIdentity, dict[str, FieldType]]
"""What an index was built with, and its filterable fields."""

LAYOUT_VERSION: Literal[1] = 1
IDENTITY_ID = stable_id("identity")
PAYLOAD_INDEXES: Mapping[str, FieldType] = {
    "kind": "keyword",
    "tenant": "keyword",
    "generation": "keyword",
    **BUILT_IN_FIELDS,
}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class _Model(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _ChunkPayload(_Model):
    uri: str
    title: str
    text: str
    body: Annotated[int, Field(ge=0)]
    start: int
    end: int
    headings: tuple[str, ...] = ()
    page: int | None = None
    metadata: dict[str, MetadataValue] = Field(default_factory=dict[str, MetadataValue])


class _RecordBody(_Model):
    uri: str
    title: str
    content_hash: str
    pipeline: str
    chunks: int
    generation: str


class _RecordPayload(_Model):
    tenant: str
    record: _RecordBody


class _IdentityBody(_Model):
    layout: Literal[1]
    embedder: str
    revision: str
    dimensions: int
    search_dimensions: int
    query_prompt: str
    passage_prompt: str
    language: str


class _IdentityPayload(_Model):
    kind: Literal["identity"]
    identity: _IdentityBody
    fields: dict[str, FieldType]


def field_key(field: str) -> str:
    """The payload path of a filterable field."""
    return field if field in BUILT_IN_FIELDS else f"metadata.{field}"


def check_fields(declared: Mapping[str, FieldType]) -> dict[str, FieldType]:
    """Built-in and declared fields together.

    Raises:
        ConfigError: A declared name is no identifier or is built in with another type.
    """
    for name, kind in declared.items():
        if not _NAME.fullmatch(name):
            raise ConfigError(f"Field name {name!r}: use letters, digits and underscores.")
        if BUILT_IN_FIELDS.get(name, kind) != kind:
            raise ConfigError(f"Field {name!r} is built in as {BUILT_IN_FIELDS[name]}: rename it.")
    return {**BUILT_IN_FIELDS, **declared}


def merge_fields(
    stored: Mapping[str, FieldType], declared: Mapping[str, FieldType]
) -> dict[str, FieldType]:
    """Fields of an index that is opened with (perhaps new) declarations.

    Raises:
        IndexMismatch: A field is declared with another type than it was stored with.
    """
    for name, kind in declared.items():
        if stored.get(name, kind) != kind:
            raise IndexMismatch(
                f"Field {name!r} is stored as {stored[name]} and declared as {kind}: "
                "declare it as it was, or ingest into a new index."
            )
    return {**stored, **declared}


def check_leg_query(
    query: LegQuery, identity: IndexIdentity, fields: Mapping[str, FieldType]
) -> None:
    """Raise `InputError` where a store with this identity and fields cannot run a query."""
    if query.depth < 1:
        raise InputError(f"A search needs a depth of 1 or more, not {query.depth}.")
    if query.vector is not None and query.vector.shape != (identity.dimensions,):
        raise InputError(
            f"The query's vector has shape {query.vector.shape}, and the index has vectors of "
            f"{identity.dimensions} dimensions: embed the query with {identity.embedder!r}."
        )
    if query.text is not None:
        _check_storable("The query", query.text)
    if query.where is not None:
        check_filter(query.where, fields)


def check_entries(entries: Sequence[Entry], identity: IndexIdentity) -> None:
    """Raise `InputError` naming the document that no store could hold and give back unchanged."""
    for entry in entries:
        record = entry.record
        _check_storable(f"The document {record.uri!r}", record_payload(record))
        for chunk in entry.chunks:
            payload = chunk_payload(chunk, tenant=record.tenant, generation=record.generation)
            _check_storable(f"The document {record.uri!r}", payload)
            _check_numbers(record.uri, chunk)
        wanted = (len(entry.chunks), identity.dimensions)
        if entry.vectors is None:
            continue
        if entry.vectors.shape != wanted or not np.isfinite(entry.vectors).all():
            raise InputError(
                f"The document {record.uri!r} comes with vectors of shape {entry.vectors.shape}; "
                f"finite numbers of shape {wanted} are needed."
            )


def _check_storable(what: str, value: object) -> None:
    # Qdrant keeps JSON: no lone surrogates, no NaN or infinity, and integers of 64 bits.
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise InputError(f"{what} holds what no index can keep: {error}") from error


def _check_numbers(uri: str, chunk: Chunk) -> None:
    for name, value in chunk.metadata.items():
        if isinstance(value, int) and value not in INT64:
            raise InputError(f"The document {uri!r} has {name} = {value}, beyond 64 bits.")


def chunk_payload(chunk: Chunk, *, tenant: str, generation: str) -> Payload:
    """A chunk as stored."""
    header = f"{chunk.header}\n\n" if chunk.header else ""
    return {
        "kind": "chunk",
        "tenant": tenant,
        "uri": chunk.uri,
        "title": chunk.title,
        "generation": generation,
        "text": header + chunk.text,
        "body": len(header),
        "start": chunk.start,
        "end": chunk.end,
        "headings": list(chunk.heading_path),
        "page": chunk.page,
        "metadata": {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in chunk.metadata.items()
        },
    }


def read_chunk(point_id: str, payload: Payload | None) -> Chunk:
    """A chunk from its stored form."""
    stored = _ChunkPayload.model_validate(payload)
    return Chunk(
        id=point_id,
        uri=stored.uri,
        title=stored.title,
        text=stored.text[stored.body :],
        start=stored.start,
        end=stored.end,
        heading_path=stored.headings,
        page=stored.page,
        metadata=stored.metadata,
    )


def read_chunks(
    ids: Sequence[str], payloads: Mapping[str, Payload | None], *, tenant: str
) -> list[Chunk]:
    """The tenant's chunks among the points with these ids, in the ids' order."""
    found = ((point_id, payloads.get(point_id) or {}) for point_id in ids)
    return [
        read_chunk(point_id, payload)
        for point_id, payload in found
        if (payload.get("kind"), payload.get("tenant")) == ("chunk", tenant)
    ]


def record_id(uri: str, *, tenant: str) -> str:
    """Id of a document's record."""
    return stable_id("record", tenant, uri)


def record_payload(record: DocumentRecord) -> Payload:
    """A record as stored."""
    body = asdict(record)
    return {"kind": "record", "tenant": body.pop("tenant"), "record": body}


def read_record(payload: Payload | None) -> DocumentRecord:
    """A record from its stored form."""
    stored = _RecordPayload.model_validate(payload)
    return DocumentRecord(tenant=stored.tenant, **stored.record.model_dump())


def identity_payload(identity: IndexIdentity, fields: Mapping[str, FieldType]) -> Payload:
    """The identity point's payload."""
    body = {"layout": LAYOUT_VERSION, **asdict(identity)}
    return {"kind": "identity", "identity": body, "fields": dict(fields)}


def read_identity(payload: Payload | None) -> StoredIdentity:
    """The stored identity and fields.

    Raises:
        IndexMismatch: The index was written by a ragkit with another layout.
    """
    try:
        stored = _IdentityPayload.model_validate(payload)
    except ValidationError as error:
        raise IndexMismatch(
            f"The index was not written with layout {LAYOUT_VERSION}, which this ragkit has: "
            "ingest the documents into a new index."
        ) from error
    body = stored.identity.model_dump(exclude={"layout"})
    return IndexIdentity(**body), stored.fields


def no_index(location: str) -> str:
    """What to say where an index is missing."""
    return f"No index at {location!r}. Make one with: ragkit ingest PATH --index {location}"


def check_identity(stored: IndexIdentity, wanted: IndexIdentity, *, location: str) -> None:
    """Raise `IndexMismatch` naming what differs and how to rebuild."""
    differences = [
        f"{name} is {old!r} in the index and {new!r} in the settings"
        for (name, old), new in zip(asdict(stored).items(), asdict(wanted).values(), strict=True)
        if old != new
    ]
    if differences:
        raise IndexMismatch(
            f"The index at {location!r} was built differently: {'; '.join(differences)}. "
            f"Set these back, or ingest into a new index with --index."
        )
