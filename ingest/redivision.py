"""The division of stored documents by another chunker, where that gives what an ingestion would."""

import logging
from dataclasses import dataclass, replace

from ragkit.core.protocols import Chunker, Entry
from ragkit.core.types import ContextName, Document, DocumentRecord
from ragkit.ingest.loaders.identity import content_hash
from ragkit.ingest.loaders.registry import LoaderRegistry
from ragkit.ingest.preparation import (
    divided,
    division_identity,
    pipeline_parts,
    pipeline_text,
    with_generation,
)
from ragkit.ingest.sources.item import MemorySource

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Redivision:
    """Divides documents of which the index holds everything that an ingestion would read.

    Those are texts whose bytes are stored as they were (their hash says so), and documents made in
    code without blocks of their own. Of others, such as PDFs, the structure is not stored. Context
    lines of a model are not written again: that takes an ingestion.
    """

    chunker: Chunker
    registry: LoaderRegistry
    context: ContextName = "headings"

    @property
    def identity(self) -> str:
        """A text for the chunker and for what is embedded above each passage."""
        return division_identity(self.chunker, self.context)

    def is_due(self, record: DocumentRecord) -> bool:
        """Return whether a document was divided in another way."""
        loader, division, _ = pipeline_parts(record.pipeline)
        return bool(loader and record.chunks) and division != self.identity

    def record(self, record: DocumentRecord) -> DocumentRecord:
        """Return the record that a document has once it is divided; its chunks are not counted."""
        loader, _, added = pipeline_parts(record.pipeline)
        pipeline = pipeline_text(loader, self.identity, added)
        return with_generation(replace(record, pipeline=pipeline, version=""))

    def divided(self, entry: Entry) -> Entry | None:
        """Return a stored document, divided by the chunker; None where its source is needed."""
        document = None if self.context == "model" else self._document(entry)
        if document is None:
            return None
        return divided(document, self.record(entry.record), self.chunker, self.context)

    def _document(self, entry: Entry) -> Document | None:
        record, text = entry.record, ""
        for chunk in entry.chunks:
            text += chunk.text[len(text) - chunk.start :]
        identity, _, added = pipeline_parts(record.pipeline)
        stored = entry.chunks[0].metadata
        document = Document(
            uri=record.uri,
            title=record.title,
            text=text,
            metadata={key: value for key, value in stored.items() if key not in added},
            content_hash=record.content_hash,
        )
        if MemorySource(document=document).identity == identity:
            return replace(document, metadata={**document.metadata, **added})
        data = text.encode()
        if content_hash(data) != record.content_hash:
            return None
        try:
            loader = self.registry.loader(data, record.uri)
            if loader.identity != identity:
                return None
            document = loader.load(data, uri=record.uri)
        except Exception as error:  # noqa: BLE001 - a loader may raise anything
            logger.info("%r is not divided again: %s", record.uri, error)
            return None
        if document.text != text:
            return None
        return replace(document, metadata={**document.metadata, **added})
