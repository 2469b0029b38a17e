"""Payloads of a collection: what is written is read back, and foreign payloads are named."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.core.errors import IndexMismatch, InputError
from ragkit.core.types import DocumentRecord, MetadataValue, versioned
from ragkit.index import layout
from ragkit.testing.index_examples import ALL_FIELDS, IDENTITY, make_chunk, metadata_values

RECORD = DocumentRecord(
    uri="a",
    tenant="me",
    title="A",
    content_hash="c0ffee",
    pipeline="markdown|recursive",
    chunks=3,
    generation="g",
    source="files:x",
    stamp="12:34",
    version="g/1",
)


@given(st.text(), st.text(), st.lists(st.text()), metadata_values())
def test_a_chunk_is_read_as_it_was_written(
    text: str, title: str, headings: list[str], metadata: dict[str, MetadataValue]
) -> None:
    chunk = make_chunk(
        text, uri="a", title=title, headings=tuple(headings), page=2, metadata=metadata
    )
    chunk = replace(versioned([chunk, chunk], "g")[1], window=(0, 3))
    payload = layout.chunk_payload(chunk, tenant="me", version="g/1")
    assert layout.read_chunk(chunk.id, payload) == chunk
    assert (payload["kind"], payload["tenant"], payload["version"]) == ("chunk", "me", "g/1")


def test_what_bm25_sees_is_the_header_and_the_passage() -> None:
    chunk = make_chunk("They hunt.", uri="a", title="Mammals", headings=("Mammals", "Wolves"))
    payload = layout.chunk_payload(chunk, tenant="me", version="g/1")
    assert payload["text"] == "Mammals > Wolves\n\nThey hunt."
    assert payload["body"] == len("Mammals > Wolves\n\n")


def test_a_passage_whose_lexical_form_is_another_text_is_kept_beside_it() -> None:
    chunk = make_chunk("東京。", uri="a", title="首都", headings=("首都",))
    payload = layout.chunk_payload(chunk, tenant="me", version="g/1")
    assert payload["text"].split() == ["首", "都", "首都", "東", "京", "東京", "。"]
    assert payload["original"] == "首都\n\n東京。"
    read = layout.read_chunk(chunk.id, payload)
    assert read.text == "東京。"
    plain = layout.chunk_payload(make_chunk("Tokyo", uri="a"), tenant="me", version="g/1")
    assert "original" not in plain


def test_lists_are_stored_as_json_has_them() -> None:
    chunk = make_chunk("wolf", uri="a", metadata={"tags": ("a", "b")})
    payload = layout.chunk_payload(chunk, tenant="me", version="g/1")
    assert payload["metadata"] == {"tags": ["a", "b"]}
    assert layout.read_chunk(chunk.id, payload).metadata == {"tags": ("a", "b")}


def test_only_the_tenants_chunks_are_read_and_in_the_order_asked_for() -> None:
    mine, yours = versioned([make_chunk("mine", uri="a"), make_chunk("yours", uri="b")], "g")
    payloads = {
        mine.id: layout.chunk_payload(mine, tenant="me", version="g/1"),
        yours.id: layout.chunk_payload(yours, tenant="you", version="g/1"),
        "record": layout.record_payload(RECORD),
        "bare": None,
    }
    ids = ["bare", yours.id, "record", mine.id, "unknown", mine.id]
    assert layout.read_chunks(ids, payloads, tenant="me") == [mine, mine]


def test_a_record_is_read_as_it_was_written() -> None:
    read = layout.read_record(layout.record_payload(RECORD))
    assert read == RECORD
    assert (read.version, read.source, read.stamp) == ("g/1", "files:x", "12:34")


def test_each_write_of_a_generation_is_a_version_of_its_own() -> None:
    versions = {layout.new_version("g") for _ in range(100)}
    assert len(versions) == 100
    assert {layout.generation_of(version) for version in versions} == {"g"}


def test_vectors_are_stacked_in_the_order_of_the_ids() -> None:
    stored = {"a": [1.0, 2.0], "b": np.array([3, 4])}
    rows = layout.stacked(["b", "a", "b"], stored, 2)
    assert rows.tolist() == [[3.0, 4.0], [1.0, 2.0], [3.0, 4.0]]
    assert layout.stacked([], stored, 2).shape == (0, 2)
    with pytest.raises(InputError, match="no vector of a chunk 'c'"):
        layout.stacked(["a", "c"], stored, 2)


def test_a_record_has_an_id_of_its_tenant_and_uri_alone() -> None:
    assert layout.record_id("a", tenant="me") == layout.record_id("a", tenant="me")
    ids = {layout.record_id(uri, tenant=tenant) for uri in "ab" for tenant in ("me", "you")}
    assert len(ids) == 4


def test_the_identity_is_read_as_it_was_written() -> None:
    payload = layout.identity_payload(IDENTITY, ALL_FIELDS)
    assert layout.read_identity(payload) == (IDENTITY, ALL_FIELDS)


def test_an_index_of_another_layout_is_refused() -> None:
    payload = layout.identity_payload(IDENTITY, ALL_FIELDS)
    newer = {**payload, "identity": {"layout": 5, "everything": "is different"}}
    for foreign in (newer, None, {}, {"identity": "something else"}):
        with pytest.raises(IndexMismatch, match=r"not written with layout 4.*a new index"):
            layout.read_identity(foreign)


def test_an_index_from_before_lexical_forms_is_refused() -> None:
    payload = layout.identity_payload(IDENTITY, ALL_FIELDS)
    body = {k: v for k, v in payload["identity"].items() if k != "lexical_form"}
    with pytest.raises(IndexMismatch, match="ingest the documents into a new index"):
        layout.read_identity({**payload, "identity": {**body, "layout": 2}})


def test_an_index_of_another_lexical_form_is_refused() -> None:
    other = replace(IDENTITY, lexical_form="scripts-0")
    with pytest.raises(IndexMismatch, match=r"lexical_form is 'scripts-0' in the index"):
        layout.check_identity(other, IDENTITY, location="here")


def test_a_mismatch_names_each_difference_and_no_more() -> None:
    layout.check_identity(IDENTITY, IDENTITY, location="here")
    with pytest.raises(IndexMismatch) as caught:
        layout.check_identity(
            IDENTITY, replace(IDENTITY, revision="2", query_prompt="query: "), location="here"
        )
    assert str(caught.value) == (
        "The index at 'here' was built differently: revision is '1' in the index and '2' in the "
        "settings; query_prompt is '' in the index and 'query: ' in the settings. "
        "Fix: set these back, or ingest into a new index with --index."
    )
