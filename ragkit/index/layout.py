"""The layout of a Qdrant collection, embedded or served: chunks, records, changes, identity.

Every point has a `kind`. A `chunk` has vectors and text; a `record` (one per document and tenant),
a `change` (one for each commit or deletion that has begun and not ended) and the one `identity`
have payload only, so no search can return them.

```
chunk     {kind, tenant, uri, title, version, ordinal, text, original?, body, start, end, headings,
           page, window?, context?, metadata}
record    {kind, tenant, source, version, record: {uri, title, content_hash, pipeline, chunks,
           generation, source, stamp}}
change    {kind, tenant, change: {writer, expires_at, written, replaced, claim}}
identity  {kind, identity: {...}, fields: {...}}, on a server also
          {collection, version, builder, replaces, successor?,
           rebuild?: {generation, left, process, holder, beat, is_closing}}
```
A `version` is one write of a generation, `generation/write`: a record makes its generation current,
and every deletion names the version that it means. `text` is the text of the BM25 leg: the lexical
form of the chunk's lead, a blank line, and from character `body` on the passage itself. Where
that form is another text, `original` keeps the lead and the passage as they were. Floats in
`metadata` come back to 15 significant digits: the engine's JSON keeps no more.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Annotated, Any, Literal, TypeAlias

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ragkit.core.errors import IndexMismatch, InputError
from ragkit.core.filters import BUILT_IN_FIELDS
from ragkit.core.lexical_form import lexical_form
from ragkit.core.metadata import NESTING
from ragkit.core.types import (
    Chunk,
    DocumentRecord,
    FieldType,
    FloatArray,
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
"""The parts that an index was built with, and its filterable fields."""

LAYOUT_VERSION: Literal[4] = 4
IDENTITY_ID = stable_id("identity")
IDLE = "idle"
"""The `version` of an identity while no process builds its index again."""
PAYLOAD_INDEXES: Mapping[str, FieldType] = {
    "kind": "keyword",
    "tenant": "keyword",
    "version": "keyword",
    "source": "keyword",
    **BUILT_IN_FIELDS,
}


class _StoredModel(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _ChunkPayload(_StoredModel):
    uri: str
    title: str
    version: str
    ordinal: int
    text: str
    original: str | None = None
    body: Annotated[int, Field(ge=0)]
    start: int
    end: int
    headings: tuple[str, ...] = ()
    page: int | None = None
    window: tuple[int, int] | None = None
    context: str | None = None
    metadata: dict[str, MetadataValue] = Field(default_factory=dict[str, MetadataValue])


class _RecordBody(_StoredModel):
    uri: str
    title: str
    content_hash: str
    pipeline: str
    chunks: int
    generation: str
    source: str
    stamp: str


class _RecordPayload(_StoredModel):
    tenant: str
    version: str
    record: _RecordBody


class _IdentityBody(_StoredModel):
    layout: Literal[4]
    embedder: str
    revision: str
    dimensions: int
    search_dimensions: int
    query_prompt: str
    passage_prompt: str
    language: str
    lexical_form: str


class _IdentityPayload(_StoredModel):
    kind: Literal["identity"]
    identity: _IdentityBody
    fields: dict[str, FieldType]


def field_key(field: str) -> str:
    """Return the payload path of a filterable field."""
    if field in BUILT_IN_FIELDS:
        return field
    # A dot would mean a nested object, and metadata is stored flat.
    return f'metadata."{field}"' if NESTING in field else f"metadata.{field}"


def new_version(generation: str) -> str:
    """Return the id of a new write of a generation."""
    return f"{generation}/{uuid.uuid4().hex[:12]}"


def generation_of(version: str) -> str:
    """Return the generation that a version wrote."""
    return version.rpartition("/")[0]


def chunk_payload(chunk: Chunk, *, tenant: str, version: str) -> Payload:
    """Return a chunk as stored."""
    lead = f"{chunk.lead}\n\n" if chunk.lead else ""
    original = lead + chunk.text
    text = lexical_form(original, passage=True)
    return {
        "kind": "chunk",
        "tenant": tenant,
        "uri": chunk.uri,
        "title": chunk.title,
        "version": version,
        "ordinal": chunk.ordinal,
        "text": text,
        **({} if text == original else {"original": original}),
        "body": len(lead),
        "start": chunk.start,
        "end": chunk.end,
        "headings": list(chunk.heading_path),
        "page": chunk.page,
        **({} if chunk.window is None else {"window": list(chunk.window)}),
        **({} if chunk.context is None else {"context": chunk.context}),
        "metadata": {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in chunk.metadata.items()
        },
    }


def read_chunk(point_id: str, payload: Payload | None) -> Chunk:
    """Read a chunk from its stored form."""
    stored = _ChunkPayload.model_validate(payload)
    original = stored.text if stored.original is None else stored.original
    return Chunk(
        id=point_id,
        uri=stored.uri,
        title=stored.title,
        text=original[stored.body :],
        start=stored.start,
        end=stored.end,
        heading_path=stored.headings,
        page=stored.page,
        metadata=stored.metadata,
        generation=generation_of(stored.version),
        ordinal=stored.ordinal,
        window=stored.window,
        context=stored.context,
    )


def read_chunks(
    ids: Sequence[str], payloads: Mapping[str, Payload | None], *, tenant: str
) -> list[Chunk]:
    """Return the tenant's chunks among the points with these ids, in the ids' order."""
    found = ((point_id, payloads.get(point_id) or {}) for point_id in ids)
    return [
        read_chunk(point_id, payload)
        for point_id, payload in found
        if (payload.get("kind"), payload.get("tenant")) == ("chunk", tenant)
    ]


def stacked(ids: Sequence[str], stored: Mapping[str, object], dimensions: int) -> FloatArray:
    """Return stored vectors as rows, in the order of the ids.

    Raises:
        InputError: One of them is missing.
    """
    rows = np.empty((len(ids), dimensions), dtype=np.float32)
    for row, item in enumerate(ids):
        vector = stored.get(item)
        if vector is None:
            raise InputError(f"The index has no vector of a chunk {item!r}.")
        rows[row] = np.asarray(vector, dtype=np.float32)
    return rows


def record_id(uri: str, *, tenant: str) -> str:
    """Return the id of a document's record."""
    return stable_id("record", tenant, uri)


