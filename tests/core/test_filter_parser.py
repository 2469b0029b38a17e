"""Filters read from expressions and dicts."""

import contextlib
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.core.errors import InputError
from ragkit.core.filter_parser import as_filter, parse_filter
from ragkit.core.filters import And, Eq, Filter, In, Not, Or, Range, Scalar, check_filter
from ragkit.core.types import FieldType

FIELDS: Mapping[str, FieldType] = {"year": "integer"}


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
        ("year = 2024", Eq("year", 2024)),
        ("when >= 2023-01-01", Range(field="when", gte="2023-01-01")),
        ("when < 2023-01-01T12:30:00Z", Range(field="when", lt="2023-01-01T12:30:00Z")),
        ("when in [2023-01-01, 2023-01-02]", In("when", ("2023-01-01", "2023-01-02"))),
        ("publish-date == 2023-01-01", Eq("publish-date", "2023-01-01")),
        ('author.name == "Ada"', Eq("author.name", "Ada")),
        ("Größe > 1", Range(field="Größe", gt=1)),
        ("score == .5", Eq("score", 0.5)),
        ("year == 1 AND draft == TRUE", And((Eq("year", 1), Eq("draft", True)))),
        ("not not year == 1", Not(Not(Eq("year", 1)))),
    ],
)
def test_an_expression_reads_like_python(expression: str, wanted: Filter) -> None:
    assert parse_filter(expression) == wanted


@pytest.mark.parametrize(
    ("expression", "complaint"),
    [
        ("", "The filter is empty. Fix: Write it like: year >= 2020"),
        ("year >=", "at its end: a string in quotes, a number, a date, true or false is expected"),
        ("year == 1; import os", "cannot be read at '; import os'"),
        ("year == 1\x00", r"cannot be read at '\\x00'"),
        ("year", "at its end: ==, !=, <, <=, >, >=, in or not in after 'year' is expected"),
        ("not draft", "after 'draft' is expected"),
        ("true", "at 'true': the name of a field is expected"),
        ("year == month", "at 'month': a string in quotes, a number"),
        ("lang == en", "at 'en': a string in quotes"),
        ("1 < year < 3", "at '1 < year < 3': the name of a field is expected"),
        ('lang in "en"', r'a list such as \["en", "de"\] after in is expected'),
        ("year in [1 2]", "at '2]': ']' is expected"),
        ("year in [1,,2]", "at ',2]': a string in quotes"),
        ("year in (1]", r"at '\]': '\)' is expected"),
        ("year is 1", "at 'is 1': ==, !="),
        ("year == None", "at 'None': a string"),
        ("year == [1]", r"at '\[1\]': a string"),
        ("year == 1 + 1", r"cannot be read at '\+ 1'"),
        ("draft == -true", "cannot be read at '-true'"),
        ('lang == b"en"', "at 'b\"en\"': a string"),
        ("year == 1j", "cannot be read at '1j'"),
        ("year == 2020-13", "cannot be read at '-13'"),
        ("__import__('os').system('true')", r"cannot be read at"),
        ("year == 1 if true", "at 'if true': 'and', 'or' or the end is expected"),
        ("(year == 1", r"at its end: '\)' is expected"),
        ("year == 1)", r"at '\)': 'and', 'or' or the end"),
        ("lang == 'a", 'cannot be read at "\'a"'),
        (r"lang == '\x'", "escapes cannot be read"),
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
_names = st.from_regex(r"[a-z_][a-z0-9_]{0,8}([.-][a-z0-9_]{1,3})?", fullmatch=True).filter(
    lambda name: name not in {"and", "or", "not", "in", "true", "false"}
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


@pytest.mark.parametrize(
    ("where", "wanted"),
    [
        (None, None),
        ("year == 1", Eq("year", 1)),
        ({"tags": "a"}, Eq("tags", "a")),
        ({"year": 2024, "lang": ["en", "de"]}, And((Eq("year", 2024), In("lang", ("en", "de"))))),
        ({}, And(())),
        ({"when": date(2024, 5, 1)}, Eq("when", "2024-05-01")),
        (In("lang", ["en"]), In("lang", ("en",))),  # type: ignore[arg-type]
        (And([Eq("year", 1)]), And((Eq("year", 1),))),  # type: ignore[arg-type]
        (
            Not(Range(field="when", gte=datetime(2024, 5, 1, 12, tzinfo=UTC))),  # type: ignore[arg-type]
            Not(Range(field="when", gte="2024-05-01T12:00:00+00:00")),
        ),
    ],
    ids=repr,
)
def test_expressions_dicts_and_lists_are_read_as_filters(where: Any, wanted: Filter | None) -> None:
    assert as_filter(where) == wanted


@pytest.mark.parametrize(
    ("where", "complaint"),
    [
        ({"tags": None}, "compares 'tags' with None"),
        ({"tags": {"gte": 1}}, "compares 'tags' with {'gte': 1}"),
        ({"tags": ["a", None]}, "compares 'tags' with None"),
        (In("tags", "en"), "on 'tags' has the text 'en' where a list of values belongs"),  # type: ignore[arg-type]
        (Eq("tags", b"a"), "compares 'tags' with b'a'"),  # type: ignore[arg-type]
        (5, "5 is no filter"),
        (["a"], r"\['a'\] is no filter"),
    ],
    ids=repr,
)
def test_what_is_no_filter_is_named(where: Any, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        as_filter(where)
