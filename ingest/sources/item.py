"""Documents made in code: `Document`s, pairs of uri and text, and dicts."""

import hashlib
import json
from collections.abc import AsyncIterable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, TypeAlias, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ragkit.core.errors import InputError
from ragkit.core.metadata import flattened
from ragkit.core.types import Document, Metadata, MetadataValue
from ragkit.ingest.loaders.titles import stem_title
from ragkit.ingest.sources.collection import Collection
from ragkit.ingest.sources.source import CODE_ORIGIN, DocumentSource, OpenedSource

SingleItem: TypeAlias = str | Path | Document | Collection | tuple[str, str] | Mapping[str, object]
SourceItem: TypeAlias = SingleItem | Iterable[SingleItem] | AsyncIterable[SingleItem]
"""What can be ingested: a path, glob or URL, a collection, a document, (uri, text), a dict, or many
of these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemorySource:
    """A document that is already in memory, and what a run adds to its metadata."""

    document: Document
    origin: str = CODE_ORIGIN
    added: Metadata = field(default_factory=dict[str, MetadataValue])

    @property
    def uri(self) -> str:
        """The document's."""
        return self.document.uri

    def accepts(self, identity: str) -> bool:
        """Return whether the document is still the same."""
        return identity == self.identity

    @property
    def identity(self) -> str:
        """A digest of title, metadata, text and blocks: a content hash may be out of date."""
        document = self.document
        blocks = [(block.kind, block.start, block.end, block.level) for block in document.blocks]
        shape = [document.title, dict(document.metadata), text_hash(document.text), blocks]
        digest = hashlib.sha256(json.dumps(shape, sort_keys=True, default=str).encode())
        return f"document:{digest.hexdigest()[:32]}"

    def added_metadata(self) -> Metadata:
        """Return what the run adds."""
        return self.added

    def stamp(self) -> str:
        """Return nothing: there is no file to examine."""
        return ""

    def aliases(self) -> Sequence[DocumentSource]:
        """Return nothing: a document in memory has one name."""
        return ()

    def open(self) -> OpenedSource:
        """Return the document as it is."""
        document = self.document
        content = document.content_hash or text_hash(document.text)
        return OpenedSource(
            content_hash=content, identity=self.identity, load=partial(_returned, document)
        )


class DocumentFields(BaseModel):
    """The keys of a dict that describes a document."""

    model_config = ConfigDict(extra="forbid", strict=True)

    uri: Annotated[str, Field(min_length=1)]
    text: str
    title: str | None = None
    metadata: dict[str, object] = Field(default_factory=dict[str, object])


def as_document(item: object) -> Document:
    """Return the document that a pair of uri and text or a dict describes.

    Raises:
        InputError: It is not of that form, or its metadata cannot be stored.
    """
    if isinstance(item, Document):
        return item
    if isinstance(item, tuple):
        pair = cast("tuple[object, ...]", item)
        item = {"uri": pair[0], "text": pair[1]} if len(pair) == 2 else pair
    try:
        fields = DocumentFields.model_validate(item)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()
        )
        shown = _shortened(item)
        raise InputError(
            f"A document cannot be made of {shown}: {problems}. Fix: give a dict with uri and "
            "text, and title and metadata where there are any, or a pair (uri, text)."
        ) from error
    return Document(
        uri=fields.uri,
        title=stem_title(fields.uri) if fields.title is None else fields.title,
        text=fields.text,
        metadata=flattened(fields.metadata),
        content_hash=text_hash(fields.text),
    )


def text_hash(text: str) -> str:
    """Return the SHA-256 of a text, in hexadecimal."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _returned(document: Document) -> Document:
    return document


def _shortened(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."
