"""Checks of queries, documents and fields before they reach a store."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import cast

import numpy as np

from ragkit.core.errors import ConfigError, IndexMismatch, InputError
from ragkit.core.filters import BUILT_IN_FIELDS, INT64, check_filter
from ragkit.core.metadata import check_metadata
from ragkit.core.protocols import Entry, LegQuery
from ragkit.core.tenant import check_tenant
from ragkit.core.types import Chunk, FieldType, IndexIdentity, chunk_id
from ragkit.index.layout import chunk_payload, rebuilding, record_payload

_NAME = re.compile(r"[^\W\d]\w*(?:[.-]\w+)*")


def check_fields(declared: Mapping[str, FieldType]) -> dict[str, FieldType]:
    """Return built-in and declared fields together.

    Raises:
        ConfigError: A declared name cannot be written in a filter, or is built in with another
            type.
    """
    for name, kind in declared.items():
        if not _NAME.fullmatch(name):
            raise ConfigError(
                f"The field {name!r} cannot be filtered by its name. Fix: use letters, digits and "
                "underscores, with '-' or '.' between them."
            )
        if BUILT_IN_FIELDS.get(name, kind) != kind:
            raise ConfigError(
                f"The field {name!r} is built in with type {BUILT_IN_FIELDS[name]} and declared as "
                f"{kind}. Fix: give it another name."
            )
    return {**BUILT_IN_FIELDS, **declared}


def merge_fields(
    stored: Mapping[str, FieldType], declared: Mapping[str, FieldType], *, command: str = ""
) -> dict[str, FieldType]:
    """Return the fields of an index that is opened with (perhaps new) declarations.

    Args:
        stored: Of the index.
        declared: Of the settings.
        command: The command that builds the index again with the settings, where there is one.

    Raises:
        IndexMismatch: A field is declared with another type than it was stored with.
    """
    for name, kind in declared.items():
        if stored.get(name, kind) != kind:
            raise IndexMismatch(
                f"The field {name!r} is stored as {stored[name]} and declared as {kind}. Fix: "
                f"declare it as it was, or {rebuilding(command)}."
            )
    return {**stored, **declared}


def check_uris(uris: Sequence[str]) -> list[str]:
    """Return the uris, each once.

    Raises:
        InputError: One uri was given where a list belongs, or something else than uris.
    """
    if isinstance(uris, str):
        raise InputError(f"The uri {uris!r} was given where a list belongs. Fix: give [{uris!r}].")
    given = cast("object", uris)  # callers need not be checked by types
    items = list(cast("Iterable[object]", given)) if isinstance(given, Iterable) else [given]
    if bad := [uri for uri in items if not isinstance(uri, str)]:
        raise InputError(f"{bad[0]!r} is no uri. Fix: give texts.")
    return list(dict.fromkeys(cast("list[str]", items)))


def check_leg_query(
    query: LegQuery, identity: IndexIdentity, fields: Mapping[str, FieldType]
) -> None:
    """Check that a store with this identity and fields can run a query.

    Raises:
        InputError: It cannot.
    """
    check_tenant(query.tenant)
    if query.depth < 1:
        raise InputError(f"A search was asked for a depth of {query.depth}. Fix: give 1 or more.")
    if query.vector is not None and query.vector.shape != (identity.dimensions,):
        raise InputError(
            f"The query's vector has shape {query.vector.shape}, and the index has vectors of "
            f"{identity.dimensions} dimensions. Fix: embed the query with {identity.embedder!r}."
        )
    if query.text is not None:
        _check_storable("The query", query.text)
    if query.where is not None:
        check_filter(query.where, fields)


def check_entries(entries: Sequence[Entry], identity: IndexIdentity) -> None:
    """Check that documents can be stored and read back unchanged.

    Raises:
        InputError: One cannot; the message names it.
    """
    for entry in entries:
        record = entry.record
        check_tenant(record.tenant)
        document = f"The document {record.uri!r}"
        _check_storable(document, record_payload(record))
        for ordinal, chunk in enumerate(entry.chunks):
            _check_chunk(document, chunk)
            if chunk.id != chunk_id(record.generation, ordinal, tenant=record.tenant):
                raise InputError(
                    f"{document} has a chunk {chunk.id!r} that is not of its tenant and version. "
                    "Fix: number the chunks with ragkit.core.types.versioned."
                )
        if entry.vectors is not None:
            _check_vectors(entry, (len(entry.chunks), identity.dimensions))


def _check_chunk(document: str, chunk: Chunk) -> None:
    try:
        check_metadata(chunk.metadata)
    except InputError as error:
        raise InputError(f"{document}: {error}") from error
    for name, value in chunk.metadata.items():
        if isinstance(value, int) and value not in INT64:
            raise InputError(f"{document} has {name!r} = {value}, beyond 64 bits.")
    _check_storable(document, chunk_payload(chunk, tenant="", version=""))


def _check_vectors(entry: Entry, wanted: tuple[int, int]) -> None:
    vectors = entry.vectors
    if not isinstance(vectors, np.ndarray):
        found = f"of type {type(vectors).__name__}"
    elif vectors.shape != wanted:
        found = f"of shape {vectors.shape}"
    elif not np.isfinite(vectors).all():
        found = "with numbers that are not finite"
    elif len(vectors) and not np.linalg.norm(vectors, axis=1).all():
        found = "that are zero"
    else:
        return
    raise InputError(
        f"The document {entry.record.uri!r} comes with vectors {found}; an array of finite numbers "
        f"of shape {wanted} is needed, no row of which is zero."
    )


def _check_storable(what: str, value: object) -> None:
    # Qdrant keeps JSON: no lone surrogates, no NaN or infinity, and integers of 64 bits.
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise InputError(f"{what} holds text or numbers that JSON cannot carry: {error}") from error
