"""The contract of `Index`, as a test suite to subclass.

```python
class TestMyIndex(IndexContract):
    async def open_index(self, place, identity, fields):
        return await MyIndex.open(place, identity, fields=fields)
```

The tests are coroutines: run them with pytest-asyncio in its `auto` mode.
"""

# ruff: noqa: D102 - a test's name says the behaviour

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragkit.core.errors import InputError
from ragkit.core.filters import And, Eq, Not, Or
from ragkit.core.protocols import Index, LegQuery
from ragkit.core.types import stable_id
from ragkit.testing.index_examples import (
    ALL_FIELDS,
    FILTER_CASES,
    IDENTITY,
    ILL_TYPED,
    NO_VECTORS,
    SCRIPTS,
    embed,
    filter_entries,
    filters,
    find,
    make_chunk,
    make_entry,
    metadata_values,
    reference,
)
from ragkit.testing.index_fixtures import SHARED, MakeIndex
from ragkit.testing.index_storage import StorageContract


class IndexContract(StorageContract):
    """Tests of `Index`: implement `build_index`, and set attributes for what a store leaves out."""

    # What it is

    async def test_it_says_what_it_was_built_with(self, index: Index) -> None:
        assert index.identity == IDENTITY
        assert index.fields == ALL_FIELDS

    async def test_an_empty_index_finds_nothing_and_takes_every_call(self, index: Index) -> None:
        assert await find(index, "wolf") == {"dense": [], "bm25": []}
        assert await index.fetch([stable_id("chunk", "none")]) == []
        assert await index.fetch([]) == []
        assert await index.chunks([]) == []
        assert await index.chunks(["none"]) == []
        assert await index.records() == []
        assert await index.records(tenant=None) == []
        assert (await index.vectors([])).shape == (0, 64)
        assert await index.records(["none"]) == []
        assert await index.versions() == []
        assert await index.versions(tenant=None) == []
        await index.commit([])
        await index.touch([])
        assert await index.delete([]) == 0
        assert await index.delete(["none"]) == 0
        await index.drop([])
        assert await index.discard([]) == 0
        assert await index.incomplete([]) == []
        await index.optimize()

    async def test_it_may_be_closed_twice_and_then_refuses_every_call(self, index: Index) -> None:
        entry = await make_entry("a", "wolf")
        await index.commit([entry])
        await index.close()
        await index.close()
        for call in (
            index.search(LegQuery(text="wolf", depth=1)),
            index.fetch([entry.chunks[0].id]),
            index.chunks(["a"]),
            index.commit([entry]),
            index.delete(["a"]),
            index.records(),
            index.versions(),
            index.vectors([entry.chunks[0].id]),
            index.touch([entry.record]),
            index.discard([entry.record]),
            index.incomplete([entry.record]),
            index.optimize(),
        ):
            with pytest.raises(InputError, match="closed"):
                await call

    # Search

    async def test_each_leg_ranks_by_its_own_score_best_first(self, index: Index) -> None:
        texts = ("wolf wolf wolf", "wolf and sheep in the hills", "sheep eat grass", "stocks fell")
        await index.commit([await make_entry("a", *texts)])
        await index.optimize()
        query = await embed("wolf")
        legs = await index.search(LegQuery(vector=query, text="wolf", depth=10))
        for ranked in (legs.dense, legs.bm25):
            scores = [score for _, score in ranked]
            assert scores == sorted(scores, reverse=True)
        found = await find(index, "wolf")
        assert found["bm25"] == [texts[0], texts[1]]
        assert found["dense"][:2] == [texts[0], texts[1]]
        assert set(found["dense"]) == set(texts)

    async def test_a_dense_score_is_the_cosine_of_the_whole_vectors(self, index: Index) -> None:
        entry = await make_entry("a", "wolf", "wolf and sheep", "stocks fell again")
        await index.commit([entry])
        query = await embed("wolf")
        legs = await index.search(LegQuery(vector=query, depth=10))
        assert entry.vectors is not None
        cosines = entry.vectors @ query
        wanted = {chunk.id: score for chunk, score in zip(entry.chunks, cosines, strict=True)}
        assert dict(legs.dense) == pytest.approx(wanted, abs=2e-3)
        assert legs.bm25 == ()

    async def test_legs_can_be_asked_for_alone(self, index: Index) -> None:
        await index.commit([await make_entry("a", "wolf", "sheep")])
        dense = await index.search(LegQuery(vector=await embed("wolf"), depth=10))
        bm25 = await index.search(LegQuery(text="wolf", depth=10))
        assert (len(dense.dense), len(dense.bm25)) == (2, 0)
        assert (len(bm25.dense), len(bm25.bm25)) == (0, 1)
        neither = await index.search(LegQuery(depth=10))
        assert (neither.dense, neither.bm25) == ((), ())

    async def test_depth_is_the_most_that_a_leg_returns(self, index: Index) -> None:
        texts = [f"wolf number {number}" for number in range(7)]
        await index.commit([await make_entry("a", *texts)])
        found = await find(index, "wolf", depth=3)
        assert {name: len(leg) for name, leg in found.items()} == {"dense": 3, "bm25": 3}
        with pytest.raises(InputError, match=r"a depth of 0\. Fix: give 1 or more"):
            await index.search(LegQuery(text="wolf", depth=0))

    async def test_bm25_finds_whole_words_in_any_case(self, index: Index) -> None:
        await index.commit([await make_entry("a", "The Wolf hunts.", "Wolfgang sings.")])
        assert (await find(index, "WOLF"))["bm25"] == ["The Wolf hunts."]

    async def test_bm25_finds_nothing_for_words_that_no_passage_has(self, index: Index) -> None:
        await index.commit([await make_entry("a", "The wolf hunts.")])
        for query in ("zebra", "?!", "wolves_and_sheep"):
            assert (await find(index, query))["bm25"] == []

    async def test_bm25_finds_a_word_that_every_passage_has(self, index: Index) -> None:
        texts = ("wolf one", "wolf two")
        await index.commit([await make_entry("a", *texts)])
        assert set((await find(index, "wolf"))["bm25"]) == set(texts)

    async def test_bm25_sees_title_and_headings(self, index: Index) -> None:
        chunk = make_chunk("They hunt.", uri="a", title="Mammals", headings=("Mammals", "Wolves"))
        await index.commit([await make_entry("a", chunk)])
        for word in ("mammals", "wolves", "hunt"):
            assert (await find(index, word))["bm25"] == ["They hunt."]

    async def test_bm25_stems_words_and_drops_stop_words(self, index: Index) -> None:
        if not self.analyses_text:
            pytest.skip("this store splits text into words and no more")
        await index.commit([await make_entry("a", "The wolf was hunting.")])
        assert (await find(index, "hunts"))["bm25"] == ["The wolf was hunting."]
        assert (await find(index, "was the"))["bm25"] == []

    async def test_bm25_ignores_accents(self, index: Index) -> None:
        if not self.folds_accents:
            pytest.skip("this store keeps accents")
        await index.commit([await make_entry("a", "Un café au lait.")])
        assert (await find(index, "cafe"))["bm25"] == ["Un café au lait."]

    @pytest.mark.parametrize(("language", "passages", "queries"), SCRIPTS)
    async def test_bm25_finds_words_of_any_script(
        self, index: Index, language: str, passages: tuple[str, str], queries: tuple[str, ...]
    ) -> None:
        await index.commit([await make_entry(language, *passages)])
        assert [chunk.text for chunk in await index.chunks([language])] == list(passages)
        for query in queries:
            assert (await find(index, query))["bm25"][:1] == [passages[0]], query

    async def test_the_chunks_that_are_read_with_one_are_kept(self, index: Index) -> None:
        windowed = replace(make_chunk("wolf", uri="a"), window=(0, 1))
        await index.commit([await make_entry("a", windowed, "sheep")])
        assert [one.window for one in await index.chunks(["a"])] == [(0, 1), None]

    async def test_the_context_of_a_passage_is_found_and_is_not_its_text(
        self, index: Index
    ) -> None:
        written = replace(make_chunk("wolf", uri="a"), context="On the Canidae: 狼の話。")
        bare = replace(make_chunk("sheep", uri="b", title="Bovidae"), context="")
        await index.commit([await make_entry("a", written), await make_entry("b", bare)])
        assert (await find(index, "canidae"))["bm25"] == ["wolf"]
        assert (await find(index, "bovidae"))["bm25"] == []
        assert [one.context for one in await index.chunks(["a", "b"])] == [written.context, ""]

    async def test_a_vector_of_another_length_is_refused(self, index: Index) -> None:
        with pytest.raises(InputError, match=r"shape \(32,\).*64 dimensions.*'hash'"):
            await index.search(LegQuery(vector=np.ones(32, dtype=np.float32), depth=1))

    async def test_a_query_that_is_no_unicode_is_refused(self, index: Index) -> None:
        with pytest.raises(InputError, match="The query"):
            await index.search(LegQuery(text="wolf \ud800", depth=1))

    async def test_an_index_without_vectors_is_searched_by_bm25(
        self, make_index: MakeIndex
    ) -> None:
        index = await make_index(identity=NO_VECTORS)
        await index.commit([await make_entry("a", "wolf", "sheep", vectors=False)])
        assert (await find(index, "wolf", vectors=False)) == {"dense": [], "bm25": ["wolf"]}
        with pytest.raises(InputError, match="vectors of 0 dimensions"):
            await index.search(LegQuery(vector=await embed("wolf"), depth=1))

    # Tenants

    async def test_the_same_document_is_kept_for_each_tenant(self, index: Index) -> None:
        mine, yours = [await make_entry("a", "wolf", tenant=name) for name in ("me", "you")]
        await index.commit([mine, yours])
        assert await index.records(tenant="me") == [mine.record]
        assert await index.records(tenant="you") == [yours.record]
        assert await index.records() == []
        both = await index.records(tenant=None)
        assert sorted(record.tenant for record in both) == ["me", "you"]
        assert len(await index.versions(tenant=None)) == 2

    async def test_tenants_never_see_each_other(self, index: Index) -> None:
        mine = await make_entry("a", "wolf of mine", tenant="me")
        yours = await make_entry("b", "wolf of yours", tenant="you")
        await index.commit([mine])
        assert (await find(index, "wolf", tenant="you")) == {"dense": [], "bm25": []}
        await index.commit([yours])
        for tenant, text in (("me", "wolf of mine"), ("you", "wolf of yours")):
            everything = Not(Eq("lang", "none"))
            for where in (None, everything, Or((everything, Eq("uri", "b")))):
                found = await find(index, "wolf", tenant=tenant, where=where)
                assert found == {"dense": [text], "bm25": [text]}
        assert await index.fetch([yours.chunks[0].id], tenant="me") == []
        assert (await find(index, "wolf")) == {"dense": [], "bm25": []}
        with pytest.raises(InputError, match="tenant '' is no name"):
            await find(index, "wolf", tenant="")

    async def test_a_tenant_changes_only_its_own_documents(self, index: Index) -> None:
        mine, yours = [await make_entry("a", "wolf", tenant=name) for name in ("me", "you")]
        await index.commit([mine, yours])
        await index.commit([await make_entry("a", "sheep", tenant="me")])
        assert (await find(index, "wolf", tenant="you"))["bm25"] == ["wolf"]
        await index.delete(["a"], tenant="me")
        assert await index.records(tenant="me") == []
        assert await index.records(tenant="you") == [yours.record]
        assert (await find(index, "wolf", tenant="you"))["dense"] == ["wolf"]

    async def test_bm25_scores_do_not_tell_of_other_tenants(self, index: Index) -> None:
        if not self.separates_statistics:
            pytest.skip("this store has one set of statistics for all tenants")
        await index.commit([await make_entry("a", "wolf hunts", "sheep", "cat", tenant="me")])
        query = LegQuery(text="wolf hunts", depth=10, tenant="me")
        before = dict((await index.search(query)).bm25)
        await index.commit([await make_entry("b", *["wolf"] * 50, tenant="you")])
        after = dict((await index.search(query)).bm25)
        assert after.keys() == before.keys()
        # The average length of passages is the whole index's, in Qdrant.
        assert after == pytest.approx(before, rel=0.35)

    # Filters

    async def test_a_filter_binds_both_legs(self, index: Index) -> None:
        await index.commit(await filter_entries())
        for where, wanted in FILTER_CASES:
            found = await find(index, "wolf", where=where)
            names = {leg: "".join(sorted(text[-1] for text in found[leg])) for leg in found}
            assert names == {"dense": wanted, "bm25": wanted}, where

    async def test_a_filter_comes_before_depth(self, index: Index) -> None:
        await index.commit([await make_entry("many", *["wolf wolf"] * 1, *["wolf"] * 1)])
        await index.commit([await make_entry(f"doc-{n}", "wolf wolf wolf") for n in range(40)])
        await index.commit([await make_entry("rare", "a wolf among sheep and other animals")])
        found = await find(index, "wolf", depth=1, where=Eq("uri", "rare"))
        assert found["dense"] == found["bm25"] == ["a wolf among sheep and other animals"]

    @given(data=st.data())
    @settings(max_examples=40, deadline=None, suppress_health_check=SHARED)
    async def test_any_filter_lets_through_what_the_reference_does(
        self, index: Index, data: st.DataObject
    ) -> None:
        documents = data.draw(st.lists(metadata_values(), min_size=1, max_size=5))
        chunks = [
            make_chunk(
                f"wolf {number}",
                uri=f"doc-{number}",
                title=f"Title {number}",
                page=number or None,
                metadata=metadata,
            )
            for number, metadata in enumerate(documents)
        ]
        old = [record.uri for record in await index.records()]
        await index.delete(old)
        await index.commit([await make_entry(chunk.uri, chunk) for chunk in chunks])
        for where in data.draw(st.lists(filters(), min_size=1, max_size=8)):
            wanted = {chunk.text for chunk in chunks if reference(chunk, where)}
            found = await find(index, "wolf", where=where)
            assert set(found["dense"]) == wanted, where
            assert set(found["bm25"]) == wanted, where

    async def test_an_unknown_field_is_named_with_the_known_ones(self, index: Index) -> None:
        known = "draft, lang, page, score, tags, title, uri, when, year"
        with pytest.raises(InputError, match=rf"'yaer'.*{known}"):
            await find(index, "wolf", where=And((Eq("lang", "en"), Not(Eq("yaer", 2020)))))

    async def test_a_value_of_the_wrong_type_is_named_with_its_field(self, index: Index) -> None:
        for where in ILL_TYPED:
            with pytest.raises(InputError, match=f"'{where.field}'"):
                await find(index, "wolf", where=where)
