import pytest

from ragkit.cli.serve import parse_collections
from ragkit.core.errors import InputError


def test_collections_are_named_indexes() -> None:
    given = ["manuals=.ragkit/manuals", "wiki=ragkit:http://host:1/?a=b"]
    assert parse_collections(given) == {
        "manuals": ".ragkit/manuals",
        "wiki": "ragkit:http://host:1/?a=b",
    }
    assert parse_collections([]) == {}


@pytest.mark.parametrize("item", ["", "a", "a=", "=b", "a b=c", "-a=b", "ä=c", "x" * 65 + "=y"])
def test_what_is_no_collection_is_refused(item: str) -> None:
    with pytest.raises(InputError, match="is not NAME=INDEX"):
        parse_collections([item])


def test_a_name_stands_for_one_index() -> None:
    with pytest.raises(InputError, match="given twice"):
        parse_collections(["a=b", "a=c"])
