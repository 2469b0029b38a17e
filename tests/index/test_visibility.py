"""Chunks of current generations among those found."""

from ragkit.core.protocols import Legs
from ragkit.index.visibility import FoundVersion, found_versions, obsolete, uris_of, without
from ragkit.testing.index_examples import make_chunk

FOUND = {
    "1": FoundVersion(uri="a", version="old/1"),
    "2": FoundVersion(uri="a", version="new/1"),
    "3": FoundVersion(uri="b", version="g/1"),
    "4": FoundVersion(uri="gone", version="g/2"),
}


def test_chunks_are_current_whose_generation_the_record_names() -> None:
    current = {"a": "new/9", "b": "g/1"}
    assert obsolete(FOUND, current).keys() == {"1", "4"}
    assert obsolete({}, current) == {}
    assert uris_of(FOUND) == ["a", "b", "gone"]


def test_points_without_a_version_are_no_chunks() -> None:
    payloads = {
        "chunk": {"uri": "a", "version": "g/1", "text": "x"},
        "identity": {"kind": "identity"},
        "bare": None,
    }
    assert found_versions(payloads) == {"chunk": FoundVersion(uri="a", version="g/1")}


def test_hidden_chunks_leave_both_legs() -> None:
    chunk = make_chunk("x", uri="a")
    legs = Legs(dense=(("1", 0.9), ("2", 0.8)), bm25=(("2", 5.0),), chunks={"1": chunk, "2": chunk})
    assert without(legs, ["2", "7"]) == Legs(dense=(("1", 0.9),), bm25=(), chunks={"1": chunk})
    assert without(legs, []) == legs
