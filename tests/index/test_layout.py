"""How things lie in a collection: what is written is read back, and foreign things are named."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.core.errors import ConfigError, IndexMismatch
from ragkit.core.filters import And, Eq, In, Not, Or, Range
from ragkit.core.types import DocumentRecord, FieldType, MetadataValue
from ragkit.index import layout
from ragkit.index.filter_translation import Dialect, translate
from ragkit.testing.index_examples import ALL_FIELDS, IDENTITY, make_chunk, metadata_values

RECORD = DocumentRecord(
    uri="a",
    tenant="me",
    title="A",
    content_hash="c0ffee",
    pipeline="markdown|recursive",
    chunks=3,
    generation="g",
)


@given(st.text(), st.text(), st.lists(st.text()), metadata_values())
def test_a_chunk_is_read_as_it_was_written(
    text: str, title: str, headings: list[str], metadata: dict[str, MetadataValue]
) -> None:
    chunk = make_chunk(
        text, uri="a", title=title, headings=tuple(headings), page=2, metadata=metadata
    )
    payload = layout.chunk_payload(chunk, tenant="me", generation="g")
    assert layout.read_chunk(chunk.id, payload) == chunk
    assert (payload["kind"], payload["tenant"], payload["generation"]) == ("chunk", "me", "g")


def test_what_bm25_sees_is_the_header_and_the_passage() -> None:
    chunk = make_chunk("They hunt.", uri="a", title="Mammals", headings=("Mammals", "Wolves"))
    payload = layout.chunk_payload(chunk, tenant="me", generation="g")
    assert payload["text"] == "Mammals > Wolves\n\nThey hunt."
    assert payload["body"] == len("Mammals > Wolves\n\n")


def test_lists_are_stored_as_json_has_them() -> None:
    chunk = make_chunk("wolf", uri="a", metadata={"tags": ("a", "b")})
    payload = layout.chunk_payload(chunk, tenant="me", generation="g")
    assert payload["metadata"] == {"tags": ["a", "b"]}
    assert layout.read_chunk(chunk.id, payload).metadata == {"tags": ("a", "b")}


def test_only_the_tenants_chunks_are_read_and_in_the_order_asked_for() -> None:
    mine, yours = make_chunk("mine", uri="a"), make_chunk("yours", uri="b")
    payloads = {
        mine.id: layout.chunk_payload(mine, tenant="me", generation="g"),
        yours.id: layout.chunk_payload(yours, tenant="you", generation="g"),
        "record": layout.record_payload(RECORD),
        "bare": None,
    }
    ids = ["bare", yours.id, "record", mine.id, "unknown", mine.id]
    assert layout.read_chunks(ids, payloads, tenant="me") == [mine, mine]


def test_a_record_is_read_as_it_was_written() -> None:
    assert layout.read_record(layout.record_payload(RECORD)) == RECORD


def test_a_record_has_an_id_of_its_tenant_and_uri_alone() -> None:
    assert layout.record_id("a", tenant="me") == layout.record_id("a", tenant="me")
    ids = {layout.record_id(uri, tenant=tenant) for uri in "ab" for tenant in ("me", "you")}
    assert len(ids) == 4


def test_the_identity_is_read_as_it_was_written() -> None:
    payload = layout.identity_payload(IDENTITY, ALL_FIELDS)
    assert layout.read_identity(payload) == (IDENTITY, ALL_FIELDS)


def test_an_index_of_another_layout_is_refused() -> None:
    payload = layout.identity_payload(IDENTITY, ALL_FIELDS)
    newer = {**payload, "identity": {"layout": 2, "everything": "is different"}}
    for foreign in (newer, None, {}, {"identity": "something else"}):
        with pytest.raises(IndexMismatch, match=r"not written with layout 1.*a new index"):
            layout.read_identity(foreign)


def test_a_mismatch_names_each_difference_and_no_more() -> None:
    layout.check_identity(IDENTITY, IDENTITY, location="here")
    with pytest.raises(IndexMismatch) as caught:
        layout.check_identity(
            IDENTITY, replace(IDENTITY, revision="2", query_prompt="query: "), location="here"
        )
    assert str(caught.value) == (
        "The index at 'here' was built differently: revision is '1' in the index and '2' in the "
        "settings; query_prompt is '' in the index and 'query: ' in the settings. Set these back, "
        "or ingest into a new index with --index."
    )


def test_fields_are_merged_unless_their_types_differ() -> None:
    old: dict[str, FieldType] = {"lang": "keyword"}
    assert layout.merge_fields(old, {"year": "integer"}) == {"lang": "keyword", "year": "integer"}
    with pytest.raises(IndexMismatch, match="'lang' is stored as keyword and declared as integer"):
        layout.merge_fields(old, {"lang": "integer"})


@pytest.mark.parametrize("name", ["", "a.b", "a b", "1st", "a[]", "é", "a\n"])
def test_a_field_must_have_a_plain_name(name: str) -> None:
    with pytest.raises(ConfigError, match="letters, digits and underscores"):
        layout.check_fields({name: "keyword"})


def test_a_built_in_field_keeps_its_type() -> None:
    assert layout.check_fields({"page": "integer"})["page"] == "integer"
    with pytest.raises(ConfigError, match="'page' is built in as integer"):
        layout.check_fields({"page": "keyword"})


def _show(what: str) -> Dialect[str]:
    return Dialect(
        equals=lambda key, value: f"{key}={value!r}",
        any_of=lambda key, values: f"{key} in {values}",
        number_range=lambda key, bounds: f"{key} {dict(bounds)}",
        time_range=lambda key, bounds: f"{key} {what} {dict(bounds)}",
        combine=lambda must, should, must_not: f"({must}|{should}|{must_not})",
    )


@pytest.mark.parametrize(
    ("where", "wanted"),
    [
        (Eq("uri", "a"), "uri='a'"),
        (Eq("lang", "en"), "metadata.lang='en'"),
        (Eq("score", 1), "metadata.score {'gte': 1.0, 'lte': 1.0}"),
        (In("year", (1, 2)), "metadata.year in [1, 2]"),
        (In("draft", (True,)), "([]|['metadata.draft=True']|[])"),
        (Range(field="year", gt=1), "metadata.year {'gt': 1.0}"),
        (
            Range(field="when", lt="2020-01-01T01:00:00+01:00"),
            "metadata.when at {'lt': '2020-01-01T01:00:00+01:00'}",
        ),
        (And((Eq("year", 1), Not(Eq("year", 2)))), None),
        (Or(()), "([]|[]|['([]|[]|[])'])"),
    ],
    ids=str,
)
def test_a_filter_is_translated_by_type(where: Eq | In | Range, wanted: str | None) -> None:
    made = translate(where, ALL_FIELDS, _show("at"))
    assert made == (wanted or "(['metadata.year=1', \"([]|[]|['metadata.year=2'])\"]|[]|[])")
