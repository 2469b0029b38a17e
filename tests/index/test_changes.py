"""Changes: what they leave, and when they are abandoned."""

from dataclasses import replace

import pytest

from ragkit.core.types import DocumentRecord
from ragkit.index import changes
from ragkit.index.changes import Change, by_tenant, change_payload, read_change, with_new_version
from ragkit.testing.index_examples import make_entry


def record(uri: str, generation: str, write: str) -> DocumentRecord:
    return DocumentRecord(
        uri=uri,
        tenant="me",
        title="",
        content_hash="",
        pipeline="",
        chunks=1,
        generation=generation,
        version=f"{generation}/{write}",
    )


OLD, NEW = record("a", "old", "1"), record("a", "new", "1")
CHANGE = Change.of("me", written=[NEW], replaced=[OLD], lease_s=10**6)


@pytest.mark.parametrize(
    ("current", "left"),
    [
        ([NEW], ["old/1"]),
        ([OLD], ["new/1"]),
        ([], ["new/1", "old/1"]),
        ([record("a", "third", "1")], ["new/1", "old/1"]),
        # Another write of a generation may have been stored over the same chunks.
        ([record("a", "new", "2")], ["old/1"]),
        ([record("a", "old", "2")], ["new/1"]),
        ([record("b", "new", "1")], ["new/1", "old/1"]),
    ],
)
def test_versions_that_are_not_current_are_left_over(
    current: list[DocumentRecord], left: list[str]
) -> None:
    assert CHANGE.leftovers(current) == left


def test_a_change_is_read_as_it_was_written() -> None:
    assert read_change(CHANGE.id, change_payload(CHANGE)) == CHANGE
    claimed = CHANGE.claimed(5)
    assert read_change(CHANGE.id, change_payload(claimed)) == claimed
    assert CHANGE.uris == ["a"]
    assert sorted(CHANGE.versions) == ["new/1", "old/1"]


def test_a_change_is_abandoned_when_its_lease_or_its_writer_has_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert not CHANGE.is_abandoned()
    expired = replace(CHANGE, expires_at=0.0)
    assert expired.is_abandoned()
    assert not expired.renewed(60).is_abandoned()
    monkeypatch.setattr(changes, "has_ended", CHANGE.writer.__eq__)
    assert CHANGE.is_abandoned()


def test_a_claim_tells_two_owners_apart() -> None:
    one, two = CHANGE.claimed(60), CHANGE.claimed(60)
    assert len({CHANGE.claim, one.claim, two.claim}) == 3
    assert one.id == CHANGE.id


async def test_entries_are_grouped_by_tenant_with_versions_of_their_own() -> None:
    mine, again = await make_entry("a", "x", tenant="me"), await make_entry("a", "y", tenant="me")
    yours = await make_entry("a", "x", tenant="you")
    groups = by_tenant([mine, yours, again])
    assert {name: [e.record for e in group] for name, group in groups.items()} == {
        "me": [again.record],
        "you": [yours.record],
    }
    versions = {group[0].record.version for group in groups.values()}
    assert len(versions) == 2
    assert with_new_version(groups["me"][0]).record.version not in versions
