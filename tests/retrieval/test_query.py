import pytest

from ragkit import InputError
from ragkit.retrieval.query import check_query


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("", "empty"),
        (" \n\t ", "empty"),
        ("?!... --", "no letter or digit"),
        ("caf\udce9 hours", "no UTF-8 text"),
        ("word " * 20_000, "100000 characters|99999 characters"),
    ],
)
def test_unusable_queries_are_refused_with_the_reason(query: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_query(query)


def test_white_space_around_a_query_is_dropped() -> None:
    assert check_query("  Größe 東京 \n") == "Größe 東京"