def record_payload(record: DocumentRecord) -> Payload:
    """Return a record as stored."""
    body = asdict(record)
    return {
        "kind": "record",
        "tenant": body.pop("tenant"),
        "source": record.source,
        "version": body.pop("version"),
        "record": body,
    }


def read_record(payload: Payload | None) -> DocumentRecord:
    """Read a record from its stored form."""
    stored = _RecordPayload.model_validate(payload)
    return DocumentRecord(
        tenant=stored.tenant, version=stored.version, **stored.record.model_dump()
    )


def identity_payload(identity: IndexIdentity, fields: Mapping[str, FieldType]) -> Payload:
    """Return the identity as stored."""
    body = {"layout": LAYOUT_VERSION, **asdict(identity)}
    return {"kind": "identity", "identity": body, "fields": dict(fields)}


def read_identity(payload: Payload | None) -> StoredIdentity:
    """Read the identity and the fields from their stored form.

    Raises:
        IndexMismatch: The index was written by a ragkit with another layout.
    """
    try:
        stored = _IdentityPayload.model_validate(payload)
    except ValidationError as error:
        raise IndexMismatch(
            f"The index was not written with layout {LAYOUT_VERSION}, which this ragkit reads. "
            "Fix: ingest the documents into a new index."
        ) from error
    body = stored.identity.model_dump(exclude={"layout"})
    return IndexIdentity(**body), stored.fields


def rebuilding(command: str) -> str:
    """Return, for messages, the way to an index of the settings: a command, where there is one."""
    if command:
        return f"build it again with these settings ({command})"
    return "ingest into a new index with --index"


def followed(wanted: IndexIdentity, stored: IndexIdentity) -> IndexIdentity:
    """Return the parts that are wanted, with those of the index that a search need not know."""
    return replace(wanted, search_dimensions=stored.search_dimensions, language=stored.language)


def check_identity(
    stored: IndexIdentity, wanted: IndexIdentity, *, location: str, command: str = ""
) -> None:
    """Check that an index was built with the parts that are wanted.

    Args:
        stored: Of the index.
        wanted: Of the settings.
        location: The place of the index.
        command: The command that builds it again with the settings, where there is one.

    Raises:
        IndexMismatch: It was not; the message names each difference.
    """
    differences = [
        f"{name} is {old!r} in the index and {new!r} in the settings"
        for (name, old), new in zip(asdict(stored).items(), asdict(wanted).values(), strict=True)
        if old != new
    ]
    if differences:
        raise IndexMismatch(
            f"The index at {location!r} was built differently: {'; '.join(differences)}. "
            f"Fix: set these back, or {rebuilding(command)}."
        )
