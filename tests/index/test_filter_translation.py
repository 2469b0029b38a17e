"""Filters in the terms of a store."""

import pytest

from ragkit.core.filters import And, Eq, In, Not, Or, Range
from ragkit.index.filter_translation import Dialect, translate
from ragkit.testing.index_examples import ALL_FIELDS


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
        (Eq("publish-date", "en"), "metadata.publish-date='en'"),
        (Eq("author.name", "Ada"), """metadata."author.name"='Ada'"""),
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
    made = translate(
        where, {**ALL_FIELDS, "publish-date": "keyword", "author.name": "keyword"}, _show("at")
    )
    assert made == (wanted or "(['metadata.year=1', \"([]|[]|['metadata.year=2'])\"]|[]|[])")
