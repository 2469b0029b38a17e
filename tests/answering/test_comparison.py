from ragkit.answering.comparison import sides_of
from ragkit.answering.unit_features import UnitCandidate, UnitReader
from ragkit.core.types import Chunk, Hit
from ragkit.models.cross_encoder import packaged_cross_encoder
from ragkit.testing.embedder import HashEmbedder

TILDE = "## Tilde ranges\n\nAllows patch-level changes.\n"
CARET = "## Caret ranges\n\nAllows changes right of the first digit that is not zero.\n"
BOTH = "A tilde range allows less than a caret range does.\n"


async def _sides(question: str, *texts: str) -> list[str]:
    hits = [
        Hit(
            chunk=Chunk(id=t, uri=t, title="Manual", text=t, start=0, end=len(t)), score=1, trace={}
        )
        for t in texts
    ]
    reader = UnitReader(model=packaged_cross_encoder(), embedder=HashEmbedder())
    found = [one for units in await reader.read(question, hits) for one in units]
    ranked: list[UnitCandidate] = sorted(found, key=lambda one: -one.score)
    return [one.unit.text for one in sides_of(question, ranked, "english")]


async def test_each_side_of_a_comparison_is_found() -> None:
    for question in (
        "What is the difference between tilde and caret ranges?",
        "How do tilde ranges differ from caret ranges?",
        "Tilde ranges vs. caret ranges",
    ):
        assert await _sides(question, TILDE, CARET) == [
            "Allows patch-level changes.",
            "Allows changes right of the first digit that is not zero.",
        ]


async def test_a_sentence_about_both_sides_answers_alone() -> None:
    question = "What is the difference between tilde and caret ranges?"
    assert await _sides(question, TILDE, CARET, BOTH) == [BOTH.strip()]


async def test_nothing_is_compared_where_one_side_is_missing() -> None:
    question = "What is the difference between tilde and caret ranges?"
    assert await _sides(question, TILDE) == []
    assert await _sides("What is a tilde range?", TILDE, CARET) == []
    assert await _sides(question, "```\nx = tilde(caret, ranges)\n```") == []


async def test_a_sentence_that_contrasts_nothing_gives_way_to_both_sides() -> None:
    question = "What is the difference between tilde and caret ranges?"
    idle = "Tilde and caret ranges are ranges.\n"
    assert len(await _sides(question, idle, TILDE, CARET)) == 2
    assert await _sides(question, idle) == [idle.strip()]


async def test_a_sentence_that_names_both_sides_is_preferred_to_one_under_their_heading() -> None:
    question = "What is the difference between tilde and caret ranges?"
    heading = "## Tilde and caret ranges\n\nThey should be used sparingly, but not too sparingly.\n"
    assert await _sides(question, heading, BOTH) == [BOTH.strip()]
