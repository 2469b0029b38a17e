"""Filters: their checks and their meaning."""

import math
from collections.abc import Mapping
from typing import cast

import pytest

from ragkit.core.errors import InputError
from ragkit.core.filters import (
    And,
    Eq,
    Filter,
    In,
    Not,
    Or,
    Range,
    check_filter,
    has_type,
    matches,
    parse_datetime,
)
from ragkit.core.types import FieldType, Metadata

FIELDS: Mapping[str, FieldType] = {
    "lang": "keyword",
    "year": "integer",
    "score": "float",
    "draft": "bool",
    "when": "datetime",
}


# Checking


def test_an_unknown_field_is_named_with_those_that_are_known() -> None:
    with pytest.raises(InputError) as caught:
        check_filter(Or((Eq("year", 1), Not(In("yaer", (1,))))), FIELDS)
    assert str(caught.value) == (
        "Unknown field 'yaer' in the filter. Known fields: draft, lang, score, when, year. "
        "Fix: declare others under [index.fields] in ragkit.toml."
    )


def test_a_value_of_the_wrong_type_is_named() -> None:
    with pytest.raises(InputError) as caught:
        check_filter(Eq("year", "2020"), FIELDS)
    assert str(caught.value) == "Field 'year' has type integer; the filter compares it with '2020'."


def test_a_range_takes_an_order() -> None:
    for field in ("lang", "draft"):
        with pytest.raises(InputError, match=f"'{field}' has type .*, which has no order"):
            check_filter(Range(field=field, gt=1), FIELDS)
    check_filter(Range(field="year", gt=2020.5), FIELDS)


def named(item: object) -> str:
    """The name of a case, in which a set has one order."""
    if isinstance(item, set):
        return repr(sorted(cast("set[str]", item)))
    return repr(item)[:40]


@pytest.mark.parametrize(
    ("value", "kinds"),
    [
        ("en", {"keyword"}),
        ("", {"keyword"}),
        ("\ud800", set[str]()),
        (("a", "b"), {"keyword"}),
        (("a", "\ud800"), set[str]()),
        (("2020-01-01", "2021-01-01"), {"keyword", "datetime"}),
        (("a", 1), set[str]()),
        (("a", None), set[str]()),
        ((("a",),), set[str]()),
        ((), {"keyword", "datetime"}),
        (None, set[str]()),
        ({"a": 1}, set[str]()),
        (b"en", set[str]()),
        (1, {"integer", "float"}),
        (2**63 - 1, {"integer", "float"}),
        (2**63, set[str]()),
        (10**400, set[str]()),
        (1.0, {"float"}),
        (math.nan, set[str]()),
        (-math.inf, set[str]()),
        (True, {"bool"}),
        ("2020-01-01", {"keyword", "datetime"}),
    ],
    ids=named,
)
def test_a_value_fits_these_types(value: object, kinds: set[str]) -> None:
    everything: tuple[FieldType, ...] = ("keyword", "integer", "float", "bool", "datetime")
    assert {kind for kind in everything if has_type(value, kind)} == kinds


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("2024-05-01", "2024-05-01T00:00:00+00:00"),
        ("2024-05-01T12:30", "2024-05-01T12:30:00+00:00"),
        ("2024-05-01 12:30:15", "2024-05-01T12:30:15+00:00"),
        ("2024-05-01T12:30:15Z", "2024-05-01T12:30:15+00:00"),
        ("2024-05-01T12:30:15.25-08:00", "2024-05-01T12:30:15.250000-08:00"),
        ("2024-05-01T12:30:15+0530", "2024-05-01T12:30:15+05:30"),
    ],
)
def test_a_date_is_read_as_utc_where_it_does_not_say(text: str, wanted: str) -> None:
    parsed = parse_datetime(text)
    assert parsed is not None
    assert parsed.isoformat() == wanted


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2024",
        "2024-02-30",
        "2024-13-01",
        "20240501",
        "2024-W18-3",
        "2024-05-01T12",
        "2024-05-01T12:30Z",
        "2024-05-01T25:00",
        "2024-05-01T12:30:15+01:00:30",
        " 2024-05-01",
        "2024-05-01\n",
        "\u0662\u0660\u0662\u0664-05-01",
    ],
)
def test_what_qdrant_does_not_read_as_a_date_is_none(text: str) -> None:
    assert parse_datetime(text) is None


# Meaning


@pytest.mark.parametrize(
    ("where", "metadata", "wanted"),
    [
        (Eq("lang", "en"), {"lang": "en"}, True),
        (Eq("lang", "en"), {"lang": "EN"}, False),
        (Eq("lang", "en"), {}, False),
        (Not(Eq("lang", "en")), {}, True),
        (Eq("lang", "en"), {"lang": ("de", "en")}, True),
        (Eq("lang", "en"), {"lang": ()}, False),
        (Not(Eq("lang", "en")), {"lang": ("de", "en")}, False),
        (In("year", (1, 2)), {"year": 2}, True),
        (In("year", ()), {"year": 2}, False),
        (Range(field="year", gt=1, lt=3), {"year": 2}, True),
        (Range(field="year", gt=2), {"year": 2}, False),
        (Range(field="year", gte=1.5), {"year": 2}, True),
        (Eq("score", 1), {"score": 1.0}, True),
        (Eq("score", 1.0), {"score": 1}, True),
        (Eq("draft", False), {"draft": False}, True),
        (Eq("when", "2020-01-01"), {"when": "2020-01-01T01:00:00+01:00"}, True),
        (Eq("when", "2020-01-01"), {"when": ("2019-01-01", "2020-01-01T00:00Z")}, False),
        (Eq("when", "2020-01-01"), {"when": ("2019-01-01", "2020-01-01T00:00:00Z")}, True),
        (Range(field="when", lt="2020-01-01"), {"when": "2019-12-31T23:59:59.999"}, True),
        (And(()), {}, True),
        (Or(()), {}, False),
        # Stored before the field was declared, with another type.
        (Eq("year", 1), {"year": True}, False),
        (Range(field="year", gte=0), {"year": "many"}, False),
        (Range(field="when", gte="2020-01-01"), {"when": "soon"}, False),
        (Not(Eq("when", "2020-01-01")), {"when": "soon"}, True),
    ],
    ids=str,
)
def test_a_condition_means(where: Filter, metadata: Metadata, wanted: bool) -> None:
    assert matches(where, metadata, FIELDS) is wanted
