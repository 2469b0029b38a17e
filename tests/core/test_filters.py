"""The filter language: its parser, its errors, and its meaning."""

import contextlib
import keyword
import math
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.core.errors import InputError
from ragkit.core.filters import (
    And,
    Eq,
    Filter,
    In,
    Not,
    Or,
    Range,
    Scalar,
    check_filter,
    has_type,
    matches,
    parse_datetime,
    parse_filter,
)
from ragkit.core.types import FieldType, Metadata

FIELDS: Mapping[str, FieldType] = {
    "lang": "keyword",
    "year": "integer",
    "score": "float",
    "draft": "bool",
    "when": "datetime",
}


@pytest.mark.parametrize(
    ("expression", "wanted"),
    [
        ('lang == "en"', Eq("lang", "en")),
        ("lang == 'en'", Eq("lang", "en")),
        ("  year == 2020  ", Eq("year", 2020)),
        ("year == -5", Eq("year", -5)),
        ("score == 1e-3", Eq("score", 0.001)),
        ("draft == true", Eq("draft", True)),
        ("draft == False", Eq("draft", False)),
        ("year != 2020", Not(Eq("year", 2020))),
        ("year > 1", Range(field="year", gt=1)),
        ("year >= 1", Range(field="year", gte=1)),
        ("year < 1", Range(field="year", lt=1)),
        ("year <= 1", Range(field="year", lte=1)),
        ('when >= "2020-01-01"', Range(field="when", gte="2020-01-01")),
        ('lang in ["en", "de"]', In("lang", ("en", "de"))),
        ('lang in ("en",)', In("lang", ("en",))),
        ("year in []", In("year", ())),
        ("year not in [1]", Not(In("year", (1,)))),
        ("year == 1 and draft == true", And((Eq("year", 1), Eq("draft", True)))),
        ("year == 1 or year == 2 or year == 3", Or((Eq("year", 1), Eq("year", 2), Eq("year", 3)))),
        (
            "year == 1 or year == 2 and not draft == true",
            Or((Eq("year", 1), And((Eq("year", 2), Not(Eq("draft", True)))))),
        ),
        ("(year == 1 or year == 2)", Or((Eq("year", 1), Eq("year", 2)))),
        ('lang == "and or not"', Eq("lang", "and or not")),
        ('lang == "日本"', Eq("lang", "日本")),
    ],
)
def test_an_expression_reads_like_python(expression: str, wanted: Filter) -> None:
    assert parse_filter(expression) == wanted


@pytest.mark.parametrize(
    ("expression", "complaint"),
    [
        ("", "cannot be read"),
        ("year >=", "cannot be read.*Write it like: year >= 2020"),
        ("year = 2020", "cannot be read"),
        ("year == 1; import os", "cannot be read"),
        ("year == 1\x00", "cannot be read"),
        ("year", "'year' is not a condition. Write: field == value"),
        ("not draft", "'draft' is not a condition"),
        ("true", "'true' is not a condition"),
        ("year == month", "'month' is not a string"),
        ("lang == en", r"'en' is not a string \(in quotes\)"),
        ("1 < year < 3", "'1 < year < 3' with one field name on the left"),
        ("1 < year", "with one field name on the left"),
        ("a.b == 1", "with one field name on the left"),
        ('lang in "en"', "after in comes a list"),
        ("year is 1", "use ==, !=, <"),
        ("year == None", "'None' is not a string"),
        ("year == [1]", r"'\[1\]' is not a string"),
        ("year == 1 + 1", r"'1 \+ 1' is not a string"),
        ("draft == -true", "'-true' is not a string"),
        ('lang == b"en"', "is not a string"),
        ('lang == f"{x}"', "is not a string"),
        ("year == 1j", "is not a string"),
        ("__import__('os').system('true')", "is not a condition"),
        ("lang == __import__('os').name", "is not a string"),
        ("year == 1 if True else year == 2", "is not a condition"),
        ("(year := 1)", "is not a condition"),
    ],
)
def test_what_is_no_filter_is_refused_by_its_part(expression: str, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        parse_filter(expression)


@pytest.mark.parametrize(
    "expression",
    ["(" * 5000 + "year == 1" + ")" * 5000, "not " * 5000 + "year == 1", "year == " + "-" * 5000],
)
def test_an_expression_of_any_depth_is_refused_in_peace(expression: str) -> None:
    with pytest.raises(InputError, match=r"cannot be read|nested too deeply") as caught:
        parse_filter(expression)
    assert len(str(caught.value)) < 600


def test_a_long_expression_is_fine() -> None:
    where = parse_filter(" or ".join(f"year == {year}" for year in range(5000)))
    assert isinstance(where, Or)
    assert len(where.parts) == 5000
    check_filter(where, FIELDS)


def test_a_filter_deeper_than_a_server_reads_is_refused() -> None:
    where: Filter = Eq("year", 1)
    for _ in range(32):
        where = Not(where)
    check_filter(where, FIELDS)
    with pytest.raises(InputError, match="more than 32 levels"):
        check_filter(And((where,)), FIELDS)


# Everything that can be written is read as it was meant.

_scalars: st.SearchStrategy[Scalar] = (
    st.text().filter(lambda text: "\x00" not in text)
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.booleans()
)
_names = st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True).filter(
    lambda name: name not in {"true", "false"} and not keyword.iskeyword(name)
)


def _write(where: Filter) -> str:
    if isinstance(where, And | Or):
        word = " and " if isinstance(where, And) else " or "
        return word.join(f"({_write(part)})" for part in where.parts)
    if isinstance(where, Not):
        return f"not ({_write(where.part)})"
    if isinstance(where, Eq):
        return f"{where.field} == {where.value!r}"
    if isinstance(where, In):
        return f"{where.field} in [{', '.join(map(repr, where.values))}]"
    signs = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
    ((name, sign),) = [pair for pair in signs.items() if getattr(where, pair[0]) is not None]
    return f"{where.field} {sign} {getattr(where, name)!r}"


def _range(name: str, bound: str, value: float) -> Filter:
    return Range(field=name, **{bound: value})


_bounds = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
_filters: st.SearchStrategy[Filter] = st.recursive(
    st.builds(Eq, _names, _scalars)
    | st.builds(In, _names, st.lists(_scalars, max_size=3).map(tuple))
    | st.builds(_range, _names, st.sampled_from(["gt", "gte", "lt", "lte"]), _bounds),
    lambda inner: st.one_of(
        inner.map(Not),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: And(tuple(parts))),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: Or(tuple(parts))),
    ),
    max_leaves=8,
)


@given(_filters)
def test_a_filter_that_is_written_down_is_read_back(where: Filter) -> None:
    assert parse_filter(_write(where)) == where


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(InputError):
        parse_filter(text)


# Checking


def test_an_unknown_field_is_named_with_those_that_are_known() -> None:
    with pytest.raises(InputError) as caught:
        check_filter(Or((Eq("year", 1), Not(In("yaer", (1,))))), FIELDS)
    assert str(caught.value) == (
        "Unknown field 'yaer' in the filter. Known fields: draft, lang, score, when, year. "
        "Declare others under [index.fields] in ragkit.toml before ingesting."
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


@pytest.mark.parametrize(
    ("value", "kinds"),
    [
        ("en", {"keyword"}),
        ("", {"keyword"}),
        ("\ud800", set[str]()),
        (("a", "b"), {"keyword"}),
        (("a", "\ud800"), set[str]()),
        ((), {"keyword"}),
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
    ids=repr,
)
def test_a_value_fits_these_types(value: Scalar, kinds: set[str]) -> None:
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
