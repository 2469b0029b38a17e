"""Options of a search."""

from typing import Any

import pytest

from ragkit.core.errors import InputError
from ragkit.core.filters import And, Eq, In
from ragkit.core.settings import RetrievalSettings
from ragkit.retrieval.request import BOTH, SearchOptions, SearchRequest

SETTINGS = RetrievalSettings(k=7)


def test_what_is_left_out_has_its_default() -> None:
    request = SearchRequest.of({}, SETTINGS)
    assert request == SearchRequest(k=7, where=None, tenant="default", legs=BOTH, explain=False)
    assert SearchRequest.of({"k": None, "where": None}, SETTINGS) == request


@pytest.mark.parametrize("k", [0, -1])
def test_fewer_than_one_hit_is_refused(k: int) -> None:
    with pytest.raises(InputError, match=rf"k = {k} hits\. Fix: give 1 or more"):
        SearchRequest.of({"k": k}, SETTINGS)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"tenant": ""}, "tenant '' is no name"),
        ({"legs": []}, r"Unknown legs \[\]"),
        ({"legs": ["dense", "sparse"]}, "'sparse'"),
        ({"where": "year >="}, "cannot be read"),
        ({"where": {"year": None}}, "compares 'year' with None"),
        ({"where": 5}, "5 is no filter"),
    ],
)
def test_other_options_are_checked_before_anything_is_searched(
    options: Any, complaint: str
) -> None:
    with pytest.raises(InputError, match=complaint):
        SearchRequest.of(options, SETTINGS)


def test_a_filter_may_be_a_dict_or_an_expression() -> None:
    wanted = And((Eq("year", 2024), In("lang", ("en", "de"))))
    for where in ({"year": 2024, "lang": ["en", "de"]}, 'year = 2024 and lang in ["en", "de"]'):
        assert SearchRequest.of(SearchOptions(where=where), SETTINGS).where == wanted


def test_options_make_the_same_request_with_another_k() -> None:
    request = SearchRequest.of(
        {"where": {"year": 1}, "tenant": "me", "legs": ["bm25"], "explain": True}, SETTINGS
    )
    again = SearchRequest.of(request.options(k=3), SETTINGS)
    assert again == SearchRequest(
        k=3, where=Eq("year", 1), tenant="me", legs=("bm25",), explain=True
    )
