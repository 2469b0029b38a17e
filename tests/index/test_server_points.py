"""Requests to a Qdrant server."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ragkit.core.filters import And, Eq, Filter, In, Not, Or, Range
from ragkit.core.protocols import LegQuery
from ragkit.core.text import LANGUAGES
from ragkit.index import server_points
from ragkit.index.filter_translation import translate
from ragkit.testing.index_examples import ALL_FIELDS, IDENTITY, NO_VECTORS, make_entry

# Requests


def test_the_tenant_binds_every_part_of_both_legs() -> None:
    vector = np.arange(64, dtype=np.float32)
    query = LegQuery(vector=vector, text="wolf", depth=10, tenant="me", where=Eq("lang", "en"))
    legs = server_points.leg_requests(query, IDENTITY, ALL_FIELDS)
    assert list(legs) == ["dense", "bm25"]
    tenant = {"key": "tenant", "match": {"value": "me"}}
    condition = {"must": [tenant, {"key": "metadata.lang", "match": {"value": "en"}}]}
    assert _json(legs["dense"]) == {
        "prefetch": [
            {
                "query": {"nearest": list(range(16))},
                "using": "search",
                "filter": condition,
                "limit": 20,
            }
        ],
        "query": {"nearest": list(range(64))},
        "using": "full",
        "filter": condition,
        "limit": 10,
        "with_payload": True,
    }
    assert _json(legs["bm25"]) == {
        "query": {"text": "wolf"},
        "using": "text",
        "filter": condition,
        "params": {"exact": False, "indexed_only": False, "idf": {"corpus": {"must": [tenant]}}},
        "limit": 10,
        "with_payload": True,
    }


def test_hidden_versions_are_left_out_of_both_legs() -> None:
    vector = np.ones(64, dtype=np.float32)
    query = LegQuery(vector=vector, text="wolf", depth=10)
    legs = server_points.leg_requests(query, IDENTITY, ALL_FIELDS, hidden=["g/1", "g/2"])
    hidden = [{"key": "version", "match": {"any": ["g/1", "g/2"]}}]
    assert _json(legs["bm25"])["filter"]["must_not"] == hidden
    assert _json(legs["dense"])["filter"]["must_not"] == hidden
    assert _json(legs["dense"])["prefetch"][0]["filter"]["must_not"] == hidden


def test_a_leg_that_is_not_asked_for_is_not_sent() -> None:
    assert list(server_points.leg_requests(LegQuery(text="a", depth=1), IDENTITY, {})) == ["bm25"]
    assert server_points.leg_requests(LegQuery(depth=1), IDENTITY, {}) == {}


FILTERS: list[tuple[Filter, dict[str, Any]]] = [
    (Eq("draft", True), {"key": "metadata.draft", "match": {"value": True}}),
    (Eq("year", 1), {"key": "metadata.year", "match": {"value": 1}}),
    (Eq("score", 1), {"key": "metadata.score", "range": {"gte": 1.0, "lte": 1.0}}),
    (In("tags", ("a", "b")), {"key": "metadata.tags", "match": {"any": ["a", "b"]}}),
    (Range(field="page", gt=1, lte=2.5), {"key": "page", "range": {"gt": 1.0, "lte": 2.5}}),
    (
        Range(field="when", gte="2020-01-01"),
        {"key": "metadata.when", "range": {"gte": "2020-01-01T00:00:00Z"}},
    ),
    (Not(Eq("year", 1)), {"must_not": [{"key": "metadata.year", "match": {"value": 1}}]}),
    (And(()), {}),
    (Or(()), {"must_not": [{}]}),
    (In("year", ()), {"must_not": [{}]}),
]


@pytest.mark.parametrize(("where", "sent"), FILTERS, ids=str)
def test_a_filter_is_sent_as_qdrants(where: Filter, sent: dict[str, Any]) -> None:
    assert _json(translate(where, ALL_FIELDS, server_points.DIALECT)) == sent


def test_vectors_are_laid_out_as_in_the_embedded_store() -> None:
    params = {name: _json(value) for name, value in server_points.vector_params(IDENTITY).items()}
    assert params == {
        "full": {
            "size": 64,
            "distance": "Cosine",
            "hnsw_config": {"m": 0},
            "on_disk": True,
            "datatype": "float16",
        },
        "search": {
            "size": 16,
            "distance": "Cosine",
            "hnsw_config": {"m": 16, "ef_construct": 128},
            "quantization_config": {
                "scalar": {"type": "int8", "quantile": 0.99, "always_ram": True}
            },
            "datatype": "float16",
        },
    }
    assert server_points.vector_params(NO_VECTORS)["full"].size == 1
    binary = _json(server_points.vector_params(IDENTITY, "binary")["search"])
    assert binary["quantization_config"] == {"binary": {"always_ram": True}}
    many = _json(server_points.vector_params(IDENTITY, many_tenants=True)["search"])
    assert many["hnsw_config"] == {"m": 0, "payload_m": 16, "ef_construct": 128}
    assert "quantization_config" not in _json(
        server_points.vector_params(IDENTITY, "none")["search"]
    )


def test_text_is_analysed_in_the_index_s_language() -> None:
    assert _json(server_points.text_params("german")) == {
        "type": "text",
        "tokenizer": "word",
        "lowercase": True,
        "ascii_folding": True,
        "stopwords": {"languages": ["german"]},
        "stemmer": {"type": "snowball", "language": "german"},
        "scoring": True,
    }


def test_a_language_without_a_stemmer_takes_words_as_they_are() -> None:
    params = _json(server_points.text_params("thai"))
    assert not {"stemmer", "stopwords"} & params.keys()


def test_the_bm25_leg_asks_for_the_lexical_form() -> None:
    requests = server_points.leg_requests(LegQuery(text="東京都", depth=5), IDENTITY, ALL_FIELDS)
    assert _json(requests["bm25"])["query"] == {"text": " 東京 京都 "}


def test_every_language_of_ragkit_is_one_of_qdrants() -> None:
    for language in LANGUAGES:
        server_points.text_params(language)


def test_every_filterable_field_is_indexed() -> None:
    params = {key: _json(value) for key, value in server_points.field_params(ALL_FIELDS).items()}
    assert params == {
        "kind": {"type": "keyword"},
        "tenant": {"type": "keyword", "is_tenant": True},
        "version": {"type": "keyword"},
        "source": {"type": "keyword"},
        "uri": {"type": "keyword"},
        "title": {"type": "keyword"},
        "page": {"type": "integer"},
        "metadata.lang": {"type": "keyword"},
        "metadata.tags": {"type": "keyword"},
        "metadata.year": {"type": "integer"},
        "metadata.score": {"type": "float"},
        "metadata.draft": {"type": "bool"},
        "metadata.when": {"type": "datetime"},
    }


async def test_points_are_sent_in_requests_of_bounded_number_and_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    entry = await make_entry("a", *[f"wolf {n}" for n in range(1201)])
    made = list(server_points.batches(server_points.chunk_points(entry, IDENTITY)))
    assert [len(batch) for batch in made] == [500, 500, 201]
    assert [point.id for batch in made for point in batch] == [c.id for c in entry.chunks]
    assert list(server_points.batches([])) == []

    monkeypatch.setattr(server_points, "BATCH_BYTES", 2**16)
    big = await make_entry("a", *[f"wolf {n} " + "\U0001f43a" * 2**12 for n in range(9)])
    made = list(server_points.batches(server_points.chunk_points(big, IDENTITY)))
    sizes = [
        len(json.dumps([_json(p) for p in batch], ensure_ascii=False).encode()) for batch in made
    ]
    assert max(sizes) <= 2**16
    assert sum(len(batch) for batch in made) == 9


async def test_a_point_has_both_vectors_or_none() -> None:
    entry = await make_entry("a", "wolf")
    (point,) = server_points.chunk_points(entry, IDENTITY)
    assert isinstance(point.vector, dict)
    assert {name: len(values) for name, values in point.vector.items()} == {  # type: ignore[arg-type]
        "full": 64,
        "search": 16,
    }
    (bare,) = server_points.chunk_points(replace(entry, vectors=None), IDENTITY)
    assert bare.vector == {}


def _json(model: Any) -> Any:
    return json.loads(model.model_dump_json(exclude_none=True))
