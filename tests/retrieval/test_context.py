from hypothesis import given
from hypothesis import strategies as st

from ragkit.core.types import Chunk, Hit
from ragkit.retrieval.context import best_at_the_ends, build_context, merge_neighbours, pack

TEXT = "".join(f"word{i} " for i in range(100))


def _hit(start: int, end: int, score: float, uri: str = "a", generation: str = "") -> Hit:
    chunk = Chunk(
        id=f"{uri}{start}",
        uri=uri,
        title=uri,
        text=TEXT[start:end],
        start=start,
        end=end,
        heading_path=(f"h{start}",),
        page=start,
        metadata={"start": start},
        generation=generation,
    )
    return Hit(chunk=chunk, score=score, trace={})


def test_touching_and_overlapping_chunks_of_a_document_become_one_passage() -> None:
    hits = [_hit(10, 20, 0.5), _hit(0, 10, 0.9), _hit(15, 30, 0.1), _hit(40, 50, 0.2)]
    passages = merge_neighbours(hits)
    assert [(p.start, p.end, p.score) for p in passages] == [(0, 30, 0.9), (40, 50, 0.2)]
    assert passages[0].chunk_ids == ("a0", "a10", "a15")


def test_documents_are_not_mixed() -> None:
    assert len(merge_neighbours([_hit(0, 10, 1), _hit(10, 20, 1, uri="b")])) == 2


def test_two_versions_of_a_document_are_never_spliced() -> None:
    hits = [_hit(0, 10, 1, generation="old"), _hit(5, 20, 2, generation="new")]
    passages = merge_neighbours(hits)
    assert [(p.start, p.end, p.chunk_ids) for p in passages] == [(5, 20, ("a5",)), (0, 10, ("a0",))]


def test_a_passage_has_page_headings_and_metadata_of_its_first_chunk() -> None:
    (passage,) = merge_neighbours([_hit(10, 20, 1), _hit(5, 10, 0.5)])
    assert (passage.page, passage.heading_path, passage.metadata) == (5, ("h5",), {"start": 5})


@given(st.lists(st.tuples(st.integers(0, 80), st.integers(1, 20), st.floats(0, 1)), max_size=10))
def test_a_merged_passage_is_the_documents_text(spans: list[tuple[int, int, float]]) -> None:
    hits = [_hit(start, start + length, score) for start, length, score in spans]
    for passage in merge_neighbours(hits):
        assert passage.text == TEXT[passage.start : passage.end]


def test_packing_stays_within_the_budget_and_prefers_the_best() -> None:
    hits = [_hit(0, 40, 3), _hit(50, 90, 2), _hit(100, 110, 1)]
    assert [hit.chunk.start for hit in pack(hits, budget=50, count=len)] == [0, 100]


def test_of_hits_that_touch_the_best_that_fit_are_shown() -> None:
    hits = [_hit(20, 40, 4), _hit(0, 20, 3), _hit(40, 60, 2)]
    assert [(p.start, p.end) for p in build_context(hits, budget=45, count=len)] == [(0, 40)]


def test_the_best_passages_stand_first_and_last() -> None:
    passages = merge_neighbours([_hit(20 * i, 20 * i + 5, 10 - i) for i in range(5)])
    assert [int(p.score) for p in best_at_the_ends(passages)] == [10, 8, 6, 7, 9]


def test_the_context_of_nothing_is_empty() -> None:
    assert build_context([], budget=100, count=len) == []
