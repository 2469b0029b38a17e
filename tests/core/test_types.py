"""Ids of chunks."""

from hypothesis import given
from hypothesis import strategies as st

from ragkit.core.types import Chunk, chunk_id, versioned


def _chunk(text: str) -> Chunk:
    return Chunk(id="", uri="a", title="", text=text, start=0, end=len(text))


@given(st.lists(st.text(), max_size=5), st.text(), st.text())
def test_ids_follow_generation_and_place(texts: list[str], one: str, two: str) -> None:
    chunks = [_chunk(text) for text in texts]
    made = versioned(chunks, one)
    assert [chunk.text for chunk in made] == texts
    assert [chunk.ordinal for chunk in made] == list(range(len(texts)))
    assert {chunk.generation for chunk in made} <= {one}
    ids = [chunk_id(one, place, tenant="default") for place in range(len(texts))]
    assert [chunk.id for chunk in made] == ids
    assert versioned(made, one) == made
    both = {chunk.id for chunk in (*made, *versioned(chunks, two))}
    assert len(both) == len(texts) * (1 if one == two else 2)
    others = {chunk.id for chunk in versioned(chunks, one, tenant="other")}
    assert others.isdisjoint(both)
