"""Near-duplicates: a passage is left out if all that it says is shown, and named with the hit."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit import AsyncRAG, InputError, Settings
from ragkit.core.settings import IngestSettings, RetrievalSettings
from ragkit.core.types import Chunk
from ragkit.retrieval.duplicates import ShownPassages
from ragkit.retrieval.hybrid import HybridRetriever
from ragkit.retrieval.query_expansion import SubQueries
from ragkit.testing import HashEmbedder, ScriptedLLM

STORY = (
    "The lighthouse on the northern cliff was built by fishermen after the great storm. Its lamp "
    "burns oil from the village press, and a keeper climbs the narrow stairs at dusk to light it. "
    "Ships from the mainland pass the strait every morning with salt, timber and wool for the town."
)


def _chunk(text: str, name: str = "a") -> Chunk:
    return Chunk(id=name, uri=name, title="", text=text, start=0, end=len(text))


def _repeats(text: str, *shown: str, near: float | None = 0.8) -> str | None:
    passages = ShownPassages(equal=True, near=near)
    for number, other in enumerate(shown):
        passages.keep(_chunk(other, str(number)))
    return passages.repeated(_chunk(text))


def test_a_passage_with_a_changed_word_repeats_the_one_that_is_shown() -> None:
    assert _repeats(STORY.replace("narrow", "steep"), STORY) == "0"
    assert _repeats(STORY.upper(), "something else", STORY) == "1"
    assert _repeats(STORY.replace("narrow", "steep"), STORY, near=None) is None


def test_a_passage_that_lies_across_two_that_are_shown_repeats_them() -> None:
    first, second, third = re.split(r"(?<=\.) ", STORY)
    assert _repeats(f"{second} {third}", f"{first} {second}", third) == "0"


def test_a_longer_passage_does_not_repeat_a_shorter_one() -> None:
    assert _repeats(STORY, STORY[:150]) is None
    assert _repeats(STORY[:150], STORY) == "0"


def test_a_passage_with_another_number_is_never_left_out() -> None:
    old, new = f"{STORY} It costs 20 euros.", f"{STORY} It costs 30 euros."
    assert _repeats(new, old) is None
    assert _repeats(old.replace("euros", "crowns"), old) == "0"


def test_passages_of_scripts_without_spaces_are_compared() -> None:
    text = (
        "北部海岬上的灯塔是渔民在大风暴之后建造的。"
        "灯油来自村里的油坊,看守人每天黄昏都会爬上狭窄的楼梯点灯。"
    )
    assert _repeats(text.replace("狭窄", "陡峭"), text) == "0"
    assert _repeats("完全不同的句子,讲的是山里的一条河流和它的桥梁。", text) is None


@pytest.mark.parametrize("text", ["", "   ", "!?", "word", "two words"])
def test_short_passages_repeat_their_equals_only(text: str) -> None:
    assert _repeats(text, STORY) is None
    assert _repeats(text, text) == "0"


@given(st.text(), st.lists(st.text(), max_size=4), st.floats(0.5, 1))
def test_any_text_repeats_itself_and_nothing_repeats_what_is_not_shown(
    text: str, others: list[str], near: float
) -> None:
    assert _repeats(text, *others, text, near=near) is not None
    assert _repeats(text, near=near) is None


def _rag(**retrieval: object) -> AsyncRAG:
    settings = Settings(
        retrieval=RetrievalSettings.model_validate(retrieval), ingest=IngestSettings()
    )
    return AsyncRAG(settings, index=":memory:", embedder=HashEmbedder(dimensions=256))


DOCUMENTS = [
    ("old", STORY),
    ("new", f"A note was added. {STORY}"),
    ("other", "A lighthouse in the south was torn down to build a hotel with a view."),
]


async def test_a_hit_names_the_passages_that_it_stands_for() -> None:
    rag = _rag(near_duplicates=0.8)
    await rag.ingest(DOCUMENTS)
    first, second = await rag.search("who built the lighthouse on the northern cliff")
    shown, hidden = ("old", "new") if first.chunk.uri == "old" else ("new", "old")
    assert first.chunk.uri == shown
    assert [one.uri for one in first.duplicates] == [hidden]
    assert (second.chunk.uri, second.duplicates) == ("other", ())
    # A deletion of what is shown brings the other back.
    await rag.delete(shown)
    hits = await rag.search("who built the lighthouse on the northern cliff")
    assert [hit.chunk.uri for hit in hits] == [hidden, "other"]
    assert hits[0].duplicates == ()
    await rag.close()


async def test_it_is_off_unless_it_is_set_for_all_calls_or_for_one() -> None:
    rag = _rag()
    await rag.ingest(DOCUMENTS)
    assert len(await rag.search("lighthouse on the northern cliff")) == 3
    hits = await rag.search("lighthouse on the northern cliff", near_duplicates=0.8)
    assert len(hits) == 2
    with pytest.raises(InputError, match="near_duplicates"):
        await rag.search("lighthouse", near_duplicates=0.1)
    await rag.close()


async def test_tenants_are_never_compared() -> None:
    rag = _rag(near_duplicates=0.8)
    await rag.ingest(DOCUMENTS[:1], tenant="one")
    await rag.ingest(DOCUMENTS[1:2], tenant="two")
    for tenant, uri in (("one", "old"), ("two", "new")):
        (hit,) = await rag.search("lighthouse on the northern cliff", tenant=tenant)
        assert (hit.chunk.uri, hit.duplicates) == (uri, ())
    await rag.close()


async def test_passages_of_several_queries_are_compared_too() -> None:
    rag = _rag(near_duplicates=0.8)
    await rag.ingest(DOCUMENTS)
    settings = rag.settings.retrieval
    inner = HybridRetriever(index=await rag.index(), embedder=rag.embedder, settings=settings)
    reply = '{"queries":["a note was added","lighthouse on the northern cliff"]}'
    retriever = SubQueries(inner=inner, kind="multi_query", llm=ScriptedLLM([reply]))
    hits = await retriever.search("a hotel in the south")
    assert len(hits) == 2
    (named,) = (hit for hit in hits if hit.duplicates)
    assert {named.chunk.uri, *(one.uri for one in named.duplicates)} == {"old", "new"}
    await rag.close()
