import pytest

from ragkit.answering.disagreement import disagreeing, source_of, year_of
from ragkit.answering.suitability import Suitability
from ragkit.answering.unit_features import UnitCandidate, UnitFeatures
from ragkit.answering.units import units_of
from ragkit.core.types import Chunk, Hit, MetadataValue


def _candidate(
    text: str,
    *,
    uri: str,
    title: str = "Policy",
    metadata: dict[str, MetadataValue] | None = None,
    similarity: float = 0.5,
) -> UnitCandidate:
    chunk = Chunk(
        id=uri, uri=uri, title=title, text=text, start=0, end=len(text), metadata=metadata or {}
    )
    values = dict.fromkeys(UnitFeatures.__dataclass_fields__, 0.0)
    return UnitCandidate(
        hit=Hit(chunk=chunk, score=1.0, trace={}),
        unit=units_of(chunk)[0],
        features=UnitFeatures(**{**values, "similarity": similarity}),
        form=Suitability(**dict.fromkeys(Suitability.__dataclass_fields__, 0.0)),
        span=None,
    )


BEST = _candidate("Refunds are paid within 5 days.", uri="a")


@pytest.mark.parametrize(
    "text",
    [
        "Refunds are paid within 14 days.",
        "Refunds are not paid within 5 days.",
        "Refunds are paid within fourteen or 21 days.",
    ],
)
def test_other_numbers_or_a_not_contradict(text: str) -> None:
    other = _candidate(text, uri="b")
    assert disagreeing(BEST, [BEST, other], "english") == [BEST, other]


@pytest.mark.parametrize(
    "text",
    [
        "Refunds are paid within 5 days.",
        "Refunds are paid within 5 days or 7 on holidays.",
        "Orders above 50 euros are shipped free of charge.",
        "Refunds are paid.",
    ],
)
def test_the_same_or_something_else_does_not(text: str) -> None:
    other = _candidate(text, uri="b")
    assert disagreeing(BEST, [BEST, other], "english") == [BEST]


def test_the_same_document_does_not_contradict_itself() -> None:
    other = _candidate("Refunds are paid within 14 days.", uri="a")
    assert disagreeing(BEST, [BEST, other], "english") == [BEST]


def test_a_unit_that_answers_much_worse_does_not_count() -> None:
    other = _candidate("Refunds are paid within 14 days.", uri="b", similarity=-1.0)
    assert disagreeing(BEST, [BEST, other], "english") == [BEST]


def test_the_newest_comes_first_and_documents_without_a_year_last() -> None:
    old = _candidate("Refunds are paid within 14 days.", uri="b", title="Policy 2021")
    new = _candidate("Refunds are paid within 21 days.", uri="c", metadata={"date": "2024-05-01"})
    found = disagreeing(BEST, [BEST, old, new], "english")
    assert [one.hit.chunk.uri for one in found] == ["c", "b", "a"]
    assert [year_of(one.hit.chunk) for one in found] == [2024, 2021, 0]
    assert [source_of(one.hit.chunk) for one in found] == ["Policy, 2024", "Policy 2021", "Policy"]
