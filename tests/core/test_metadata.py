"""Metadata as it may be stored."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.core.errors import InputError
from ragkit.core.metadata import check_metadata, flattened


def test_nested_fields_have_dotted_names() -> None:
    metadata = {"author": {"name": "Ada", "born": {"year": 1815}}, "publish-date": "1843-01-01"}
    assert flattened(metadata) == {
        "author.name": "Ada",
        "author.born.year": 1815,
        "publish-date": "1843-01-01",
    }


def test_dates_are_text_and_lists_are_tuples() -> None:
    metadata: dict[str, object] = {
        "day": date(2024, 5, 1),
        "moment": datetime(2024, 5, 1, 12, 30, tzinfo=UTC),
        "tags": ["a", date(2024, 1, 2)],
        "none": None,
        "empty": [],
        "nested": {},
    }
    assert flattened(metadata) == {
        "day": "2024-05-01",
        "moment": "2024-05-01T12:30:00+00:00",
        "tags": ("a", "2024-01-02"),
        "empty": (),
    }


@pytest.mark.parametrize(
    ("metadata", "complaint"),
    [
        ({"raw": b"x"}, "'raw' holds b'x' of type bytes"),
        ({"tags": ["a", 1]}, "'tags' holds 1 of type int"),
        ({"tags": [["a"]]}, r"'tags' holds \['a'\] of type list"),
        ({"author": {"name": object}}, "'name' holds <class 'object'>"),
    ],
)
def test_a_value_of_another_type_is_named_with_its_field(
    metadata: Mapping[str, object], complaint: str
) -> None:
    with pytest.raises(InputError, match=f"field {complaint}"):
        flattened(metadata)


@pytest.mark.parametrize("metadata", [{"a": None}, {"a": {}}, {"a": ("b", None)}, {1: "a"}])
def test_what_is_not_stored_is_refused(metadata: Any) -> None:
    with pytest.raises(InputError, match="metadata"):
        check_metadata(metadata)


_VALUES = st.text() | st.integers() | st.booleans() | st.dates() | st.none() | st.lists(st.text())


@given(st.recursive(_VALUES, lambda inner: st.dictionaries(st.text(), inner), max_leaves=10))
def test_flattened_metadata_can_be_stored_and_is_flat_already(value: Any) -> None:
    flat = flattened({"field": value})
    check_metadata(flat)
    assert flattened(flat) == flat
