"""Preparation: when a document is a new version, and what that version is made of."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from ragkit import Document, InputError
from ragkit.core.protocols import Entry
from ragkit.core.types import DocumentRecord, FieldType, MetadataValue
from ragkit.ingest.chunkers.recursive import RecursiveChunker
from ragkit.ingest.preparation import Preparation
from ragkit.ingest.sources.item import MemorySource
from ragkit.testing.embedder import WordTokenizer


def preparation(fields: Mapping[str, FieldType] | None = None, tenant: str = "t") -> Preparation:
    chunker = RecursiveChunker(WordTokenizer(), chunk_tokens=20)
    return Preparation(chunker=chunker, fields=fields or {}, tenant=tenant)


def document(text: str = "word " * 50, **metadata: MetadataValue) -> MemorySource:
    made = Document(uri="u", title="T", text=text, metadata=metadata, content_hash="h")
    return MemorySource(document=made)


def prepared(
    preparation: Preparation, source: MemorySource, record: DocumentRecord | None
) -> Entry | DocumentRecord:
    read = preparation.read(source, record)
    return read if isinstance(read, DocumentRecord) else preparation.entry(read, source.document)


def entry_of(made: Entry | DocumentRecord) -> Entry:
    assert isinstance(made, Entry)
    return made


def test_a_new_document_becomes_an_entry_with_its_chunks() -> None:
    entry = entry_of(prepared(preparation(), document(), None))
    assert entry.vectors is None
    assert entry.record.chunks == len(entry.chunks) == 3
    assert {chunk.generation for chunk in entry.chunks} == {entry.record.generation}
    assert [chunk.ordinal for chunk in entry.chunks] == [0, 1, 2]
    assert "".join(chunk.text for chunk in entry.chunks) == "word " * 50


def test_an_unchanged_document_gives_back_its_record() -> None:
    record = entry_of(prepared(preparation(), document(), None)).record
    assert prepared(preparation(), document(), record) == record


@pytest.mark.parametrize(
    "changed", [document("other"), document(year=2024)], ids=["text", "metadata"]
)
def test_a_changed_document_is_a_new_generation(changed: MemorySource) -> None:
    record = entry_of(prepared(preparation(), document(), None)).record
    entry = entry_of(prepared(preparation(), changed, record))
    assert entry.record.generation != record.generation
    ids = {chunk.id for chunk in entry.chunks}
    before = entry_of(prepared(preparation(), document(), None))
    assert ids.isdisjoint(chunk.id for chunk in before.chunks)


def test_two_tenants_never_share_a_generation() -> None:
    ours = entry_of(prepared(preparation(tenant="one"), document(), None))
    theirs = entry_of(prepared(preparation(tenant="two"), document(), None))
    assert ours.record.generation != theirs.record.generation


def test_a_record_of_another_origin_is_not_overwritten_unless_taken_over() -> None:
    record = entry_of(prepared(preparation(), document(), None)).record
    theirs = replace(record, source="folder:/data/docs")
    with pytest.raises(
        InputError, match=r"from the folder '/data/docs', and this one is from docu"
    ):
        prepared(preparation(), document(), theirs)
    forced = replace(preparation(), take_over=True)
    assert entry_of(prepared(forced, document(), theirs)).record.source == ""


def test_a_record_that_another_program_wrote_is_replaced() -> None:
    record = entry_of(prepared(preparation(), document(), None)).record
    for pipeline in ("", "loader|chunker", "[1]", '{"a": 1}', "[1, 2, 3]"):
        entry = entry_of(prepared(preparation(), document(), replace(record, pipeline=pipeline)))
        assert entry.record.pipeline != pipeline


def test_a_value_of_another_type_than_its_field_is_refused_by_name() -> None:
    with pytest.raises(InputError, match=r"'u' has year = 'soon', .* declared as integer\. Fix"):
        prepared(preparation({"year": "integer"}), document(year="soon"), None)
    assert entry_of(prepared(preparation({"year": "integer"}), document(year=2024), None))


def test_half_a_surrogate_pair_is_refused() -> None:
    with pytest.raises(InputError, match="half of a surrogate pair"):
        prepared(preparation(), document("\ud800"), None)
