from ragkit.core.types import DocumentRecord
from ragkit.ui.answer_choices import document_labels


class _CountedTitle(str):
    """A title that counts how often it is compared."""

    __slots__ = ()
    compared = 0

    def __eq__(self, other: object) -> bool:
        _CountedTitle.compared += 1
        return super().__eq__(other)

    __hash__ = str.__hash__


def _record(uri: str, title: str) -> DocumentRecord:
    return DocumentRecord(
        uri=uri,
        tenant="default",
        title=title,
        content_hash="",
        pipeline="",
        chunks=1,
        generation="",
    )


def test_equal_titles_are_told_apart_by_their_uris() -> None:
    records = [_record("a.md", "Notes"), _record("b.md", "Notes"), _record("c.md", "Refunds")]
    assert document_labels([*records, _record("d.md", "")]) == {
        "a.md": "Notes (a.md)",
        "b.md": "Notes (b.md)",
        "c.md": "Refunds",
        "d.md": "d.md",
    }


def test_titles_are_not_compared_each_with_each() -> None:
    count = 300
    records = [_record(f"{n}.md", _CountedTitle(f"Title {n}")) for n in range(count)]
    assert len(document_labels(records)) == count
    assert _CountedTitle.compared < 10 * count
