"""Checks of fields, uris, queries and documents; documents are tested by the `IndexContract`."""

import pytest

from ragkit.core.errors import ConfigError, IndexMismatch, InputError
from ragkit.core.types import FieldType
from ragkit.index.validation import check_fields, check_uris, merge_fields


def test_fields_are_merged_unless_their_types_differ() -> None:
    old: dict[str, FieldType] = {"lang": "keyword"}
    assert merge_fields(old, {"year": "integer"}) == {"lang": "keyword", "year": "integer"}
    with pytest.raises(IndexMismatch, match="'lang' is stored as keyword and declared as integer"):
        merge_fields(old, {"lang": "integer"})


@pytest.mark.parametrize("name", ["", "a b", "1st", "a[]", "a.", "-a", "a..b", "a\n", 'a"b'])
def test_a_field_must_have_a_name_that_a_filter_can_write(name: str) -> None:
    with pytest.raises(ConfigError, match="letters, digits and underscores"):
        check_fields({name: "keyword"})


def test_a_built_in_field_keeps_its_type() -> None:
    assert check_fields({"page": "integer"})["page"] == "integer"
    with pytest.raises(
        ConfigError, match="'page' is built in with type integer and declared as keyword"
    ):
        check_fields({"page": "keyword"})


@pytest.mark.parametrize("name", ["lang", "publish-date", "author.name", "a.b-c", "_x", "Größe"])
def test_a_field_may_be_nested_and_have_hyphens(name: str) -> None:
    assert check_fields({name: "keyword"})[name] == "keyword"


def test_uris_are_a_list_and_count_once() -> None:
    assert check_uris(("b", "a", "b")) == ["b", "a"]
    with pytest.raises(InputError, match=r"'docs/x' was given where a list belongs"):
        check_uris("docs/x")
