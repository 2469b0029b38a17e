"""Documents, filters and queries for the tests of the `IndexContract`."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from hypothesis import strategies as st

from ragkit.core.filters import And, Eq, Filter, In, Not, Or, Range, Scalar, matches
from ragkit.core.protocols import Entry, Index, LegQuery
from ragkit.core.types import (
    DEFAULT_TENANT,
    Chunk,
    DocumentRecord,
    FieldType,
    FloatArray,
    IndexIdentity,
    Metadata,
    MetadataValue,
    stable_id,
    versioned,
)
from ragkit.testing.embedder import HashEmbedder

EMBEDDER = HashEmbedder(dimensions=64)
IDENTITY = IndexIdentity(
    embedder="hash",
    revision="1",
    dimensions=64,
    search_dimensions=16,
    query_prompt="",
    passage_prompt="",
    language="english",
)
NO_VECTORS = IndexIdentity(
    embedder="",
    revision="",
    dimensions=0,
    search_dimensions=0,
    query_prompt="",
    passage_prompt="",
    language="english",
)
FIELDS: Mapping[str, FieldType] = {
    "lang": "keyword",
    "tags": "keyword",
    "year": "integer",
    "score": "float",
    "draft": "bool",
    "when": "datetime",
}
"""One declared field of every type; `tags` holds lists."""

BUILT_IN: Mapping[str, FieldType] = {"uri": "keyword", "title": "keyword", "page": "integer"}
ALL_FIELDS: Mapping[str, FieldType] = {**FIELDS, **BUILT_IN}


FILTER_CASES: Sequence[tuple[Filter, str]] = (
    (Eq("lang", "en"), "ab"),
    (Eq("tags", "red"), "ac"),
    (Eq("year", 2020), "a"),
    (Eq("score", 0.5), "a"),
    (Eq("score", 2), "c"),
    (Eq("draft", True), "a"),
    (Eq("draft", False), "b"),
    (Eq("when", "2020-01-01"), "a"),
    (Eq("when", "2020-01-01T01:00:00+01:00"), "a"),
    (Eq("uri", "a"), "a"),
    (Eq("title", "Title b"), "b"),
    (Eq("page", 2), "b"),
    (In("lang", ("de", "fr", "en")), "abc"),
    (In("tags", ("blue", "green")), "ab"),
    (In("year", (2020, 2022)), "ac"),
    (In("score", (0.5, 2.0)), "ac"),
    (In("draft", (True, False)), "ab"),
    (In("when", ("2020-01-01", "2022-06-01T12:00:00Z")), "ac"),
    (In("uri", ("a", "d")), "ad"),
    (In("lang", ()), ""),
    (In("score", ()), ""),
    (Range(field="year", gte=2020, lt=2022), "ab"),
    (Range(field="year", gt=2020.5, lte=2021.5), "b"),
    (Range(field="year", gte=2020.5), "bc"),
    (Range(field="year", lt=2020.5), "a"),
    (Range(field="score", gt=0.5), "bc"),
    (Range(field="when", gte="2020-01-02", lte="2021-03-01T00:00:00Z"), "b"),
    (Range(field="page", gt=1), "bc"),
    (And((Eq("lang", "en"), Eq("draft", False))), "b"),
    (And(()), "abcd"),
    (Or((Eq("lang", "de"), Eq("year", 2020))), "ac"),
    (Or(()), ""),
    (Not(Or(())), "abcd"),
    (Not(Eq("lang", "en")), "cd"),
    (Not(Eq("tags", "red")), "bd"),
    (Not(Range(field="year", gte=2021)), "ad"),
    (Not(Not(Eq("draft", True))), "a"),
    (And((Not(Eq("uri", "d")), Or((Eq("page", 1), Not(In("tags", ("red",))))))), "ab"),
)
"""Filters, and which of `filter_entries` they let through."""

ILL_TYPED: Sequence[Eq | In | Range] = (
    Eq("year", "2020"),
    Eq("year", 2020.0),
    Eq("year", True),
    Eq("year", 2**63),
    Eq("lang", 1),
    Eq("draft", 1),
    Eq("draft", "true"),
    Eq("score", "high"),
    Eq("score", math.inf),
    Eq("when", "yesterday"),
    In("year", (2020, "2021")),
    Range(field="lang", gte="a"),
    Range(field="draft", gte=0),
    Range(field="year", gte="2020"),
    Range(field="score", lt=math.nan),
    Range(field="when", gte="20200101"),
)
"""Conditions on `FIELDS` with a value of the wrong type."""

SCRIPTS: Sequence[tuple[str, tuple[str, str], tuple[str, ...]]] = (
    ("arabic", ("وَالكِتابُ على الطاولة", "القطة في الحديقة"), ("كتاب", "الكتاب", "طاوله")),
    ("bengali", ("বিশ্ববিদ্যালয় খোলা", "বাজার বন্ধ"), ("বিশ্ববিদ্যালয়",)),
    ("burmese", ("မြန်မာစာသင်ကြားခြင်း", "ဈေးသွားသည်"), ("မြန်မာ",)),
    (
        "chinese",
        ("黑豹队的防守只丢了308分，用Python计算。", "他们在公园里看到了一只狗。"),
        ("防守丢了多少分？", "豹", "３０８", "python"),
    ),
    ("decomposed", ("Le re\u0301sume\u0301 est pret", "La lune"), ("R\xe9sum\xe9",)),
    ("greek", ("Ο ΑΝΘΡΩΠΟΣ γελά", "Η θάλασσα είναι μπλε"), ("άνθρωπος", "ανθρωπος", "γελα")),
    ("hebrew", ("שָׁלוֹם עולם", "חתול בגינה"), ("שלום",)),
    ("hindi", ("बाज़ार में क्रिकेट खेला", "विद्यालय में पढ़ा"), ("क्रिकेट", "बाजार")),
    ("japanese", ("猫はデータベースの上で眠る", "犬は庭で走る"), ("猫", "ﾃﾞｰﾀﾍﾞｰｽ", "眠る")),
    ("khmer", ("ខ្ញុំរៀនភាសាខ្មែរ", "គាត់ទៅផ្សារ"), ("ភាសាខ្មែរ",)),
    ("korean", ("학교에서 물을 마셨다", "집에서 책을 읽었다"), ("학교", "물", "학교는")),
    ("lao", ("ຂ້ອຍຮຽນພາສາລາວ", "ໄປຕະຫຼາດ"), ("ພາສາ",)),
    ("thai", ("ทีมเสียคะแนน ๓๐๘", "เขาไปเที่ยวทะเลกับเพื่อน"), ("คะแนน", "308", "ทีม")),
)
"""Passages in a script, the first of which is found by each of the queries."""

UNSTORABLE: Sequence[tuple[str, Mapping[Any, Any]]] = (
    ("lone surrogate \ud800", {}),
    ("wolf", {"score": math.nan}),
    ("wolf", {"score": math.inf}),
    ("wolf", {"year": 2**63}),
    ("wolf", {"lang": "\udcff"}),
    ("wolf", {"author": None}),
    ("wolf", {"author": {"name": "Ada"}}),
    ("wolf", {"tags": ("a", 1)}),
    ("wolf", {"tags": ("a", None)}),
    ("wolf", {"raw": b"bytes"}),
    ("wolf", {7: "seven"}),
)
"""Texts and metadata that JSON of 64-bit numbers cannot carry."""


def make_chunk(
    text: str,
    *,
    uri: str,
    title: str = "",
    headings: tuple[str, ...] = (),
    page: int | None = None,
    metadata: Metadata | None = None,
) -> Chunk:
    """Return a chunk that `make_entry` gives an id."""
    return Chunk(
        id="",
        uri=uri,
        title=title,
        text=text,
        start=0,
        end=len(text),
        heading_path=headings,
        page=page,
        metadata=metadata or {},
    )


async def make_entry(
    uri: str, *chunks: Chunk | str, tenant: str = DEFAULT_TENANT, vectors: bool = True
) -> Entry:
    """A version of a document, made of chunks or of their texts, embedded by `HashEmbedder`."""
    given = [item if isinstance(item, Chunk) else make_chunk(item, uri=uri) for item in chunks]
    generation = stable_id("generation", tenant, uri, repr(given))
    made = versioned(given, generation, tenant=tenant)
    texts = [chunk.text for chunk in made]
    record = DocumentRecord(
        uri=uri,
        tenant=tenant,
        title=made[0].title if made else "",
        content_hash=stable_id("content", *texts),
        pipeline="contract",
        chunks=len(made),
        generation=generation,
    )
    embedded = await EMBEDDER.embed(texts) if vectors else None
    return Entry(record=record, chunks=made, vectors=embedded)


async def embed(text: str) -> FloatArray:
    """The vector of a query."""
    vector: FloatArray = (await EMBEDDER.embed([text], task="query"))[0]
    return vector


async def find(
    index: Index,
    text: str,
    *,
    depth: int = 100,
    where: Filter | None = None,
    tenant: str = DEFAULT_TENANT,
    vectors: bool = True,
) -> dict[str, list[str]]:
    """The texts that each leg finds, best first."""
    legs = await index.search(
        LegQuery(
            vector=await embed(text) if vectors else None,
            text=text,
            depth=depth,
            where=where,
            tenant=tenant,
        )
    )
    found: dict[str, list[str]] = {}
    for name, ranked in (("dense", legs.dense), ("bm25", legs.bm25)):
        ids = [chunk_id for chunk_id, _ in ranked]
        fetched = {chunk.id: chunk for chunk in await index.fetch(ids, tenant=tenant)}
        assert set(fetched) == set(ids)
        assert all(fetched[key] == chunk for key, chunk in legs.chunks.items() if key in fetched)
        found[name] = [fetched[chunk_id].text for chunk_id in ids]
    return found


_KEYWORDS = st.sampled_from(["en", "de", "EN", "", "a b", "日本", "1", "true"]) | st.text(
    max_size=4
)
# Bounds of a range are 64-bit floats in every store: integers that these hold exactly.
_INTEGERS = st.integers(-3, 3) | st.integers(-(2**53), 2**53)
# Qdrant Edge reads a number of more than 15 digits back with an error in the last bit.
_NUMBERS = st.sampled_from([-1.5, 0.0, 0.1, 2.0, 1e300]) | st.integers(-(10**15), 10**15).map(
    lambda thousandths: thousandths / 1000
)
_INSTANTS = st.sampled_from(
    [
        "2020-01-01",
        "2020-01-01T00:00",
        "2020-01-01 00:00:00",
        "2020-01-01T01:00:00+01:00",
        "2020-01-01T00:00:00Z",
        "2020-01-01T00:00:00.000001Z",
        "1969-12-31T23:59:59.5",
        "2024-02-29T12:00:00-08:00",
    ]
)
_VALUES: Mapping[FieldType, "st.SearchStrategy[Scalar]"] = {
    "keyword": _KEYWORDS,
    "integer": _INTEGERS,
    "float": _NUMBERS,
    "bool": st.booleans(),
    "datetime": _INSTANTS,
}


def metadata_values() -> "st.SearchStrategy[dict[str, MetadataValue]]":
    """Metadata with any of `FIELDS` missing."""
    optional: dict[str, st.SearchStrategy[MetadataValue]] = {
        name: _VALUES[kind] for name, kind in FIELDS.items() if name != "tags"
    }
    optional["tags"] = st.lists(_KEYWORDS, max_size=3).map(tuple)
    return st.fixed_dictionaries({}, optional=optional)


def filters() -> "st.SearchStrategy[Filter]":
    """Any filter on `FIELDS` and the built-in fields."""
    conditions = st.one_of([_conditions(name, kind) for name, kind in ALL_FIELDS.items()])
    return st.recursive(
        conditions,
        lambda inner: st.one_of(
            inner.map(Not),
            st.lists(inner, max_size=3).map(lambda parts: And(tuple(parts))),
            st.lists(inner, max_size=3).map(lambda parts: Or(tuple(parts))),
        ),
        max_leaves=6,
    )


def _conditions(name: str, kind: FieldType) -> "st.SearchStrategy[Filter]":
    values = _VALUES[kind]
    if name in {"uri", "title"}:
        values = st.sampled_from(["doc-0", "doc-1", "Title 0"])
    equal: st.SearchStrategy[Filter] = st.builds(Eq, st.just(name), values)
    among: st.SearchStrategy[Filter] = st.builds(
        In, st.just(name), st.lists(values, max_size=3).map(tuple)
    )
    if kind in {"keyword", "bool"}:
        return equal | among
    bounds = _NUMBERS.filter(lambda bound: abs(bound) < 2**53) if kind == "integer" else values
    ranges = st.dictionaries(st.sampled_from(["gt", "gte", "lt", "lte"]), bounds, min_size=1)
    return equal | among | ranges.map(lambda given: Range(field=name, **given))


def reference(chunk: Chunk, where: Filter) -> bool:
    """Return True where a filter matches a chunk: the reference for every index."""
    page: Metadata = {} if chunk.page is None else {"page": chunk.page}
    known: Metadata = {**chunk.metadata, "uri": chunk.uri, "title": chunk.title, **page}
    return matches(where, known, ALL_FIELDS)


async def filter_entries() -> list[Entry]:
    """Documents a to d, of which d has no metadata and no page."""
    known: Sequence[tuple[str, int | None, Metadata]] = (
        (
            "a",
            1,
            {
                "lang": "en",
                "tags": ("red", "blue"),
                "year": 2020,
                "score": 0.5,
                "draft": True,
                "when": "2020-01-01",
            },
        ),
        (
            "b",
            2,
            {
                "lang": "en",
                "tags": ("green",),
                "year": 2021,
                "score": 1.5,
                "draft": False,
                "when": "2021-03-01",
            },
        ),
        (
            "c",
            3,
            {
                "lang": "de",
                "tags": ("red",),
                "year": 2022,
                "score": 2.0,
                "when": "2022-06-01T14:00:00+02:00",
            },
        ),
        ("d", None, {}),
    )
    chunks = [
        make_chunk(f"wolf {name}", uri=name, title=f"Title {name}", page=page, metadata=metadata)
        for name, page, metadata in known
    ]
    return [await make_entry(chunk.uri, chunk) for chunk in chunks]
