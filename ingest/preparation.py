"""The preparation of a document: whether it changed, and if so its chunks, ready to embed."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import cast

from ragkit.core.errors import InputError
from ragkit.core.filters import has_type
from ragkit.core.protocols import Chunker, Entry
from ragkit.core.text import is_unicode
from ragkit.core.types import (
    ContextName,
    Document,
    DocumentRecord,
    FieldType,
    Metadata,
    MetadataValue,
    stable_id,
    versioned,
)
from ragkit.ingest.sources.source import (
    ConditionalSource,
    DocumentSource,
    OpenedSource,
    kept_origin,
    origin_text,
)

_CONTEXTS: Mapping[ContextName, str] = {"headings": "", "model": "+model-1", "none": "+none"}
"""Parts of a record's pipeline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadSource:
    """A source that is new or changed, with its content and what shapes its chunks beside it."""

    uri: str
    opened: OpenedSource
    pipeline: str
    origin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparation:
    """Compares sources with their records, and makes entries of those that changed.

    Attributes:
        chunker: Divides the documents.
        fields: The index's filterable fields.
        tenant: Whose documents these are.
        context: What is embedded and indexed above each passage.
        take_over: Whether documents of another origin with the same uri are replaced.
        replace_metadata: Whether metadata that an earlier run added, and this one does not, goes.
    """

    chunker: Chunker
    fields: Mapping[str, FieldType]
    tenant: str
    context: ContextName = "headings"
    take_over: bool = False
    replace_metadata: bool = False

    def is_unchanged(self, source: DocumentSource, record: DocumentRecord) -> bool:
        """Return whether size and times prove a source unchanged, without reading it.

        Raises:
            InputError: The record belongs to another origin.
        """
        self._check_origin(source, record)
        return self._is_known_by_stamp(source, record) and source.stamp() == record.stamp

    def read(
        self, source: DocumentSource, record: DocumentRecord | None
    ) -> ReadSource | DocumentRecord:
        """Read a source; return its content, or the record of an unchanged one.

        That record has the present stamp.

        Raises:
            InputError: The source cannot be read, or the record belongs to another origin.
        """
        if record:
            self._check_origin(source, record)
            is_known = self._is_known_by_stamp(source, record)
            if is_known and isinstance(source, ConditionalSource):
                changed = source.open_if_changed(record.stamp)
                if changed is None:
                    return record
                return self._compared(source, changed, record)
        return self._compared(source, source.open(), record)

    def _is_known_by_stamp(self, source: DocumentSource, record: DocumentRecord) -> bool:
        """Return whether the same stamp would mean the same document."""
        identity = pipeline_parts(record.pipeline)[0]
        if not record.stamp or not source.accepts(identity):
            return False
        same = self._pipeline(source, identity, record) == record.pipeline
        return same and record.source == kept_origin(source, record.source)

    def _compared(
        self, source: DocumentSource, opened: OpenedSource, record: DocumentRecord | None
    ) -> ReadSource | DocumentRecord:
        origin = kept_origin(source, record.source) if record else source.origin
        pipeline = self._pipeline(source, opened.identity, record)
        known = record and (record.content_hash, record.pipeline, record.source)
        if record and known == (opened.content_hash, pipeline, origin):
            return replace(record, stamp=opened.stamp or record.stamp)
        return ReadSource(uri=source.uri, opened=opened, pipeline=pipeline, origin=origin)

    def entry(self, read: ReadSource, document: Document) -> Entry:
        """Return a source's new version, without vectors, for the document that was loaded.

        Raises:
            InputError: The document cannot be stored.
        """
        opened, pipeline = read.opened, read.pipeline
        added = pipeline_parts(pipeline)[2]
        metadata = {**document.metadata, **added}
        document = replace(document, uri=read.uri, metadata=metadata)  # a loader may name another
        self._check(document)
        record = with_generation(
            DocumentRecord(
                uri=read.uri,
                tenant=self.tenant,
                title=document.title,
                content_hash=opened.content_hash,
                pipeline=pipeline,
                chunks=0,
                generation="",
                source=read.origin,
                stamp=opened.stamp,
            )
        )
        return divided(document, record, self.chunker, self.context)

    def _pipeline(
        self, source: DocumentSource, identity: str, record: DocumentRecord | None
    ) -> str:
        """Return what shapes the chunks beside the content: loader, chunker, added metadata."""
        kept: Metadata = {}
        is_same = record and record.source == kept_origin(source, record.source)
        if record and is_same and not self.replace_metadata:
            kept = pipeline_parts(record.pipeline)[2]
        added = {**kept, **source.added_metadata()}
        return pipeline_text(identity, division_identity(self.chunker, self.context), added)

    def _check_origin(self, source: DocumentSource, record: DocumentRecord) -> None:
        if record.source != kept_origin(source, record.source) and not self.take_over:
            raise InputError(
                f"{source.uri!r} is in the index already, from {origin_text(record.source)}, and "
                f"this one is from {origin_text(source.origin)}: nothing was overwritten. Fix: "
                "name this source (--source NAME, source='NAME'), or replace the other with "
                "--force (force=True)."
            )

    def _check(self, document: Document) -> None:
        if not (is_unicode(document.title) and is_unicode(document.text)):
            raise InputError(
                f"{document.uri!r} has half of a surrogate pair in its text or title, which is no "
                "character. Fix: decode it with errors='replace'."
            )
        for name, kind in self.fields.items():
            value = document.metadata.get(name)
            if value is not None and not has_type(value, kind):
                raise InputError(
                    f"{document.uri!r} has {name} = {value!r}, but that field is declared as "
                    f"{kind}. Fix: change the document, or the declaration under [index.fields]."
                )


def divided(
    document: Document, record: DocumentRecord, chunker: Chunker, context: ContextName
) -> Entry:
    """Return a version of a document, without vectors, by its record, whose chunks are counted."""
    chunks = versioned(chunker.chunk(document), record.generation, tenant=record.tenant)
    if context == "none":
        chunks = tuple(replace(chunk, context="") for chunk in chunks)
    return Entry(record=replace(record, chunks=len(chunks)), chunks=chunks, vectors=None)


def with_generation(record: DocumentRecord) -> DocumentRecord:
    """Return a record with the id of its version: of all that shapes the chunks."""
    generation = stable_id(
        "generation",
        record.tenant,
        record.uri,
        record.source,
        record.content_hash,
        record.pipeline,
    )
    return replace(record, generation=generation)


def division_identity(chunker: Chunker, context: ContextName) -> str:
    """Return a text for what documents are divided by, and what is embedded above each passage."""
    return chunker.identity + _CONTEXTS[context]


def pipeline_text(loader: str, division: str, added: Metadata) -> str:
    """Return what shapes chunks beside the content: loader, division and added metadata."""
    return json.dumps([loader, division, dict(added)], sort_keys=True)


def pipeline_parts(pipeline: str) -> tuple[str, str, dict[str, MetadataValue]]:
    """Return loader, division and added metadata of a record; of other writers' records none."""
    try:
        parts: object = json.loads(pipeline)
    except ValueError:
        return "", "", {}
    items = cast("list[object]", parts) if isinstance(parts, list) else []
    if len(items) != 3 or not isinstance(items[2], dict):
        return "", "", {}
    added = cast("dict[str, str | int | float | bool | list[str]]", items[2])
    values = {
        key: tuple(value) if isinstance(value, list) else value for key, value in added.items()
    }
    return str(items[0]), str(items[1]), values
